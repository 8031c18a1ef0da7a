/** Finds the others: dials the seed list and whoever mDNS discovers, and says hello. */
import type { PeerId } from '@libp2p/interface'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import pLimit from 'p-limit'
import type { Clock, Random } from '../../clock.ts'
import type { MemberTable } from '../../cluster/member-table.ts'
import type { NodeId, NodeInfo } from '../../cluster/node-info.ts'
import type { Log } from '../../telemetry/log.ts'
import type { Greeter } from './hello.ts'
import type { Host } from './host.ts'
import type { Found } from './mdns.ts'
import { isSelf, SeedList, type SeedListOptions } from './seed-list.ts'
import type { OwnKey } from './twins.ts'

const dialTimeout = 5_000
/** The side with the larger id gives the other one a head start, lest both dial. */
const headStart = 1_500

export interface JoinerOptions {
  readonly host: Host
  readonly greeter: Greeter
  /** Connections that this node has accepted so far, whoever from. */
  readonly accepted: () => number
  readonly ownKey: OwnKey
  readonly table: MemberTable
  /** Multiaddrs. */
  readonly join: readonly string[]
  /** All addresses of a host name; the system's resolver by default. */
  readonly lookup?: SeedListOptions['lookup']
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

export class Joiner {
  readonly #options: JoinerOptions
  readonly #seeds: SeedList
  readonly #dials = pLimit(8)
  readonly #meeting = new Map<NodeId, Promise<NodeInfo | undefined>>()
  readonly #shunned = new Map<NodeId, { failures: number; until: number }>()
  readonly #timers = new Set<() => void>()
  #closed = false

  constructor(options: JoinerOptions) {
    this.#options = options
    const dial = (address: string) => this.#dials(() => this.#enter(multiaddr(address)))
    this.#seeds = new SeedList({ ...options, dial })
  }

  start(): void {
    this.#seeds.start()
  }

  close(): void {
    this.#closed = true
    this.#seeds.close()
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

  /** Says hello to members again, for this node says something else of itself now; mere peers hear of it in no other way. */
  tell(members: readonly NodeInfo[]): void {
    for (const { id, p2p } of members) void this.#meet(id, addressesOf({ id, addresses: p2p }))
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

  /**
   * Dials an entry of the seed list. A node that dials itself has accepted a connection meanwhile, whatever is in between;
   * if it has not, then whoever proved to be this node is another host. An entry that names this node is not even dialled.
   */
  async #enter(address: Multiaddr): Promise<NodeInfo> {
    const { accepted, ownKey } = this.#options
    const before = accepted()
    try {
      return await this.#dial(address)
    } catch (error) {
      const named = address.getComponents().some(({ name }) => name === 'p2p')
      throw isSelf(error) && !named && accepted() === before ? ownKey.met(address.toString()) : error
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
