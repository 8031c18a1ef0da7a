/**
 * Announces to every scheduler: that this node lives, and what it holds of the digests that the scheduler owns. The
 * answer carries the schedulers and seeds, so these few calls keep the whole membership up to date.
 */
import type { Clock, Random } from '../clock.ts'
import { type MemberTable, memberTimes } from '../cluster/member-table.ts'
import type { NodeId, NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Log } from '../telemetry/log.ts'
import type { Seldom } from '../telemetry/seldom.ts'
import type { Announce, AnnounceReply, Holding } from './messages.ts'

/** What there is to announce; the swarm knows. */
export interface AnnounceSource {
  /** Pieces being sent right now. */
  uploads(): number
  readonly uploadSlots: number
  /**
   * What `target` has not been told yet of the digests it owns; `full`: everything. What was asked for counts as told:
   * when the call then fails, the next one is a full one.
   */
  changes(target: NodeInfo, full: boolean): { readonly holdings: readonly Holding[]; readonly gone: readonly Digest[] }
}

export interface HeartbeatOptions {
  readonly table: MemberTable
  readonly source: () => AnnounceSource | undefined
  readonly announce: (target: NodeInfo, announce: Announce) => Promise<AnnounceReply>
  /** There is an open session with that scheduler, which tells either side that the other lives. */
  readonly linked: (scheduler: NodeInfo) => boolean
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly seldom: Seldom
}

/**
 * Times in ms. A scheduler that asks for a longer period hears of changes later in proportion; one that a session leads
 * to needs no announce to know that this node lives, and hears one rarely while nothing changes, and more rarely where
 * there are many to tell.
 */
export const heartbeatTimes = {
  period: memberTimes.period,
  linked: 10_000,
  linkedApart: 500,
  jitter: 0.2,
  changed: 100,
  retry: 1_000,
} as const
/** Held and gone, each: so many fit a request body also when every digest is a SHA-512. */
const mostPerAnnounce = 2048

interface Target {
  readonly info: NodeInfo
  /** The receiver's, as it said last. */
  epoch: string | undefined
  /** Whom it listed last, and its name for that list. */
  members: readonly NodeInfo[]
  version: string | undefined
  /** What it asked for, or the usual. */
  period: number
  full: boolean
  sending: boolean
  /** Something changed while a call was under way. */
  dirty: boolean
  /** Calls in a row that failed. */
  failed: number
  sentAt: number
  dueAt: number
  cancel: () => void
  /** For those who wait until what has changed by now was told. */
  told: PromiseWithResolvers<void> | undefined
}

export class Heartbeat {
  readonly #options: HeartbeatOptions
  readonly #targets = new Map<NodeId, Target>()
  #running = false

