/** Which URL a registry is reached at, and whom it must prove to be. */
import { readFileSync } from 'node:fs'
import { rootCertificates } from 'node:tls'
import { Failure } from '../failure.ts'
import { dockerHub } from '../oci/reference.ts'

export interface UpstreamOptions {
  /**
   * `https:` or `http:`. A path is a prefix in front of `/v2/`; if it begins with `/v2/`, as in
   * `https://harbor.corp/v2/hub`, it stands for the whole beginning of a repository's path.
   */
  readonly url: URL
  /** PEM file of certificate authorities that are trusted for this registry beside the usual ones. */
  readonly caFile?: string
}

/** By registry, as references name it: its endpoints in order of preference, at least one. */
export type ListedUpstreams = ReadonlyMap<string, readonly UpstreamOptions[]>

export interface Upstream {
  /** As in references: `docker.io`. */
  readonly registry: string
  /** Up to and including `/v2/...`, without the slash at its end. */
  readonly base: string
  /** Where it says that it is a registry: `/v2/` itself, whatever follows it in `base`. */
  readonly root: string
  readonly origin: string
  /** The operator said where it is. */
  readonly listed: boolean
  /** What credentials are kept under: the host they are sent to, which is not the registry's name for a mirror. */
  readonly account: string
  readonly tls?: { readonly ca: string }
}

export class Upstreams {
  #listed: ReadonlyMap<string, readonly Upstream[]>
  #onlyListed: boolean
  readonly #ca: string | undefined

  /** @throws {Error} for a URL or a CA file that cannot be used, so that a node fails at start */
  constructor(listed: ListedUpstreams, options: { readonly onlyListed: boolean; readonly caFile?: string }) {
    this.#onlyListed = options.onlyListed
    this.#ca = options.caFile === undefined ? undefined : readAuthorities(options.caFile)
    this.#listed = this.#readAll(listed)
  }

  /** Puts others in their place; requests under way end as they began. @throws {Error} as the constructor; all stay then */
  replace(listed: ListedUpstreams, onlyListed: boolean): void {
    this.#listed = this.#readAll(listed)
    this.#onlyListed = onlyListed
  }

  #readAll(listed: ListedUpstreams): Map<string, readonly Upstream[]> {
    const read = ([registry, endpoints]: [string, readonly UpstreamOptions[]]) => {
      const upstreams = endpoints.map(({ url, caFile }) => {
        const own = caFile === undefined ? [] : [readAuthorities(caFile)]
        return upstreamAt(registry, url, true, own, this.#ca)
      })
      if (upstreams.length === 0) throw new Error(`upstream ${registry}: it has no URL`)
      return [registry, upstreams] as const
    }
    return new Map([...listed].map(read))
  }

  /** Registries that have a choice of endpoints. */
  several(): (readonly Upstream[])[] {
    return [...this.#listed.values()].filter(({ length }) => length > 1)
  }

  lists(registry: string): boolean {
    return this.#listed.has(registry)
  }

  /** A server that is no registry; listed if a registry there is. @throws {Failure} `not-listed` */
  at({ origin, host }: URL): Upstream {
    const upstream = [...this.#listed.values()].flat().find((each) => each.origin === origin)
    if (upstream) return { ...upstream, registry: host }
    if (this.#onlyListed) throw notListed(host, origin)
    return upstreamAt(host, new URL(origin), false, [], this.#ca)
  }

  /** Where the registry is, in order of preference. @throws {Failure} `not-listed` */
  all(registry: string): readonly Upstream[] {
    const listed = this.#listed.get(registry)
    if (listed) return listed
    if (this.#onlyListed) throw notListed(registry, `https://${registry}`)
    const host = registry === dockerHub ? 'registry-1.docker.io' : registry
    return [upstreamAt(registry, new URL(`https://${host}`), false, [], this.#ca)]
  }

  /** The endpoint that is preferred. @throws {Failure} `not-listed` */
  find(registry: string): Upstream {
    return this.all(registry)[0]!
  }

  /**
   * Registries that a URL of a registry's API leads to, as references name them, and the rest of the path: the most
   * particular first. A registry behind a proxy that ends TLS believes that it is reached by http, so the scheme does not
   * matter. Without one that is listed it is the one of that host; empty for a URL that is of no registry's API.
   */
  leadingTo(url: URL): { readonly registry: string; readonly path: string }[] {
    const listed = [...this.#listed.values()].flat().flatMap(({ registry, base }) => {
      const { host, pathname } = new URL(base)
      const below = host === url.host && url.pathname.startsWith(`${pathname}/`)
      return below ? [{ registry, path: url.pathname.slice(pathname.length + 1) }] : []
    })
    if (listed.length === 0 && url.pathname.startsWith('/v2/')) {
      return [{ registry: url.host, path: url.pathname.slice('/v2/'.length) }]
    }
    const shortest = listed.sort((a, b) => a.path.length - b.path.length)
    return shortest.filter(({ registry }, i) => shortest.findIndex((each) => each.registry === registry) === i)
  }
}

function notListed(registry: string, url: string): Failure {
  return new Failure(
    'not-listed',
    `registry ${registry} is not among this node's upstreams, and it may use no other; ` +
      `add --upstream ${registry}=${url} to allow it`,
  )
}

function upstreamAt(
  registry: string,
  url: URL,
  listed: boolean,
  own: readonly string[],
  shared: string | undefined,
): Upstream {
  if (url.protocol !== 'https:' && url.protocol !== 'http:') {
    throw new Error(`upstream ${registry}: ${url.protocol}// is not supported; use https:// or http://`)
  }
  if (url.username !== '' || url.password !== '') {
    throw new Error(`upstream ${registry}: its URL must not hold credentials; put them into the credentials file`)
  }
  const prefix = url.pathname.replace(/\/+$/, '')
  const authorities = shared === undefined ? own : [...own, shared]
  const whole = prefix === '/v2' || prefix.startsWith('/v2/')
  return {
    registry,
    base: url.origin + (whole ? prefix : `${prefix}/v2`),
    root: `${url.origin}${whole ? '' : prefix}/v2/`,
    origin: url.origin,
    listed,
    account: url.host === 'registry-1.docker.io' || url.host === 'index.docker.io' ? dockerHub : url.host,
    // `ca` replaces the built-in roots; redirects may lead to hosts that only those vouch for.
    ...(authorities.length > 0 ? { tls: { ca: [...authorities, ...rootCertificates].join('\n') } } : {}),
  }
}

function readAuthorities(path: string): string {
  const pem = readFileSync(path, 'utf8')
  if (!pem.includes('-----BEGIN CERTIFICATE-----')) throw new Error(`${path} holds no PEM certificate`)
  return pem
}
