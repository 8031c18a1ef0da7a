/**
 * Where a node may connect to on behalf of a client. Clients name registries, registries redirect and name token
 * servers, and DNS says whatever its owner likes: so every connection is checked, after resolution. What the operator
 * listed is allowed wherever it is; and a listed registry on this host, say, may send to other ports of this host.
 *
 * Between a check and a connection a name may come to mean another address. So the connection is made to an address that
 * was checked, under the name; only a proxy, where one is set, resolves by itself.
 */
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { firstToAnswer } from './first-to-answer.ts'
import { type Place, placeOf } from './places.ts'
import { unreachable } from './unreachable.ts'
import type { Upstream } from './upstreams.ts'

export interface ReachOptions {
  /** Addresses of a host name; empty when it has none, or nobody answers. */
  readonly lookup?: (host: string) => Promise<readonly string[]>
  /** Which of some addresses to connect to. */
  readonly choose?: (addresses: readonly string[], port: number) => Promise<string | undefined>
  /** Whether requests to that URL go through a proxy. */
  readonly proxied?: (url: URL) => boolean
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
}

export class Reach {
  readonly #clock: Clock
  readonly #o: Required<ReachOptions>
  readonly #known = new LRUCache<string, { readonly found: Promise<Found>; readonly at: number }>({ max: 1024 })

  constructor(clock: Clock, { lookup = addressesOf, choose = firstToAnswer, proxied = hasProxy }: ReachOptions = {}) {
    this.#clock = clock
    this.#o = { lookup, choose, proxied }
  }

  /**
   * The address to connect to for `url`; undefined where its host is one itself, or may be whatever it is resolved to.
   * @throws {Failure} `not-listed` if it leads to where this node must not be sent for that registry, `unavailable` if
   * its name has no address
   */
  async check(upstream: Upstream, url: URL): Promise<string | undefined> {
    if (upstream.listed && url.origin === upstream.origin) return undefined
    const found = await this.#find(url.hostname)
    const own = upstream.listed ? (await this.#find(new URL(upstream.origin).hostname)).places : []
    const place = found.places.find((place) => !own.includes(place))
    if (place !== undefined) {
      throw new Failure(
        'not-listed',
        `registry ${upstream.registry} leads to ${url.host}, which is ${place}; ` +
          `add --upstream ${upstream.registry}=${upstream.origin} to allow it`,
      )
    }
    if (isAddress(url.hostname) || isThisHost(hostOf(url.hostname)) || this.#o.proxied(url)) return undefined
    if (found.addresses.length === 0) throw unreachable(upstream, url, 'its name cannot be resolved; check DNS')
    return this.#choose(found, Number(url.port) || (url.protocol === 'https:' ? 443 : 80))
  }

  #choose({ addresses, chosen }: Found, port: number): Promise<string | undefined> {
    let choice = chosen.get(port)
    if (!choice) {
      choice = addresses.length === 1 ? Promise.resolve(addresses[0]) : this.#o.choose(addresses, port)
      chosen.set(port, choice)
    }
    return choice
  }

  #find(hostname: string): Promise<Found> {
    const host = hostOf(hostname)
    const now = this.#clock.now()
    const known = this.#known.get(host)
    if (known && now - known.at < believedMs) return known.found
    const found = this.#resolve(host)
    this.#known.set(host, { found, at: now })
    return found
  }

  async #resolve(host: string): Promise<Found> {
    const literal = placeOf(host)
    if (literal !== undefined) return { addresses: [], places: [literal], chosen: new Map() }
    if (isThisHost(host)) return { addresses: [], places: ['this host'], chosen: new Map() }
    if (isAddress(host)) return { addresses: [], places: [], chosen: new Map() }
    let cancel = () => {}
    const late = new Promise<readonly string[]>((resolve) => {
      cancel = this.#clock.after(patienceMs, () => resolve([]))
    })
    try {
      const addresses = await Promise.race([this.#o.lookup(host), late])
      // Nothing is not believed for long: a resolver that was late may be in time for the next.
      if (addresses.length === 0) this.#known.delete(host)
      const places = [...new Set(addresses.map(placeOf).filter((place) => place !== undefined))]
      return { addresses, places, chosen: new Map() }
    } finally {
      cancel()
    }
  }
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

/** As the runtime does it: each scheme has a variable, in either case. */
function hasProxy(url: URL): boolean {
  const name = url.protocol === 'https:' ? 'https_proxy' : 'http_proxy'
  return Boolean(process.env[name] || process.env[name.toUpperCase()])
}

async function addressesOf(host: string): Promise<string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address)
  } catch {
    // Whoever connects to it is told why.
    return []
  }
}
