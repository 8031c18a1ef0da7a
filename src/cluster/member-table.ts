/**
 * Who is in the cluster, as one node sees it. Pure: told what was heard and when, it keeps the table and tells its
 * listeners; probing and time are the caller's.
 *
 * Two kinds of knowledge. Direct: the node itself spoke to us; that is the truth about its url, modes and epoch.
 * Hearsay: another node listed it; that fills gaps, but never overrules what was heard directly a moment ago, and
 * does not bring back a node that we have just seen go. Nor does it keep alive whoever ought to speak to us directly
 * (everyone announces to schedulers, and schedulers answer): or two nodes could keep a dead third alive by telling
 * each other of it.
 */
import type { Member, Membership } from './membership.ts'
import { type Mode, modes, type NodeId, type NodeInfo } from './node-info.ts'

/**
 * Times in ms. A node announces every 3 s or so: one lost announce already makes it worth a probe. One that announces
 * less often, as peers of a large cluster do, is suspected and given up later by as much.
 */
export const memberTimes = {
  /** Announces are so far apart. */
  period: 3_000,
  /** Silent for so long: probe it. */
  suspectAfter: 4_500,
  /** Silent for so long, whatever became of the probe: it is gone. */
  goneAfter: 13_000,
  /** What a process said last may come so much later than the first word of the one that was started in its place. */
  lateAfter: 1_000,
  /** Who has not said anything itself for so long (who has a session does so rarely) has no claim against a former epoch. */
  claim: 90_000,
  /** Hearsay about a node that left is not believed for so long, for others may not have noticed yet. */
  buriedFor: 30_000,
} as const

/** Announces a second that all mere peers of a large cluster make at one scheduler, and their longest period. */
const announcesPerSecond = 1_500
const longestPeriod = 30_000
/** Nodes that are known from one reporter alone, and were not heard: it lists no more at once, but may list others each time. */
const mostHearsay = 512
/** Epochs remembered of one node: of so many hosts that have one key two are told apart at every word. */
const mostFormer = 8

/** How often a node with those modes announces in a cluster of that size. Schedulers and seeds are few and matter more. */
export function announceEvery(its: readonly Mode[], members: number): number {
  if (its.some((mode) => mode !== 'peer')) return memberTimes.period
  const fair = Math.ceil((1000 * members) / announcesPerSecond)
  return Math.min(longestPeriod, Math.max(memberTimes.period, fair))
}

interface Row {
  info: NodeInfo
  /** When this epoch was first heard of. */
  readonly since: number
  /** When it last said so itself. */
  saidAt: number | undefined
  /** Epochs that the node itself has told and that were replaced by what it told later; the latest last. */
  readonly former: readonly string[]
  seenAt: number
  /** When the node itself last spoke to us. */
  directAt: number | undefined
  /** Who listed it last. */
  reporter: NodeId | undefined
  /** Who listed it first, where it was not heard before. */
  readonly origin: NodeId | undefined
  /** It and this node speak to each other so often, in ms. */
  every: number
}

interface Grave {
  readonly epoch: string
  readonly at: number
  /** It said goodbye itself: even a late announce of the same epoch does not bring it back. */
  readonly left: boolean
}

export type Verdict = 'joined' | 'restarted' | 'known' | 'ignored' | 'self' | 'twin'

export class MemberTable implements Membership {
  #self: NodeInfo
  /** Its epochs, the present one and those before. */
  readonly #epochs = new Set<string>()
  readonly #rows = new Map<NodeId, Row>()
  readonly #byUrl = new Map<string, NodeId>()
  /** Rows by what they do: everybody asks for the few schedulers and seeds, among thousands of mere peers. */
  readonly #byMode = new Map<Mode, Map<NodeId, Row>>(modes.map((mode) => [mode, new Map()]))
  readonly #graves = new Map<NodeId, Grave>()
  readonly #joined: ((info: NodeInfo) => void)[] = []
  readonly #left: ((info: NodeInfo, reason: string) => void)[] = []
  readonly #doubted: ((id: NodeId) => void)[] = []
  readonly #now: () => number

  /** @param now the clock's, in ms, for what the interface reports about this node itself */
  constructor(self: NodeInfo, now: () => number) {
    this.#self = self
    this.#epochs.add(self.epoch)
    this.#now = now
  }

  get self(): NodeInfo {
    return this.#self
  }

  /** This node says something else of itself from now on. To the others it is one that was started anew, by its new epoch. */
  become(self: NodeInfo): void {
    this.#self = self
    this.#epochs.add(self.epoch)
  }

