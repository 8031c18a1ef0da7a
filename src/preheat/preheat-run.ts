/**
 * One preheat under way: finds out what the names mean, sends each node that shall have it, and asks them until all have
 * it or are given up. It holds its job by a lease: who finds that it does not any more stops, and another goes on from
 * what was recorded, with the same name, so that nodes notice nothing of it.
 */
import pLimit from 'p-limit'
import { type Clock, every, pause } from '../clock.ts'
import type { Acquaintance } from '../cluster/acquaintance.ts'
import type { Membership } from '../cluster/membership.ts'
import type { NodeId } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { formatRepository } from '../oci/reference.ts'
import type { Job, Jobs } from '../state/state.ts'
import type { Log } from '../telemetry/log.ts'
import type { Seldom } from '../telemetry/seldom.ts'
import type { Outbound } from '../wire/wire.ts'
import { type Body, bodyOf, contentKey, nameOfJob, rootsOf, told } from './body.ts'
import { askEvery, busy, type Charge, heard, isOver, newCharge, outcome, refused, resumed, silent } from './charges.ts'
import { type Errand, errandCall } from './errand.ts'
import type { Lending } from './lending.ts'
import { type Part, partsOf, type Reading, type Root, rootOf } from './parts.ts'
import type { PreheatJob } from './preheats.ts'
import { targetsOf } from './targets.ts'

export interface RunDeps {
  readonly jobs: Jobs
  readonly membership: Membership
  readonly acquaintance: Pick<Acquaintance, 'complete'>
  readonly outbound: Pick<Outbound, 'call'>
  readonly content: Reading
  readonly clock: Clock
  readonly log: Log
  /** Of all that run here: what keeps one from being recorded keeps all. */
  readonly seldom: Seldom
}

/** Times in ms. Longer than a restart of a process takes is the lease only where another node could go on meanwhile. */
export const runTimes = { lease: 15_000, renew: 5_000, look: 200, patience: 10_000, lend: 60_000 } as const
const askedAtOnce = 32
/** Where a source does not answer. */
const resolveTries = 6
const firstPauseMs = 1_000

type Ended = 'done' | 'failed' | 'cancelled' | 'left'

export class PreheatRun {
  readonly id: number
  /** How it ended here; `left` to whoever holds the job now, or will. Never rejects. */
  readonly ended: Promise<Ended>
  readonly #d: RunDeps
  readonly #job: Job
  readonly #name: string
  #lending: Lending | undefined
  readonly #stop = new AbortController()
  readonly #charges = new Map<NodeId, Charge>()
  readonly #limit = pLimit(askedAtOnce)
  #body: Body
  /** Not in the target: it reads for the others what was lent to it alone. */
  #carrier: NodeId | undefined
  #content: Errand['content']
  #updatedAt: number

