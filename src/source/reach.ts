/**
 * Where a node may connect to on behalf of a client. Clients name registries, registries redirect and name token
 * servers, and DNS says whatever its owner likes: so every connection is checked, after resolution. What the operator
 * listed is allowed wherever it is; and a listed registry on this host, say, may send to other ports of this host.
 *
 * Between a check and a connection a name may come to mean another address. So the connection is made to an address that
 * was checked, under the name; only a proxy, where one is set for that host, resolves by itself.
 *
 * Of several addresses one is kept that answered, until it does not: then another is chosen, and one that failed is
 * not tried again before all others have.
 */
import { lookup } from 'node:dns/promises'
import { type BlockList, isIP } from 'node:net'
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import { firstToAnswer } from './first-to-answer.ts'
import { OwnAddresses } from './own-addresses.ts'
import { type Place, placeOf as usualPlaceOf } from './places.ts'
import { proxyFor } from './proxy.ts'
import { unreachable } from './unreachable.ts'
import type { Upstream } from './upstreams.ts'

export interface ReachOptions {
  /** Addresses of a host name; empty when it has none, or nobody answers. */
  readonly lookup?: (host: string) => Promise<readonly string[]>
  /** Which of some addresses to connect to. */
  readonly choose?: (addresses: readonly string[], port: number) => Promise<string | undefined>
  /** Which proxy requests to that URL go through, if any. */
  readonly proxy?: (url: URL) => string | undefined
  /** What kind of address it is, if it is one that nobody may send this node to. */
  readonly placeOf?: (address: string, own: BlockList) => Place | undefined
  /** Addresses that are this host's own. */
  readonly own?: () => Promise<BlockList>
}

/** How to get to a URL. */
export interface Way {
  /** What to connect to; undefined where its host is an address, or may be whatever it is resolved to. */
  readonly address: string | undefined
  readonly proxy: string | undefined
}

/** As long as runtimes keep what they resolved, in ms. */
const believedMs = 30_000
/** For an answer to a lookup. */
const patienceMs = 5_000

/** What is known of a host name. */
interface Found {
  readonly addresses: readonly string[]
  readonly places: readonly Place[]
  /** Which address was chosen, by port. */
  readonly chosen: Map<number, Promise<string | undefined>>
  /** Those that could not be used, by port. */
  readonly failed: Map<number, Set<string>>
}

interface Looked {
  readonly found: Promise<Found>
  readonly at: number
  /** The name has no address, or nobody said one. */
  vain: boolean
}

export class Reach {
  readonly #clock: Clock
  readonly #o: Required<ReachOptions>
  readonly #known = lru<string, Looked>(1024)

  constructor(clock: Clock, options: ReachOptions = {}) {
    this.#clock = clock
    const addresses = new OwnAddresses(clock, options.own)
    const own = () => addresses.get()
    this.#o = { lookup: addressesOf, choose: firstToAnswer, proxy: proxyOf, placeOf: usualPlaceOf, ...options, own }
  }

  /**
   * @throws {Failure} `not-listed` if it leads to where this node must not be sent for that registry, `unavailable` if
   * its name has no address
   */
  async check(upstream: Upstream, url: URL): Promise<Way> {
    const proxy = this.#o.proxy(url)
    const byName: Way = { address: undefined, proxy }
    if (upstream.listed && url.origin === upstream.origin) return byName
    const found = await this.#find(url)
    // Most are at no such place, and where the registry is itself need not be known.
    const asks = found.places.length > 0 && upstream.listed
    const own = asks ? (await this.#find(new URL(upstream.origin))).places : []
    const place = found.places.find((place) => !own.includes(place))
    if (place !== undefined) {
      throw new Failure(
        'not-listed',
        `registry ${upstream.registry} leads to ${url.host}, which is ${place}; ` +
          `add --upstream ${upstream.registry}=${upstream.origin} to allow it`,
      )
    }
    if (isAddress(url.hostname) || isThisHost(hostOf(url.hostname)) || proxy !== undefined) return byName
    if (found.addresses.length === 0) throw unreachable(upstream, url, 'its name cannot be resolved; check DNS')
    return { address: await this.#choose(found, portOf(url)), proxy }
  }

  /** No answer came from that address; true if there is another to be tried now, which the next check gives. */
  async failed(url: URL, address: string): Promise<boolean> {
    const host = hostOf(url.hostname)
    const known = this.#known.get(host)
    const { addresses = [], chosen, failed } = (await known?.found) ?? {}
    if (!known || !chosen || !failed || !addresses.includes(address)) return false
    const port = portOf(url)
    const those = failed.get(port) ?? new Set()
    failed.set(port, those)
    // Those who were on their way to it as well choose nothing new.
    if (!those.has(address)) chosen.delete(port)
    those.add(address)
    if (those.size < addresses.length) return true
    // None is any good: its name may mean others by now.
    if (this.#known.get(host) === known) this.#known.delete(host)
    return false
  }

  #choose({ addresses, chosen, failed }: Found, port: number): Promise<string | undefined> {
    let choice = chosen.get(port)
    if (!choice) {
      const left = addresses.filter((address) => !failed.get(port)?.has(address))
      const some = left.length > 0 ? left : addresses
      choice = some.length === 1 ? Promise.resolve(some[0]) : this.#o.choose(some, port)
      chosen.set(port, choice)
    }
    return choice
  }

  /**
   * Nothing is not believed for long: a resolver that was late may be in time for the next. Behind a proxy it may well be
   * one that knows no names of the outside, and each request would wait for it.
   */
  #find(url: URL): Promise<Found> {
    const host = hostOf(url.hostname)
    const now = this.#clock.now()
    const known = this.#known.get(host)
    if (known && now - known.at < believedMs && !(known.vain && this.#o.proxy(url) === undefined)) return known.found
    const inVain = () => {
      looked.vain = true
    }
    const looked: Looked = { found: this.#resolve(host, inVain), at: now, vain: false }
    this.#known.set(host, looked)
    return looked.found
  }

  async #resolve(host: string, inVain: () => void): Promise<Found> {
    const own = await this.#o.own()
    const placeOf = (address: string) => this.#o.placeOf(address, own)
    const literal = placeOf(host)
    if (literal !== undefined) return known([], [literal])
    if (isThisHost(host)) return known([], ['this host'])
    if (isAddress(host)) return known([], [])
    let cancel = () => {}
    const late = new Promise<readonly string[]>((resolve) => {
      cancel = this.#clock.after(patienceMs, () => resolve([]))
    })
    try {
      const addresses = await Promise.race([this.#o.lookup(host), late])
      if (addresses.length === 0) inVain()
      const places = [...new Set(addresses.map(placeOf).filter((place) => place !== undefined))]
      return known(addresses, places)
    } finally {
      cancel()
    }
  }
}

function known(addresses: readonly string[], places: readonly Place[]): Found {
  return { addresses, places, chosen: new Map(), failed: new Map() }
}

function portOf(url: URL): number {
  return Number(url.port) || (url.protocol === 'https:' ? 443 : 80)
}

function hostOf(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
}

function isAddress(hostname: string): boolean {
  return isIP(hostOf(hostname)) !== 0
}

/** By convention (RFC 6761), whatever a resolver says of it. */
function isThisHost(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost')
}

function proxyOf(url: URL): string | undefined {
  return proxyFor(url, process.env)
}

async function addressesOf(host: string): Promise<string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address)
  } catch {
    // Whoever connects to it is told why.
    return []
  }
}