  /** Live nodes, this one included. */
  get size(): number {
    return this.#rows.size + 1
  }

  all(): readonly Member[] {
    return [{ info: this.self, seenAt: this.#now() }, ...this.#rows.values()]
  }

  withMode(mode: Mode): readonly NodeInfo[] {
    const nodes = this.self.modes.includes(mode) ? [this.self] : []
    for (const row of this.#byMode.get(mode)?.values() ?? []) nodes.push(row.info)
    return nodes
  }

  find(id: NodeId): NodeInfo | undefined {
    return id === this.self.id ? this.self : this.#rows.get(id)?.info
  }

  doubt(id: NodeId): void {
    if (this.#rows.has(id)) for (const listener of this.#doubted) listener(id)
  }

  onJoin(listener: (info: NodeInfo) => void): void {
    this.#joined.push(listener)
  }
  onLeave(listener: (info: NodeInfo, reason: string) => void): void {
    this.#left.push(listener)
  }
  onDoubt(listener: (id: NodeId) => void): void {
    this.#doubted.push(listener)
  }

  /**
   * `info` spoke to us. `twin`: not the member with that id, but another process that runs with the same key. After a real
   * start the epoch of before does not come back; so whoever speaks under it, while the member speaks too, is another one.
   */
  heard(info: NodeInfo, now: number): Verdict {
    if (info.id === this.self.id) return this.#epochs.has(info.epoch) ? 'self' : 'twin'
    const grave = this.#graves.get(info.id)
    if (grave?.left && grave.epoch === info.epoch && now - grave.at < memberTimes.buriedFor) return 'ignored'
    const row = this.#rows.get(info.id)
    if (row && isFormer(row, info, now)) return now - row.since < memberTimes.lateAfter ? 'ignored' : 'twin'
    const neighbour = this.#byUrl.get(info.url)
    if (neighbour !== undefined && neighbour !== info.id) {
      this.#remove(neighbour, now, `replaced by ${info.id} at ${info.url}`, false)
    }
    return this.#upsert(info, now, undefined)
  }

  /** `reporter` lists `nodes` as alive. What it listed before and does no more is doubted. */
  listed(nodes: readonly NodeInfo[], reporter: NodeId, now: number): void {
    const named = new Set<NodeId>()
    let room: number | undefined
    for (const info of nodes) {
      named.add(info.id)
      if (!this.#believes(info, now)) continue
      if (!this.#rows.has(info.id)) {
        room ??= this.#roomFor(reporter)
        if (room-- <= 0) continue
      }
      this.#upsert(info, now, reporter)
    }
    for (const [id, row] of this.#rows) {
      if (row.reporter !== reporter || named.has(id)) continue
      row.reporter = undefined
      this.doubt(id)
    }
  }

  /** It answered, or said something, at that time. */
  seen(id: NodeId, at: number): void {
    const row = this.#rows.get(id)
    if (!row) return
    row.seenAt = Math.max(row.seenAt, at)
    row.directAt = Math.max(row.directAt ?? at, at)
  }

  /** It said something itself, or answered, after that time. */
  spokeSince(id: NodeId, at: number): boolean {
    const spokeAt = this.#rows.get(id)?.directAt
    return spokeAt !== undefined && spokeAt > at
  }

  /** It said that it ends. */
  leave(id: NodeId, now: number): void {
    this.#remove(id, now, 'it left', true)
  }

  /** It does not answer. */
  drop(id: NodeId, now: number, reason: string): void {
    this.#remove(id, now, reason, false)
  }

  /** It and this node agreed to speak every `ms`. */
  paced(id: NodeId, ms: number): void {
    const row = this.#rows.get(id)
    if (row) row.every = ms
  }

  /** This process stood still for `ms`: the silence was its own. */
  excuse(ms: number): void {
    for (const row of this.#rows.values()) row.seenAt += ms
  }

  /** Drops who has been silent for too long; returns who has been silent for long enough to be probed. */
  expire(now: number): NodeId[] {
    const suspects: NodeId[] = []
    for (const [id, row] of this.#rows) {
      const silent = now - row.seenAt - this.#grace(row)
      if (silent > memberTimes.goneAfter) {
        this.drop(id, now, `nothing heard for ${Math.round((now - row.seenAt) / 1000)} s`)
      } else if (silent > memberTimes.suspectAfter) suspects.push(id)
    }
    for (const [id, grave] of this.#graves) if (now - grave.at > memberTimes.buriedFor) this.#graves.delete(id)
    return suspects
  }

  /** What it may be silent for beyond the usual; who is known by hearsay is heard of as often as the reporter is. */
  #grace(row: Row): number {
    const reporter = row.reporter === undefined ? undefined : this.#rows.get(row.reporter)
    const every = Math.max(row.every, reporter?.every ?? 0)
    return 1.5 * Math.max(0, every - memberTimes.period)
  }

  #roomFor(reporter: NodeId): number {
    let room = mostHearsay
    for (const { origin, directAt } of this.#rows.values()) if (origin === reporter && directAt === undefined) room--
    return room
  }

  #believes(info: NodeInfo, now: number): boolean {
    if (info.id === this.self.id || info.url === this.self.url) return false
    const grave = this.#graves.get(info.id)
    if (grave && grave.epoch === info.epoch && now - grave.at < memberTimes.buriedFor) return false
    const known = this.#rows.get(info.id)
    if (known && isFormer(known, info, now)) return false
    if (known) return known.info.epoch === info.epoch || !this.#fresh(known, now)
    const neighbour = this.#byUrl.get(info.url)
    if (neighbour === undefined) return true
    // One of the two is stale. The probe finds out who lives there; until then the known one stays.
    if (!this.#fresh(this.#rows.get(neighbour)!, now)) this.doubt(neighbour)
    return false
  }

  #speaksToUs(info: NodeInfo): boolean {
    return this.self.modes.includes('scheduler') || info.modes.includes('scheduler')
  }

  #fresh(row: Row, now: number): boolean {
    return row.directAt !== undefined && now - row.directAt < memberTimes.suspectAfter + this.#grace(row)
  }

  #upsert(info: NodeInfo, now: number, reporter: NodeId | undefined): Verdict {
    const row = this.#rows.get(info.id)
    const direct = reporter === undefined
    if (row && row.info.epoch === info.epoch) {
      if (direct && row.info.url !== info.url) this.#byUrl.delete(row.info.url)
      if (direct) this.#describe(row, info)
      if (direct) row.directAt = now
      if (direct) row.saidAt = now
      if (direct || !this.#speaksToUs(info)) row.seenAt = now
      row.reporter = reporter ?? row.reporter
      this.#byUrl.set(row.info.url, info.id)
      return 'known'
    }
    if (row) this.#remove(info.id, now, 'it restarted', false)
    this.#graves.delete(info.id)
    const added: Row = {
      info,
      since: now,
      saidAt: direct ? now : undefined,
      former: row ? formerOf(row, info, direct, now) : [],
      seenAt: now,
      directAt: direct ? now : undefined,
      reporter,
      origin: reporter,
      every: memberTimes.period,
    }
    this.#rows.set(info.id, added)
    for (const mode of info.modes) this.#byMode.get(mode)?.set(info.id, added)
    this.#byUrl.set(info.url, info.id)
    for (const listener of this.#joined) listener(info)
    return row ? 'restarted' : 'joined'
  }

  #describe(row: Row, info: NodeInfo): void {
    if (row.info === info) return
    if (row.info.modes.join() !== info.modes.join()) {
      for (const mode of modes) this.#byMode.get(mode)?.delete(info.id)
      for (const mode of info.modes) this.#byMode.get(mode)?.set(info.id, row)
    }
    row.info = info
  }

  #remove(id: NodeId, now: number, reason: string, left: boolean): void {
    const row = this.#rows.get(id)
    if (!row) return
    this.#rows.delete(id)
    for (const mode of modes) this.#byMode.get(mode)?.delete(id)
    if (this.#byUrl.get(row.info.url) === id) this.#byUrl.delete(row.info.url)
    this.#graves.set(id, { epoch: row.info.epoch, at: now, left })
    for (const listener of this.#left) listener(row.info, reason)
  }
}

/** Hearsay replaces nothing for good. Nor does what comes at once after: which of the two was late is not known. */
function formerOf({ info, since, saidAt, former }: Row, { epoch }: NodeInfo, direct: boolean, now: number): string[] {
  const replaced = direct && saidAt !== undefined && now - since >= memberTimes.lateAfter ? [info.epoch] : []
  return [...former, ...replaced].filter((other) => other !== epoch).slice(-mostFormer)
}

function isFormer({ former, saidAt }: Row, { epoch }: NodeInfo, now: number): boolean {
  return former.includes(epoch) && saidAt !== undefined && now - saidAt < memberTimes.claim
}
