/**
 * Which addresses are this host's own: those that the kernel delivers to itself. `os.networkInterfaces()` has not all of
 * them: none of an interface without a carrier, as `docker0` is while no container uses it, and no network that is routed here whole.
 */
import { readFile } from 'node:fs/promises'
import { BlockList } from 'node:net'
import type { Clock } from '../clock.ts'

/** A host gets and loses addresses while a node runs. In ms. */
const believedMs = 60_000

export class OwnAddresses {
  readonly #clock: Clock
  readonly #read: () => Promise<BlockList>
  #known: { readonly list: Promise<BlockList>; readonly at: number } | undefined

  constructor(clock: Clock, read: () => Promise<BlockList> = readOwn) {
    this.#clock = clock
    this.#read = read
  }

  /** As they were within the last minute. */
  get(): Promise<BlockList> {
    const now = this.#clock.now()
    if (this.#known === undefined || now - this.#known.at >= believedMs) this.#known = { list: this.#read(), at: now }
    return this.#known.list
  }
}

async function readOwn(): Promise<BlockList> {
  const text = (file: string) => readFile(file, 'latin1').catch(() => '')
  const [trie, inet6] = await Promise.all(['/proc/net/fib_trie', '/proc/net/if_inet6'].map(text))
  return ownIn(trie!, inet6!)
}

/** Reads it from the kernel's lists of IPv4 routes and of IPv6 addresses. Pure. */
export function ownIn(trie: string, inet6: string): BlockList {
  const list = new BlockList()
  // A leaf is followed by its routes: `|-- 10.0.0.7`, `/32 host LOCAL`.
  for (const [, network, routes] of trie.matchAll(/\|-- ([\d.]+)\n((?: *\/\d+ [^\n]*\n?)*)/g)) {
    for (const [, prefix] of routes!.matchAll(/\/(\d+) host LOCAL/g)) list.addSubnet(network!, Number(prefix), 'ipv4')
  }
  // 32 hexadecimal digits first.
  for (const [digits] of inet6.matchAll(/^[0-9a-f]{32}(?= )/gm)) {
    list.addAddress(digits.match(/.{4}/g)!.join(':'), 'ipv6')
  }
  return list
}
