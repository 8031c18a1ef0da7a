/**
 * Where a node may connect to on behalf of a client. Clients name registries, registries redirect and name token
 * servers, and DNS says whatever its owner likes: so every connection is checked, after resolution. What the operator
 * listed is allowed wherever it is; and a listed registry on this host, say, may send to other ports of this host.
 *
 * Between the check and the connection a name may come to mean another address. Where that matters, TLS stands in the way:
 * registries that are not listed are spoken to by HTTPS only, redirects included, and whatever answers at such an
 * address has no certificate for the name.
 */
import { lookup } from 'node:dns/promises'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { type Place, placeOf } from './places.ts'
import type { Upstream } from './upstreams.ts'

/** Addresses of a host name; empty when it has none, or nobody answers. */
export type Lookup = (host: string) => Promise<readonly string[]>

/** As long as runtimes keep what they resolved, in ms. */
const believedMs = 30_000
/** A slow answer holds nobody up: the connection waits for its own, under its own deadline. */
const patienceMs = 5_000

export class Reach {
  readonly #clock: Clock
  readonly #lookup: Lookup
  readonly #known = new LRUCache<string, { readonly places: Promise<readonly Place[]>; readonly at: number }>({
    max: 1024,
  })

  constructor(clock: Clock, lookup: Lookup = addressesOf) {
    this.#clock = clock
    this.#lookup = lookup
  }

  /** @throws {Failure} `not-listed` if `url` leads to where this node must not be sent for that registry */
  async check(upstream: Pick<Upstream, 'registry' | 'origin' | 'listed'>, url: URL): Promise<void> {
    if (upstream.listed && url.origin === upstream.origin) return
    const places = await this.#placesOf(url.hostname)
    if (places.length === 0) return
    const own = upstream.listed ? await this.#placesOf(new URL(upstream.origin).hostname) : []
    const place = places.find((place) => !own.includes(place))
    if (place === undefined) return
    throw new Failure(
      'not-listed',
      `registry ${upstream.registry} leads to ${url.host}, which is ${place}; ` +
        `add --upstream ${upstream.registry}=${upstream.origin} to allow it`,
    )
  }

  #placesOf(hostname: string): Promise<readonly Place[]> {
    const host = hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
    const now = this.#clock.now()
    const known = this.#known.get(host)
    if (known && now - known.at < believedMs) return known.places
    const places = this.#resolve(host)
    this.#known.set(host, { places, at: now })
    return places
  }

  async #resolve(host: string): Promise<readonly Place[]> {
    const literal = placeOf(host)
    if (literal !== undefined) return [literal]
    // By convention (RFC 6761), whatever a resolver says of it.
    if (host === 'localhost' || host.endsWith('.localhost')) return ['this host']
    let cancel = () => {}
    const late = new Promise<readonly string[]>((resolve) => {
      cancel = this.#clock.after(patienceMs, () => resolve([]))
    })
    try {
      const addresses = await Promise.race([this.#lookup(host), late])
      return [...new Set(addresses.map(placeOf).filter((place) => place !== undefined))]
    } finally {
      cancel()
    }
  }
}

async function addressesOf(host: string): Promise<string[]> {
  try {
    return (await lookup(host, { all: true })).map(({ address }) => address)
  } catch {
    // Whoever connects to it is told why.
    return []
  }
}
