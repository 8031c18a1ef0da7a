/**
 * Follows the seed list. An entry is tried for ever: it may be down when this node starts, or be gone for a week. Once the
 * node behind it is a live member, there is nothing to do until it is one no more.
 *
 * An entry that is a name stands for all the addresses it has, whenever it is asked for them: behind one name in DNS there
 * may be all the seeds of a cluster, this node among them, that come and go with other addresses.
 */
import { lookup } from 'node:dns/promises'
import type { Clock, Random } from '../../clock.ts'
import type { Membership } from '../../cluster/membership.ts'
import type { NodeId, NodeInfo } from '../../cluster/node-info.ts'
import type { Log } from '../../telemetry/log.ts'
import { type NamedEntry, nameIn } from './join.ts'

const backoff = { first: 500, factor: 1.7, most: 10_000 } as const
/** How often an entry whose node is a member is looked at; and one whose node this node need not know. */
const checkEvery = 3_000
const checkSeldom = 60_000
/** How often a name is asked for its addresses while nobody is met behind it, and from then on. */
const askEvery = 2_000
const askSeldom = 30_000
/** Addresses of one name. */
const mostAddresses = 64

export interface SeedListOptions {
  /** Multiaddrs. */
  readonly join: readonly string[]
  /** Dials a multiaddr and says hello. */
  readonly dial: (address: string) => Promise<NodeInfo>
  readonly table: Pick<Membership, 'find'>
  /** All addresses of a host name. @throws when it has none */
  readonly lookup?: ((host: string) => Promise<readonly string[]>) | undefined
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

interface Entry {
  readonly address: string
  /** The entry it was found by, if that is a name. */
  readonly behind?: string
  /** Who answered there last. */
  node: NodeId | undefined
  failures: number
  /** It leads to this node itself, or is behind its name no more. */
  ignored: boolean
}

export class SeedList {
  readonly #options: SeedListOptions
  readonly #lookup: (host: string) => Promise<readonly string[]>
  readonly #timers = new Set<() => void>()
  #closed = false

  constructor(options: SeedListOptions) {
    this.#options = options
    this.#lookup = options.lookup ?? addressesOf
  }

  start(): void {
    for (const address of this.#options.join) {
      const name = nameIn(address)
      if (name) void this.#follow(name, new Map(), 0)
      else void this.#pursue(entryAt(address))
    }
  }

  close(): void {
    this.#closed = true
    for (const cancel of this.#timers) cancel()
    this.#timers.clear()
  }

  async #follow(name: NamedEntry, entries: Map<string, Entry>, failures: number): Promise<void> {
    const { random, log } = this.#options
    const found = await this.#lookup(name.host).catch((error: unknown) => {
      if (failures === 0) {
        log.warn('a name of --join has no address; trying on', { name: name.entry, error: String(error) })
      }
      return undefined
    })
    if (this.#closed) return
    if (found) this.#meet(name, entries, found.slice(0, mostAddresses))
    const met = [...entries.values()].some(({ node }) => node !== undefined)
    this.#after((found && met ? askSeldom : askEvery) * (0.75 + random() / 2), () =>
      this.#follow(name, entries, found ? 0 : failures + 1),
    )
  }

  /** Those that are new are pursued, and those that are gone no more. */
  #meet(name: NamedEntry, entries: Map<string, Entry>, found: readonly string[]): void {
    const addresses = new Set(found.flatMap((ip) => name.at(ip) ?? []))
    for (const [address, entry] of entries) {
      if (addresses.has(address)) continue
      entry.ignored = true
      entries.delete(address)
    }
    for (const address of addresses) {
      if (entries.has(address)) continue
      const entry = entryAt(address, name.entry)
      entries.set(address, entry)
      void this.#pursue(entry)
    }
  }

  async #pursue(entry: Entry): Promise<void> {
    const { table, random, log, dial } = this.#options
    if (this.#closed || entry.ignored) return
    if (entry.node !== undefined && table.find(entry.node)) {
      this.#after(checkEvery, () => this.#pursue(entry))
      return
    }
    const where = { address: entry.address, ...(entry.behind === undefined ? {} : { name: entry.behind }) }
    try {
      const info = await dial(entry.address)
      entry.node = info.id
      if (entry.failures > 0) log.info('joined', { through: entry.address, node: info.id })
      entry.failures = 0
      this.#after(table.find(info.id) ? checkEvery : checkSeldom, () => this.#pursue(entry))
    } catch (error) {
      if (this.#closed || entry.ignored) return
      if (isSelf(error)) {
        entry.ignored = true
        log.debug('a node of --join is this node itself', where)
        return
      }
      const wait = Math.min(backoff.most, backoff.first * backoff.factor ** entry.failures) * (0.75 + random() / 2)
      // Once is enough to tell; a seed list may well name hosts that come up later.
      if (entry.failures === 0) {
        log.warn('cannot reach a node of --join; trying on', { ...where, error: plain(error) })
      }
      entry.failures++
      this.#after(wait, () => this.#pursue(entry))
    }
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

function entryAt(address: string, behind?: string): Entry {
  return { address, ...(behind === undefined ? {} : { behind }), node: undefined, failures: 0, ignored: false }
}

async function addressesOf(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address)
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
export function isSelf(error: unknown): boolean {
  if (error instanceof AggregateError && error.errors.some(isSelf)) return true
  return error instanceof Error && (/dial self/i.test(error.message) || isSelf(error.cause))
}
