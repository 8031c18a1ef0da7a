/** Provider records in libp2p's Kademlia. */
import { CID } from 'multiformats/cid'
import { create as multihash } from 'multiformats/hashes/digest'
import { type Clock, every, pause } from '../../clock.ts'
import type { MemberTable } from '../../cluster/member-table.ts'
import type { NodeInfo } from '../../cluster/node-info.ts'
import { algorithmOf, type Digest, hexOf } from '../../oci/digest.ts'
import type { Log } from '../../telemetry/log.ts'
import { deadline } from '../deadline.ts'
import type { Directory } from '../wire.ts'
import type { Host } from './host.ts'
import type { Joiner } from './joiner.ts'
import { recordLimits } from './records.ts'

const findDeadline = 3_000
const provideDeadline = 10_000
const mostProviders = 16
/**
 * A record costs dozens of round trips in JavaScript cryptography. They are for the day when no scheduler answers, so
 * they are published one at a time, with a rest between, and not while a pull goes on: all
 * nodes of a rollout would do it at the same moment. Who always pulls publishes each after so many looks.
 */
const provideAfter = 15_000
const mostLooks = 20
const restBetween = 4_000
/** Half of the time for which others keep a record: the other half is for the line of those that want it at once. */
const againAfter = recordLimits.lastMs / 2
const lookEvery = 600_000
/** Records waiting to be published. What does not fit is not lost: the swarm's announces find it while there is a scheduler. */
const mostWaiting = 2048

export interface DirectoryOptions {
  readonly host: Host
  readonly joiner: Pick<Joiner, 'meet'>
  readonly table: MemberTable
  readonly clock: Clock
  readonly log: Log
}

/** A record that is to be published, for the first time or once more. */
interface Waiting {
  readonly quiet: () => boolean
  readonly dueAt: number
}

export class KadDirectory implements Directory {
  readonly #options: DirectoryOptions
  /** What is due first comes first. */
  readonly #waiting = new Map<Digest, Waiting>()
  /** Those that others know, for as long as the blob is here. What was published first comes first. */
  readonly #published = new Map<Digest, Waiting>()
  readonly #stopLooking: () => void
  #publishing = false
  #closed = false

  constructor(options: DirectoryOptions) {
    this.#options = options
    this.#stopLooking = every(options.clock, lookEvery, () => this.#begin())
  }

  /** Records that wait to be published. */
  get waiting(): number {
    return this.#waiting.size
  }

  provide(digest: Digest, quiet = () => true): void {
    if (this.#closed || this.#waiting.has(digest) || this.#waiting.size >= mostWaiting) return
    this.#published.delete(digest)
    this.#waiting.set(digest, { quiet, dueAt: this.#options.clock.now() + provideAfter })
    this.#begin()
  }

  withdraw(digest: Digest): void {
    this.#waiting.delete(digest)
    this.#published.delete(digest)
    if (this.#closed) return
    // What other nodes were told they forget by themselves, in two days; this one would say so to whoever asks it.
    this.#options.host.services.dht.cancelReprovide(cidOf(digest)).catch((error: Error) => {
      this.#options.log.debug('a provider record was not withdrawn', { digest, error: String(error) })
    })
  }

  async find(digest: Digest, signal?: AbortSignal): Promise<NodeInfo[]> {
    const { host, clock, log } = this.#options
    const found = new Map<string, NodeInfo>()
    const meetings: Promise<void>[] = []
    try {
      await deadline(
        clock,
        findDeadline,
        'the search took too long',
        async (within) => {
          const asked = new Set<string>()
          for await (const event of host.services.dht.findProviders(cidOf(digest), { signal: within })) {
            const providers = event.name === 'PROVIDER' || event.name === 'PEER_RESPONSE' ? event.providers : []
            for (const { id } of providers) {
              const key = id.toString()
              if (asked.has(key) || asked.size >= mostProviders) continue
              asked.add(key)
              meetings.push(this.#identify(id, within).then((info) => void (info && found.set(key, info))))
            }
            if (asked.size >= mostProviders) break
          }
          await Promise.all(meetings)
        },
        signal,
      )
    } catch (error) {
      log.debug('a search for providers ended early', { digest, error: String(error) })
    }
    return [...found.values()]
  }

  close(): void {
    this.#closed = true
    this.#stopLooking()
    this.#waiting.clear()
    this.#published.clear()
  }

  #begin(): void {
    if (!this.#publishing) void this.#publish()
  }

  /** One after the other, until none waits. */
  async #publish(): Promise<void> {
    const { clock } = this.#options
    this.#publishing = true
    for (let next = this.#next(); next; next = this.#next()) {
      const [digest, { quiet, dueAt }] = next
      await pause(clock, Math.max(0, dueAt - clock.now()))
      for (let looks = 1; this.#waits(next) && !quiet() && looks < mostLooks; looks++) await pause(clock, provideAfter)
      if (!this.#waits(next)) continue
      await this.#provide(digest)
      if (this.#waits(next)) {
        this.#waiting.delete(digest)
        this.#published.set(digest, { quiet, dueAt: clock.now() + againAfter })
      }
      if (!this.#closed) await pause(clock, restBetween)
    }
    this.#publishing = false
  }

  /** What is published once more comes when nothing else waits. */
  #next(): [Digest, Waiting] | undefined {
    const [first] = this.#waiting
    const [oldest] = this.#published
    if (first || !oldest || oldest[1].dueAt > this.#options.clock.now()) return first
    this.#published.delete(oldest[0])
    this.#waiting.set(...oldest)
    return oldest
  }

  /** It was not withdrawn. */
  #waits([digest, waiting]: [Digest, Waiting]): boolean {
    return this.#waiting.get(digest) === waiting
  }

  async #identify(id: Parameters<Joiner['meet']>[0], signal: AbortSignal): Promise<NodeInfo | undefined> {
    const { table, joiner } = this.#options
    if (id.toString() === table.self.id) return undefined
    return table.find(id.toString()) ?? joiner.meet(id, signal)
  }

  async #provide(digest: Digest): Promise<void> {
    const { host, clock, log } = this.#options
    try {
      await deadline(clock, provideDeadline, 'publishing took too long', async (signal) => {
        for await (const _ of host.services.dht.provide(cidOf(digest), { signal }));
      })
    } catch (error) {
      log.debug('a provider record was not published', { digest, error: String(error) })
    }
  }
}

/** Raw bytes under the hash that the digest names; codes from the multicodec table. */
export function cidOf(digest: Digest): CID {
  return CID.createV1(
    0x55,
    multihash(algorithmOf(digest) === 'sha256' ? 0x12 : 0x13, Uint8Array.fromHex(hexOf(digest))),
  )
}
