/**
 * The kinds of value a setting can have: text as a person writes it in, a value in computable units out. The message
 * of each issue completes the sentence "expected ...".
 */
import { isAbsolute, resolve } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { type Address, isIPv4, parseAddress, parseHost } from '../listen.ts'
import { dockerHub, looksLikeRegistry, parseRegistry } from '../oci/reference.ts'
import type { EngineContentSetting, HomePattern, Upstream } from './settings.ts'
import { parseStateUrl, type StateUrl, stateUrlExpected } from './state-url.ts'

/** A kind made from a function that answers undefined for text it does not understand; then `expected` is told. */
export function kind<T>(expected: string | ((text: string) => string), parse: (text: string) => T | undefined) {
  return z.string().transform((text, context): T => {
    const value = parse(text.trim())
    if (value !== undefined) return value
    const message = typeof expected === 'string' ? expected : expected(text.trim())
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  })
}

export type Kind<T> = z.ZodType<T, string>

/** Space on disk: bytes, or a share of what is free. */
export type Size = { readonly bytes: number } | { readonly share: number }

const number = '([0-9]+(?:\\.[0-9]+)?)'
const sizePattern = new RegExp(`^${number}\\s*(?:([KMGTP])(i)?)?B?$`, 'i')
const sharePattern = new RegExp(`^${number}\\s*%$`)
const ratePattern = new RegExp(`^${number}\\s*([KMGT])?(i)?(bit|b)(?:/s|ps)$`, 'i')
const durationPattern = /^(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+$/
const exponents = { K: 1, M: 2, G: 3, T: 4, P: 5 } as const

function scale(prefix: string | undefined, binary: string | undefined): number {
  if (!prefix) return 1
  return (binary ? 1024 : 1000) ** exponents[prefix.toUpperCase() as keyof typeof exponents]
}

/** `20GiB`, `500MB`, `1048576`, `80%`. */
export const size: Kind<Size> = kind(
  'a size such as 20GiB or 500MB, or a share of the free space such as 80%',
  (text) => {
    const share = Number(sharePattern.exec(text)?.[1] ?? Number.NaN)
    if (share > 0 && share <= 100) return { share: share / 100 }
    const match = sizePattern.exec(text)
    const bytes = Math.round(Number(match?.[1]) * scale(match?.[2], match?.[3]))
    return bytes > 0 && Number.isSafeInteger(bytes) ? { bytes } : undefined
  },
)

/** `100MB/s` or `100Mbit/s`, in bytes per second. A small `b` that is not `bit` is refused: it could mean either. */
export const rate: Kind<number> = kind('a rate such as 100MB/s or 100Mbit/s', (text) => {
  const match = ratePattern.exec(text)
  if (!match || match[4] === 'b') return undefined
  const bits = match[4]!.toLowerCase() === 'bit'
  const bytes = Math.round((Number(match[1]) * scale(match[2], match[3])) / (bits ? 8 : 1))
  return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : undefined
})

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** `60s`, `1h30m`, `7d`, in ms. */
export const duration: Kind<number> = kind('a duration such as 60s, 90m, 24h or 7d', (text) => {
  if (text === '0') return 0
  if (!durationPattern.test(text)) return undefined
  const parts = text.matchAll(/([0-9.]+)(ms|s|m|h|d)/g)
  const ms = [...parts].reduce((sum, [, count, unit]) => sum + Number(count) * units[unit as keyof typeof units], 0)
  return Number.isSafeInteger(Math.round(ms)) ? Math.round(ms) : undefined
})

/** `24h`; nothing shorter than a minute, which would empty the cache while it is filled. */
export const lifetime: Kind<number> = kind('a duration of a minute or more, such as 24h or 7d', (text) => {
  const ms = duration.safeParse(text).data
  return ms !== undefined && ms >= 60_000 ? ms : undefined
})

export const address: Kind<Address> = kind(
  'an address such as 127.0.0.1:4880, [::1]:4880 or localhost:0 (0: any free port)',
  parseAddress,
)

export const host: Kind<string> = kind('a host name or an IP address without a port', parseHost)

const truths: Record<string, boolean> = {
  true: true,
  yes: true,
  on: true,
  1: true,
  false: false,
  no: false,
  off: false,
  0: false,
}

export const toggle: Kind<boolean> = kind('true or false', (text) => {
  const word = text.toLowerCase()
  return Object.hasOwn(truths, word) ? truths[word] : undefined
})

export function choice<const T extends string>(words: readonly T[]): Kind<T> {
  const list = `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
  return kind(list, (text) => words.find((word) => word === text)).meta({ words })
}

/** What may be chosen from; none for a kind that is no {@link choice}. */
export function wordsOf(kind: Kind<unknown>): readonly string[] {
  const words: unknown = kind.meta()?.words
  return Array.isArray(words) ? words.map(String) : []
}

/** Up to three components; deeper ones would never be compared. */
export const zone: Kind<string> = kind('region/zone/rack, or the first one or two of them', (text) =>
  text.length <= 128 && /^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+){0,2}$/.test(text) ? text : undefined,
)

/** A path, made absolute so that it means the same after a change of directory. */
export const path: Kind<string> = kind('a path', (text) => {
  if (text === '') return undefined
  return isAbsolute(text) ? text : resolve(text)
})

/** `auto`, `off`, or a folder. */
export const engineContent: Kind<EngineContentSetting> = kind('auto, off, or an absolute path', (text) => {
  if (text === 'auto' || text === 'off') return text
  // A word that is none of these is a slip, not a folder in the current one.
  return isAbsolute(text) ? { dir: text } : undefined
})

export const defaultP2pPort = 4882

/** One entry of the seed list, as a multiaddr. */
export const join: Kind<string> = kind(
  'host, host:port (of the libp2p address), or a multiaddr such as /ip4/10.0.0.7/tcp/4882',
  (text) => {
    if (text.startsWith('/')) return multiaddrOf(text)
    const bare = parseHost(text)
    const target = bare ? { host: bare, port: defaultP2pPort } : parseAddress(text)
    if (!target || target.port === 0) return undefined
    const family = target.host.includes(':') ? 'ip6' : isIPv4(target.host) ? 'ip4' : 'dns'
    return `/${family}/${target.host}/tcp/${target.port}`
  },
)

function multiaddrOf(text: string): string | undefined {
  try {
    const parsed = multiaddr(text)
    return parsed.getComponents().some((component) => component.name === 'tcp') ? parsed.toString() : undefined
  } catch {
    return undefined
  }
}

/** A URL; without a path it gets the one that OTLP collectors listen at. */
export const endpoint: Kind<string> = kind('a URL of a collector, such as http://10.0.0.9:4318', (text) => {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password) return undefined
  if (url.pathname === '/') url.pathname = '/v1/traces'
  return url.href
})

/** `ghcr.io=https://ghcr.io` */
export const upstream: Kind<Upstream> = kind(
  'NAME=URL such as ghcr.io=https://ghcr.io (credentials belong in --credentials-file)',
  (text) => {
    const equals = text.indexOf('=')
    if (equals < 1) return undefined
    const registry = registryOf(text.slice(0, equals).trim())
    const url = URL.parse(text.slice(equals + 1).trim())
    if (!registry || !url || !/^https?:$/.test(url.protocol)) return undefined
    if (url.username || url.password || url.search || url.hash) return undefined
    return { registry, url: url.href.replace(/\/+$/, '') }
  },
)

/** Where several nodes share their state. */
export const stateUrl: Kind<StateUrl> = kind(stateUrlExpected, parseStateUrl)
const mostPattern = 256

/**
 * `apps.corp/**`, `apps.corp/team/*=file:///srv/images`. The registry stands there in full: a pattern that takes in others
 * would take their images away from everybody. Without one it is Docker Hub's, as with a name; but who begins with a wildcard
 * means something else.
 */
export const home: Kind<HomePattern> = kind(
  (text) =>
    beginsWithWildcard(text)
      ? "a registry's name in front, such as apps.corp/**, or docker.io/** for Docker Hub: a wildcard does not stand for registries"
      : 'a pattern such as apps.corp/** or docker.io/ours/*, and perhaps = and the URL of a backend without credentials',
  (text) => {
    if (beginsWithWildcard(text)) return undefined
    const equals = text.indexOf('=')
    const said = (equals < 0 ? text : text.slice(0, equals)).trim()
    const first = said.split('/', 1)[0]!
    const pattern = looksLikeRegistry(first) ? said : `${dockerHub}/${said}`
    const slash = pattern.indexOf('/')
    const registry = registryOf(pattern.slice(0, Math.max(slash, 0)))
    const names = pattern.slice(slash + 1)
    if (!registry || pattern.length > mostPattern || !/^[a-z0-9*?._-]+(?:\/[a-z0-9*?._-]+)*$/.test(names))
      return undefined
    const whole = `${registry}/${names}`
    if (equals < 0) return { pattern: whole }
    const url = URL.parse(text.slice(equals + 1).trim())
    return url && !url.username && !url.password ? { pattern: whole, backend: url.href } : undefined
  },
)

function beginsWithWildcard(pattern: string): boolean {
  return /^[^/=]*[*?]/.test(pattern)
}

function registryOf(name: string): string | undefined {
  try {
    return parseRegistry(name)
  } catch (error) {
    if (error instanceof Failure) return undefined
    throw error
  }
}
