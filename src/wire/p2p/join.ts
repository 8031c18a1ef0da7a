/** Entries of the seed list. */
import {
  CODE_DNS,
  CODE_DNS4,
  CODE_DNS6,
  CODE_IP4,
  CODE_IP6,
  CODE_P2P,
  CODE_TCP,
  multiaddr,
} from '@multiformats/multiaddr'
import { Failure } from '../../failure.ts'
import { parseAddress, parseHost } from '../../listen.ts'
import { multiaddrOf } from './host.ts'

/** The libp2p port of a node, when an entry names none. */
export const defaultP2pPort = 4882

/** `host`, `host:port` or a multiaddr, as a multiaddr. @throws {Failure} `bad-request` that says what is accepted */
export function parseJoin(entry: string): string {
  const wrong = (why: string) =>
    new Failure(
      'bad-request',
      `--join ${entry}: ${why}; expected host, host:port (default ${defaultP2pPort}) or a multiaddr such as /ip4/10.0.0.7/tcp/${defaultP2pPort}`,
    )
  if (entry.startsWith('/')) return checked(entry, wrong)
  const host = parseHost(entry)
  if (host !== undefined) return multiaddrOf(host, defaultP2pPort)
  const address = parseAddress(entry)
  if (!address || address.port === 0) throw wrong('not an address')
  return multiaddrOf(address.host, address.port)
}

/** An entry that is a host name. */
export interface NamedEntry {
  readonly entry: string
  readonly host: string
  /** The same at one of its addresses; undefined for an address of the other family than it is meant for. */
  at(ip: string): string | undefined
}

/** Undefined for a multiaddr that has an address already. */
export function nameIn(entry: string): NamedEntry | undefined {
  const [first, ...rest] = multiaddr(entry).getComponents()
  const families: Partial<Record<number, readonly string[]>> = {
    [CODE_DNS]: ['ip4', 'ip6'],
    [CODE_DNS4]: ['ip4'],
    [CODE_DNS6]: ['ip6'],
  }
  const family = families[first?.code ?? -1]
  if (!family || first?.value === undefined) return undefined
  const tail = rest.map(({ name, value }) => `/${name}/${value}`).join('')
  return {
    entry,
    host: first.value,
    at(ip) {
      const kind = ip.includes(':') ? 'ip6' : 'ip4'
      return family.includes(kind) ? `/${kind}/${ip}${tail}` : undefined
    },
  }
}

function checked(entry: string, wrong: (why: string) => Failure): string {
  const dialable: readonly number[] = [CODE_IP4, CODE_IP6, CODE_DNS, CODE_DNS4, CODE_DNS6]
  let codes: number[]
  try {
    codes = multiaddr(entry)
      .getComponents()
      .map((component) => component.code)
  } catch {
    throw wrong('not a multiaddr')
  }
  const [first, second, third] = codes
  const fits = dialable.includes(first ?? -1) && second === CODE_TCP && (third === undefined || third === CODE_P2P)
  if (!fits || codes.length > 3) throw wrong('nodes are reached over TCP')
  return entry
}
