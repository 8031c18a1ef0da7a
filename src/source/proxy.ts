/**
 * Which proxy a request to a source goes through, as the environment says: `http_proxy`, `https_proxy`, `all_proxy` and
 * `no_proxy`, in either case, the lower one first. Decided here and not by the runtime, for what does not go through a
 * proxy is connected to an address that was checked, and the runtime would look for that address in `NO_PROXY`. Pure.
 *
 * An entry of `NO_PROXY` is a name, which stands for all names below it too, an address, a network (`10.0.0.0/8`), or
 * `*`; a name or an address may have a port. This host itself is never behind a proxy, as in programs written in Go.
 */
import { BlockList, isIP } from 'node:net'
import { isLoopback } from '../listen.ts'

type Environment = Readonly<Record<string, string | undefined>>

export function proxyFor(url: URL, env: Environment): string | undefined {
  const named = variable(env, url.protocol === 'https:' ? 'https_proxy' : 'http_proxy')
  const other = variable(env, 'all_proxy')
  // What speaks SOCKS may be meant for other programs; of a variable for HTTP it is a mistake that shall be heard of.
  const proxy = named ?? (/^(?:https?:|(?![a-z0-9]+:\/\/))/i.test(other ?? '') ? other : undefined)
  if (proxy === undefined || isDirect(url, variable(env, 'no_proxy') ?? '')) return undefined
  return proxy.includes('://') ? proxy : `http://${proxy}`
}

function variable(env: Environment, name: string): string | undefined {
  return env[name]?.trim() || env[name.toUpperCase()]?.trim() || undefined
}

function isDirect(url: URL, noProxy: string): boolean {
  const host = bare(url.hostname)
  if (isLoopback(host) || host.endsWith('.localhost')) return true
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return noProxy
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => entry !== '' && (entry === '*' || covers(entry, host, port)))
}

function covers(entry: string, host: string, port: string): boolean {
  if (entry.includes('/')) return inNetwork(entry, host)
  const [, name = '', itsPort] = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(entry) ?? [entry, entry]
  if (itsPort !== undefined && itsPort !== port) return false
  const wanted = bare(name.replace(/^\*?\./, ''))
  if (wanted === '') return false
  return host === wanted || (isIP(host) === 0 && host.endsWith(`.${wanted}`))
}

function inNetwork(entry: string, host: string): boolean {
  const [network = '', prefix = ''] = entry.split('/')
  const family = isIP(network)
  if (family === 0 || isIP(host) !== family || !/^\d{1,3}$/.test(prefix)) return false
  if (Number(prefix) > (family === 4 ? 32 : 128)) return false
  const list = new BlockList()
  const kind = family === 4 ? 'ipv4' : 'ipv6'
  list.addSubnet(network, Number(prefix), kind)
  return list.check(host, kind)
}

function bare(hostname: string): string {
  return hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
}