  constructor(deps: RunDeps, job: Job, lending: Lending | undefined) {
    this.#d = deps
    this.#job = job
    this.id = job.id
    this.#name = nameOfJob(job)
    this.#lending = lending
    this.#body = bodyOf(job)
    this.#updatedAt = job.updatedAt
    const now = deps.clock.now()
    for (const node of this.#body.nodes) this.#charges.set(node.node, resumed(node, now))
    this.ended = this.#run()
  }

  /** As it is now, which is later than what is recorded. */
  describe(): PreheatJob {
    return told({ ...this.#job, state: 'running', body: this.#recorded(), updatedAt: this.#updatedAt })
  }

  /** Logins came with a second request for the same. */
  lend(lending: Lending): void {
    this.#lending = lending
    lending.lend()
  }

  /** Stops to look after it; nodes go on with what they were told. */
  stop(): void {
    this.#stop.abort()
  }

  /** Once it is `left`: whoever goes on with it need not wait for the lease to end, and knows whom it is for. As {@link Jobs.update}. */
  release(): Promise<boolean> {
    const { jobs, membership, clock } = this.#d
    const wall = clock.wall()
    return jobs.update(this.id, membership.self.id, { body: this.#recorded(), leasedUntil: wall, updatedAt: wall })
  }

  async #run(): Promise<Ended> {
    const { clock, log } = this.#d
    const stopRenewing = every(clock, runTimes.renew, () => void this.#renew())
    this.#lending?.lend()
    const stopLending = every(clock, runTimes.lend, () => this.#lending?.lend())
    const startedAt = clock.now()
    try {
      await this.#prepare()
      const { state, reason } = await this.#visitAll()
      await this.#end(state, reason)
      const { nodes } = this.#recorded()
      const bytes = nodes.reduce((sum, { total = 0 }) => sum + total, 0)
      const seconds = Math.round(clock.now() - startedAt) / 1000
      const facts = { job: this.id, nodes: nodes.length, bytes, seconds }
      if (state === 'done') log.info('preheat done', facts)
      else log.warn('preheat failed', { ...facts, reason })
      return state
    } catch (error) {
      if (this.#stop.signal.aborted) return 'left'
      const failure = Failure.from(error)
      const reason = this.#reasonOf(failure)
      await this.#end('failed', reason).catch(() => {})
      log.warn('preheat failed', { job: this.id, code: failure.code, reason })
      return 'failed'
    } finally {
      stopRenewing()
      stopLending()
    }
  }

  /** Names are looked up once: who goes on with the job brings the same content. */
  async #prepare(): Promise<void> {
    const { content } = this.#d
    const { signal } = this.#stop
    let roots = rootsOf(this.#body)
    if (!roots) {
      roots = await Promise.all(
        this.#body.request.what.map((name) => this.#patiently(() => rootOf(name, content, signal))),
      )
      this.#body = {
        ...this.#body,
        roots: roots.map(({ name, kind, digest, size }) => ({ name, kind, digest, size })),
      }
    }
    const found: Root[] = roots
    const parts = await this.#patiently(() => partsOf(found, this.#body.request.platforms, content, signal))
    this.#content = grouped(parts)
    await this.#renew()
  }

  /** A file that is read for its digest takes as long as it takes; a source that does not answer gets some tries. */
  async #patiently<T>(work: () => Promise<T>): Promise<T> {
    const { clock } = this.#d
    for (let tried = 1; ; tried++) {
      this.#stop.signal.throwIfAborted()
      try {
        return await work()
      } catch (error) {
        const { code, retry } = Failure.from(error)
        if (code === 'reading') tried = 0
        else if (!retry || tried >= resolveTries) throw error
        await pause(clock, firstPauseMs * 2 ** Math.max(0, tried - 1), this.#stop.signal)
      }
    }
  }

  async #visitAll(): Promise<{ state: 'done' | 'failed'; reason?: string }> {
    const { clock, acquaintance } = this.#d
    const since = clock.now()
    for (;;) {
      this.#choose()
      const now = clock.now()
      const due = this.#ready(now).filter((charge) => !isOver(charge) && charge.dueAt <= now)
      await Promise.all(due.map((charge) => this.#limit(() => this.#visit(charge))))
      this.#stop.signal.throwIfAborted()
      // Those that this process knows may be a few of those that are there.
      if (acquaintance.complete) {
        const end = this.#charges.size > 0 ? outcome([...this.#charges.values()]) : undefined
        if (end) return end
        if (this.#charges.size === 0 && clock.now() - since > runTimes.patience) throw this.#nobody()
      }
      await pause(clock, runTimes.look, this.#stop.signal)
    }
  }

  /** Who joins while it runs is sent too. */
  #choose(): void {
    const { membership, acquaintance, clock } = this.#d
    const { request } = this.#body
    // A share of a few is another one than that of all.
    if (request.target.share !== undefined && !acquaintance.complete) return
    const members = membership.all().map(({ info }) => info)
    const now = clock.now()
    const add = (id: NodeId) => {
      if (!this.#charges.has(id)) this.#charges.set(id, newCharge(id, now))
    }
    const targets = targetsOf(members, request.target, contentKey(request))
    for (const { id } of targets) add(id)
    if (!this.#lending || targets.length === 0) return
    const { id } = membership.self
    this.#carrier = targets.some((target) => target.id === id) ? undefined : id
    add(id)
  }

  /**
   * All, but while what was lent is used, this node alone until it has everything: another that is to have it could be
   * named as the one that reads the source, and would be refused.
   */
  #ready(now: number): Charge[] {
    const all = [...this.#charges.values()]
    const own = this.#lending && this.#charges.get(this.#d.membership.self.id)
    if (!own || isOver(own)) return all
    // It is not their silence.
    for (const charge of all) if (charge !== own) this.#charges.set(charge.node, { ...charge, heardAt: now })
    return [own]
  }

  async #visit(charge: Charge): Promise<void> {
    const { membership, outbound, clock } = this.#d
    const { node, tell } = charge
    const info = membership.find(node)
    const next = (changed: Charge) => void this.#charges.set(node, changed)
    if (!info) return next(silent(charge, 'it is not in the cluster now', clock.now()))
    const { until } = this.#body
    const pinned = until === undefined || node === this.#carrier ? {} : { until }
    const list = tell ? { content: this.#content ?? [], ...pinned } : {}
    try {
      const reply = await outbound.call(info, errandCall, { job: this.#name, ...list })
      next(heard(charge, reply, clock.now(), askEvery(this.#charges.size)))
    } catch (error) {
      const { code, message } = Failure.from(error)
      // What it answers to everything that its release does not know.
      if (code === 'bad-request') return next(refused(charge, `its version of shoal takes no such errand: ${message}`))
      if (code === 'too-many') return next(busy(charge, message, clock.now()))
      membership.doubt(node)
      next(silent(charge, message, clock.now()))
    }
  }

  #recorded(): Body {
    const nodes = [...this.#charges.values()].map(({ node, state, bytes, total, reason }) => ({
      node,
      state,
      bytes,
      ...(total === undefined ? {} : { total }),
      ...(reason === undefined ? {} : { reason }),
    }))
    return { ...this.#body, nodes }
  }

  /** Records how far it is, and holds it for longer. Whoever does not hold it any more stops. */
  async #renew(): Promise<void> {
    const { jobs, membership, clock, log, seldom } = this.#d
    const wall = clock.wall()
    this.#updatedAt = wall
    const change = {
      state: 'running',
      body: this.#recorded(),
      leasedUntil: wall + runTimes.lease,
      updatedAt: wall,
    } as const
    try {
      if (!(await jobs.update(this.id, membership.self.id, change))) this.stop()
    } catch (error) {
      // It goes on: who else would, when nobody can ask for the job?
      seldom.tell('not recorded', (others) => {
        log.warn('a preheat cannot be recorded', { job: this.id, error: Failure.from(error).message, ...others })
      })
    }
  }

  /** What is over and not recorded would be done again. */
  async #end(state: 'done' | 'failed', reason: string | undefined): Promise<void> {
    const { jobs, membership, clock } = this.#d
    const change = {
      state,
      ...(reason === undefined ? {} : { reason }),
      body: this.#recorded(),
      updatedAt: clock.wall(),
    }
    const held = await this.#patiently(() => jobs.update(this.id, membership.self.id, change))
    if (held) return
    this.stop()
    this.#stop.signal.throwIfAborted()
  }

  #reasonOf({ code, message }: Failure): string {
    const gone = this.#body.lent && !this.#lending && (code === 'denied' || code === 'unauthorized')
    return gone ? `${message}; the logins that were lent went with the process that had them: ask again` : message
  }

  #nobody(): Failure {
    const { scope, zone } = this.#body.request.target
    const where = zone === undefined ? '' : ` in zone ${zone}`
    return new Failure('no-name', `there is no ${scope === 'seeds' ? 'seed' : 'node'}${where} that is known here`)
  }
}

function grouped(parts: readonly Part[]): NonNullable<Errand['content']> {
  type Group = NonNullable<Errand['content']>[number]
  const groups = new Map<string, Group>()
  for (const { location, size } of parts) {
    const { repository, kind, digest } = location
    const name = formatRepository(repository)
    const group = groups.get(name) ?? { repository, parts: [] }
    group.parts.push({ kind, digest, size })
    groups.set(name, group)
  }
  return [...groups.values()]
}
