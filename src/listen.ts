/**
 * Addresses to listen on, and what to tell an operator when one cannot be had. Names and the flag that sets the
 * address are in the message, because at that moment they are all that matters.
 */
import type { Server } from 'node:http'
import { isIP } from 'node:net'

export interface Address {
  /** Host name, IPv4, or IPv6 without brackets. */
  readonly host: string
  /** 0 lets the kernel choose. */
  readonly port: number
}

const hostName = /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*$/i

/** A host name or an IP address; IPv6 with or without brackets, returned without. Undefined for anything else. */
export function parseHost(text: string): string | undefined {
  const bare = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text
  if (bare.includes(':')) return isIPv6(bare) ? bare : undefined
  // All digits and dots is meant as IPv4: 10.0.0.300 must not pass as a host name.
  if (/^[0-9.]+$/.test(text)) return isIPv4(text) ? text : undefined
  return hostName.test(text) ? text : undefined
}

/** `host:port` or `[v6]:port`; undefined for anything else. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(\[[^\]]+\]|[^:[\]]+):([0-9]{1,5})$/.exec(text)
  const host = match && parseHost(match[1]!)
  const port = Number(match?.[2])
  return host && port <= 65535 ? { host, port } : undefined
}

export function formatAddress(address: Address): string {
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
}

/** The host in a `Host` header, in lower case: `localhost` of `localhost:4883`, `::1` of `[::1]:4883`. */
export function hostIn(header: string): string {
  return header
    .replace(/:\d+$/, '')
    .replace(/^\[(.*)\]$/, '$1')
    .toLowerCase()
}

/**
 * Whether a `Host` header means this host: by an address, as `localhost`, or by one of its names. Programs say whom they
 * ask; a web page whose own name has come to mean an address of this host (DNS rebinding) asks by that name. Pure.
 * @param header undefined where there is none, which browsers always send
 */
export function meansThisHost(header: string | undefined, names: readonly string[]): boolean {
  if (header === undefined) return true
  const name = hostIn(header)
  return isIP(name) !== 0 || isLoopback(name) || names.some((each) => each.toLowerCase() === name)
}

/** True when only this host can reach it. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
}

/**
 * What `localhost` means beside an address that it means: 127.0.0.1 and ::1, of which Go programs, engines among them, ask
 * ::1 first. Undefined for any other address, and for `::`, which is both. Pure.
 */
export function twinOf({ host, port }: Address): Address | undefined {
  if (host === '::1') return { host: '127.0.0.1', port }
  return host === '127.0.0.1' || host === '0.0.0.0' ? { host: '::1', port } : undefined
}

/** `localhost` as the first of the two, so that nobody need be asked which it is; any other as it is. Pure. */
export function numbered(address: Address): Address {
  return address.host === 'localhost' ? { ...address, host: '127.0.0.1' } : address
}

export function isIPv4(text: string): boolean {
  return /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/.test(text)
}

function isIPv6(text: string): boolean {
  return text.includes(':') && URL.canParse(`http://[${text}]/`)
}

/** A port could not be opened. The message is for the operator and needs no stack trace. */
export class ListenError extends Error {
  override readonly name = 'ListenError'
  readonly code: string

  /** `flag` is the one that sets the address: `--registry-addr`. */
  constructor(error: unknown, address: Address, flag: string) {
    const code = codeOf(error)
    const where = `${formatAddress(address)} (${flag})`
    const messages: Record<string, string> = {
      EADDRINUSE: `${where} is in use by another program; stop it or choose another address`,
      EACCES: `${where} needs more rights than this process has; run as root or choose a port above 1023`,
      EADDRNOTAVAIL: `${where} is not an address of this host; choose one that \`ip address\` lists, or 0.0.0.0 for all`,
    }
    const reason = error instanceof Error ? error.message : String(error)
    super(messages[code] ?? `cannot listen on ${where}: ${reason}`, { cause: error })
    this.code = code
  }
}

/**
 * Runs `start` (a call of `Bun.serve`, say), which opens `address`.
 * @throws {ListenError}
 */
export function listen<T>(address: Address, flag: string, start: () => T): T {
  try {
    return start()
  } catch (error) {
    throw new ListenError(error, address, flag)
  }
}

/**
 * Opens `address` for a node:http server and resolves with the address it got.
 * @throws {ListenError}
 */
export function listenHttp(server: Server, address: Address, flag: string): Promise<Address> {
  return new Promise((resolve, reject) => {
    const failed = (error: Error) => reject(new ListenError(error, address, flag))
    server.once('error', failed)
    server.listen(address.port, address.host, () => {
      server.off('error', failed)
      const bound = server.address()
      resolve(typeof bound === 'object' && bound ? { host: address.host, port: bound.port } : address)
    })
  })
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