  constructor(options: HeartbeatOptions) {
    this.#options = options
    options.table.onJoin((info) => this.#add(info))
    options.table.onLeave((info) => this.#remove(info))
  }

  start(): void {
    this.#running = true
    for (const info of this.#options.table.withMode('scheduler')) this.#add(info)
  }

  /** There is something to tell that scheduler: it hears it within 100 ms or so. Resolves when it has, or will not. */
  async changed(scheduler: NodeId): Promise<void> {
    const target = this.#targets.get(scheduler)
    if (!target) return
    target.told ??= Promise.withResolvers()
    this.#soon(target)
    await target.told.promise
  }

  /** What this node says of itself is something else: every scheduler hears it within 100 ms or so, with all there is to tell. */
  renewed(): void {
    for (const target of this.#targets.values()) {
      target.full = true
      this.#soon(target)
    }
  }

  /** Stops, and says goodbye to the schedulers. Bounded by the deadline of a call. */
  async close(): Promise<void> {
    this.#running = false
    const targets = [...this.#targets.values()]
    this.#targets.clear()
    for (const target of targets) end(target)
    const source = this.#options.source()
    if (!source) return
    await Promise.allSettled(
      targets.map((target) => this.#options.announce(target.info, this.#message(source, { leaving: true }))),
    )
  }

  #add(info: NodeInfo): void {
    if (!this.#running || !info.modes.includes('scheduler') || this.#targets.has(info.id)) return
    const sentAt = Number.NEGATIVE_INFINITY
    const target: Target = {
      info,
      epoch: undefined,
      members: [],
      version: undefined,
      period: heartbeatTimes.period,
      full: true,
      sending: false,
      dirty: false,
      failed: 0,
      sentAt,
      dueAt: Number.POSITIVE_INFINITY,
      cancel: () => {},
      told: undefined,
    }
    this.#targets.set(info.id, target)
    // A little apart, for a scheduler that comes up is met by all nodes at once.
    this.#schedule(target, this.#options.random() * heartbeatTimes.changed)
  }

  #remove(info: NodeInfo): void {
    const target = this.#targets.get(info.id)
    if (target) end(target)
    this.#targets.delete(info.id)
  }

  #soon(target: Target): void {
    if (target.sending) target.dirty = true
    else {
      const apart = (heartbeatTimes.changed * target.period) / heartbeatTimes.period
      this.#schedule(target, Math.max(0, target.sentAt + apart - this.#options.clock.now()))
    }
  }

  /** Moves the next announce forward, never back. */
  #schedule(target: Target, ms: number): void {
    const { clock } = this.#options
    const dueAt = clock.now() + ms
    if (dueAt >= target.dueAt) return
    target.cancel()
    target.dueAt = dueAt
    target.cancel = clock.after(ms, () => void this.#beat(target))
  }

  async #beat(target: Target): Promise<void> {
    const source = this.#options.source()
    if (!source || this.#targets.get(target.info.id) !== target) return
    const { clock, table, random } = this.#options
    target.sending = true
    target.dirty = false
    target.sentAt = clock.now()
    target.dueAt = Number.POSITIVE_INFINITY
    const { told } = target
    target.told = undefined
    const usual = (period: number) => period * (1 - heartbeatTimes.jitter + 2 * heartbeatTimes.jitter * random())
    let next: number
    try {
      const reply = await this.#tell(target, source)
      if (this.#targets.get(target.info.id) !== target) return
      const now = clock.now()
      target.failed = 0
      table.seen(target.info.id, now)
      target.period = reply.every ?? heartbeatTimes.period
      table.paced(target.info.id, target.period)
      const { linked, linkedApart } = heartbeatTimes
      const rarely = Math.max(target.period, linked, linkedApart * this.#targets.size)
      next = usual(this.#options.linked(target.info) ? rarely : target.period)
      if (reply.members) {
        target.members = reply.members.filter((member) => member.id !== target.info.id)
        target.version = reply.version
      }
      table.listed(target.members, target.info.id, now)
      const anew = target.epoch !== undefined && target.epoch !== reply.epoch
      if (anew) target.version = undefined
      if (anew || reply.all) {
        target.full = true
        next = heartbeatTimes.changed
      }
      target.epoch = reply.epoch
    } catch (error) {
      this.#failed(target, error)
      target.full = true
      // Less and less often: one that cannot keep up would be asked more by all than when it could.
      next = usual(Math.min(heartbeatTimes.linked, heartbeatTimes.retry * 2 ** target.failed++))
      table.doubt(target.info.id)
    } finally {
      target.sending = false
      told?.resolve()
    }
    if (this.#targets.get(target.info.id) !== target) return
    this.#schedule(target, next)
    if (target.dirty) this.#soon(target)
  }

  /** A scheduler that is away is nothing to speak of; one that answers, and refuses, will not change its mind by itself. */
  #failed({ info: { id: node, url } }: Target, error: unknown): void {
    const { log, seldom } = this.#options
    if (!(error instanceof Failure) || error.code !== 'bad-request') {
      log.debug('an announce failed', { node, error: String(error) })
      return
    }
    const reason = error.message
    const told = 'a scheduler does not take this node for a member'
    seldom.tell('announce', (others) => log.error(told, { node, url, reason, ...others }), node)
  }

  /** One announce, or as many as it takes when there is much to tell. */
  async #tell(target: Target, source: AnnounceSource): Promise<AnnounceReply> {
    const full = target.full
    const { holdings, gone } = source.changes(target.info, full)
    // Told as soon as it is asked for; a failure sets it again.
    target.full = false
    let at = 0
    for (;;) {
      const last = at + mostPerAnnounce >= Math.max(holdings.length, gone.length)
      const reply = await this.#options.announce(
        target.info,
        this.#message(source, {
          full: full && at === 0,
          ...(target.version !== undefined && { known: target.version }),
          holdings: holdings.slice(at, at + mostPerAnnounce),
          gone: gone.slice(at, at + mostPerAnnounce),
        }),
      )
      if (last) return reply
      at += mostPerAnnounce
    }
  }

  #message(source: AnnounceSource, rest: Partial<Announce>): Announce {
    const { self } = this.#options.table
    const base = { full: false, holdings: [], gone: [], leaving: false }
    return { node: self, uploads: source.uploads(), uploadSlots: source.uploadSlots, ...base, ...rest }
  }
}

/** It is told nothing any more. */
function end(target: Target): void {
  target.cancel()
  target.told?.resolve()
}
