/**
 * Finds the others: dials the seed list and whoever mDNS discovers, and says hello. An entry of the seed list is tried
 * for ever: it may be down when this node starts, or be gone for a week. Once the node behind it is a live member,
 * there is nothing to do until it is one no more.
 */
import type { PeerId } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import pLimit from 'p-limit'
import type { Clock, Random } from '../clock.ts'
import type { MemberTable } from '../cluster/member-table.ts'
import type { NodeId, NodeInfo } from '../cluster/node-info.ts'
import type { Log } from '../telemetry/log.ts'
import type { Greeter } from './hello.ts'
import type { Host } from './host.ts'
import type { Found } from './mdns.ts'

const backoff = { first: 500, factor: 1.7, most: 10_000 } as const
/** How often an entry whose node is a member is looked at; and one whose node this node need not know. */
const checkEvery = 3_000
const checkSeldom = 60_000
const dialTimeout = 5_000
/** The side with the larger id gives the other one a head start, lest both dial. */
const headStart = 1_500

export interface JoinerOptions {
  readonly host: Host
  readonly greeter: Greeter
  readonly table: MemberTable
  /** Multiaddrs. */
  readonly join: readonly string[]
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

interface Entry {
  readonly address: string
  /** Who answered there last. */
  node: NodeId | undefined
  failures: number
  ignored: boolean
}

export class Joiner {
  readonly #options: JoinerOptions
  readonly #dials = pLimit(8)
  readonly #meeting = new Map<NodeId, Promise<NodeInfo | undefined>>()
  readonly #shunned = new Map<NodeId, { failures: number; until: number }>()
  readonly #timers = new Set<() => void>()
  #closed = false

  constructor(options: JoinerOptions) {
    this.#options = options
  }

  start(): void {
    const { join } = this.#options
    for (const address of join) void this.#pursue({ address, node: undefined, failures: 0, ignored: false })
  }

  close(): void {
    this.#closed = true
    for (const cancel of this.#timers) cancel()
    this.#timers.clear()
  }

  /** Dials a node known by its peer id, and says hello; `undefined` when that fails. Concurrent calls share one dial. */
  meet(id: PeerId, signal?: AbortSignal): Promise<NodeInfo | undefined> {
    return this.#meet(id.toString(), id, signal)
  }

  #meet(key: NodeId, target: PeerId | Multiaddr[], signal?: AbortSignal): Promise<NodeInfo | undefined> {
    const running = this.#meeting.get(key)
    if (running) return running
    const meeting = this.#dials(() => this.#dial(target, signal))
      .catch((error) => {
        this.#options.log.debug('could not say hello', { node: key, error: String(error) })
        return undefined
      })
      .finally(() => this.#meeting.delete(key))
    this.#meeting.set(key, meeting)
    return meeting
  }

  /** A node was discovered on the local network. */
  found(node: Found): void {
    const key = node.id
    const { table, clock } = this.#options
    if (this.#closed || table.find(key) || (this.#shunned.get(key)?.until ?? 0) > clock.now()) return
    const meet = async () => {
      if (this.#closed || table.find(key)) return
      const info = await this.#meet(key, addressesOf(node))
      // A mere peer is not kept as a member by other peers: no use in meeting it again soon.
      if (info && table.find(key)) this.#shunned.delete(key)
      else this.#shun(key)
    }
    if (table.self.id < key) void meet()
    else this.#after(headStart, meet)
  }

  /** A node that cannot be met, of another cluster perhaps, is asked less and less often. */
  #shun(key: NodeId): void {
    const failures = (this.#shunned.get(key)?.failures ?? 0) + 1
    const until = this.#options.clock.now() + Math.min(300_000, 5_000 * 2 ** failures)
    if (this.#shunned.size > 4096) this.#shunned.clear()
    this.#shunned.set(key, { failures, until })
  }

  async #pursue(entry: Entry): Promise<void> {
    const { table, random, log } = this.#options
    if (this.#closed || entry.ignored) return
    if (entry.node !== undefined && table.find(entry.node)) {
      this.#after(checkEvery, () => this.#pursue(entry))
      return
    }
    try {
      const info = await this.#dials(() => this.#dial(multiaddr(entry.address)))
      entry.node = info.id
      if (entry.failures > 0) log.info('joined', { through: entry.address, node: info.id })
      entry.failures = 0
      this.#after(table.find(info.id) ? checkEvery : checkSeldom, () => this.#pursue(entry))
    } catch (error) {
      if (this.#closed) return
      if (isSelf(error)) {
        entry.ignored = true
        log.debug('an entry of the seed list is this node itself', { address: entry.address })
        return
      }
      const wait = Math.min(backoff.most, backoff.first * backoff.factor ** entry.failures) * (0.75 + random() / 2)
      // Once is enough to tell; a seed list may well name hosts that come up later.
      if (entry.failures === 0) {
        log.warn('cannot reach an entry of the seed list; trying on', { address: entry.address, error: plain(error) })
      }
      entry.failures++
      this.#after(wait, () => this.#pursue(entry))
    }
  }

  async #dial(target: PeerId | Multiaddr | Multiaddr[], signal?: AbortSignal): Promise<NodeInfo> {
    const timeout = AbortSignal.timeout(dialTimeout)
    const either = signal ? AbortSignal.any([signal, timeout]) : timeout
    const connection = await this.#options.host.dial(target, { signal: either })
    return this.#options.greeter.greet(connection, either)
  }

  #after(ms: number, task: () => unknown): void {
    if (this.#closed) return
    const cancel = this.#options.clock.after(ms, () => {
      this.#timers.delete(cancel)
      void task()
    })
    this.#timers.add(cancel)
  }
}

/** What a stranger sent is not always an address. */
function addressesOf(node: Found): Multiaddr[] {
  return node.addresses.flatMap((address) => {
    try {
      return [multiaddr(`${address}/p2p/${node.id}`)]
    } catch {
      return []
    }
  })
}

/** What a given-up dial says of itself means nothing to an operator. */
function plain(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (/^(Abort|Timeout)Error$/.test(error.name)) return 'it does not answer'
  // Who is not let into a private network is not told so.
  if (/ECONNRESET|EPIPE/.test(error.message)) return 'it hangs up: its cluster may have another key'
  // What stands for a nonce was read as a message; what was wrong with that is chance.
  if (error.name === 'EncryptionFailedError') return 'it says nothing that makes sense: its cluster may have a key'
  return error.message
}

/** libp2p refuses to dial itself in more than one way, depending on when it notices. */
function isSelf(error: unknown): boolean {
  if (error instanceof AggregateError && error.errors.some(isSelf)) return true
  return error instanceof Error && (/dial self/i.test(error.message) || isSelf(error.cause))
}
