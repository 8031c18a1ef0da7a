/**
 * {@link Preheats} of a scheduler, which knows all nodes: requests become jobs of the cluster's state, and jobs that nobody
 * holds are run here, whoever was asked for them.
 */
import { every, pause } from '../clock.ts'
import type { NodeId } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import type { Door } from '../source/door.ts'
import type { Job } from '../state/state.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { type Others, Seldom } from '../telemetry/seldom.ts'
import { bodyOf, checked, jobKind, keyOf, nameOfJob, told } from './body.ts'
import { errandCall } from './errand.ts'
import { type Lending, lendingOf } from './lending.ts'
import { repositoryOfName } from './parts.ts'
import { PreheatRun, type RunDeps, runTimes } from './preheat-run.ts'
import type { ListedPreheat, PreheatJob, PreheatRequest, Preheats } from './preheats.ts'

export interface PreheatJobsOptions extends Omit<RunDeps, 'seldom'> {
  readonly door: Pick<Door, 'lend' | 'takesLogins'>
  readonly metrics: Pick<Metrics, 'preheats'>
}

const lookEveryMs = 2_000
const mostRuns = 8
/** Those that no other node could run as well. */
const mostRunsWithLogins = 64
/** Jobs that were over for so long are forgotten, ms, and how often that is looked for. */
const keptMs = 30 * 86_400_000
const forgetEveryMs = 3_600_000
/** What was lent to jobs that somebody else runs, or that wait. */
const mostLent = 256
/** Nodes that do not hear that it is over: how often they are told, and how long apart, ms. */
const dismissTries = 20
const dismissEveryMs = 3_000

export class PreheatJobs implements Preheats {
  readonly #o: PreheatJobsOptions
  readonly #seldom: Seldom
  readonly #runs = new Map<number, PreheatRun>()
  readonly #lent = new Map<number, Lending>()
  readonly #settling = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  readonly #stopLooking: () => void
  #looking: Promise<void> | undefined

  constructor(options: PreheatJobsOptions) {
    this.#o = options
    const { clock, jobs } = options
    this.#seldom = new Seldom(clock)
    const stops = [
      every(clock, lookEveryMs, () => void this.#look()),
      every(clock, forgetEveryMs, () => void jobs.forget(clock.wall() - keptMs).catch(() => {})),
    ]
    this.#stopLooking = () => {
      for (const stop of stops) stop()
    }
    void this.#look()
  }

  async start(request: PreheatRequest): Promise<PreheatJob> {
    const { jobs, clock, door, log, membership } = this.#o
    const asked = checked(request)
    const { authorizations = {} } = request
    const lends = Object.keys(authorizations).length > 0
    const lending = lends ? lendingOf(authorizations, asked.what.map(repositoryOfName), door) : undefined
    const at = clock.wall()
    const body = {
      request: asked,
      ...(asked.pinMs === undefined ? {} : { until: at + asked.pinMs }),
      ...(lends ? { lent: true as const } : {}),
      nodes: [],
    }
    // Nobody else has the logins. Where there is no room here it is tried without them.
    const mine = lending && this.#runs.size < mostRunsWithLogins
    const held = mine ? { held: { owner: membership.self.id, until: at + runTimes.lease } } : {}
    const { job, created } = await jobs.add({ kind: jobKind, key: keyOf(asked), body, at, ...held })
    if (lending) this.#lend(job.id, lending)
    if (created && mine) await this.#run(job)
    if (created) log.info('preheat asked for', { job: job.id, what: asked.what, ...asked.target })
    // A look that is under way may have been there already.
    await this.#looking
    await this.#look()
    return (await this.find(job.id)) ?? told(job)
  }

  async find(id: number): Promise<PreheatJob | undefined> {
    const job = await this.#find(id)
    return job && this.#tell(job)
  }

  async list(limit: number): Promise<ListedPreheat[]> {
    const jobs = await this.#o.jobs.list(jobKind, limit)
    return jobs.flatMap((job) => {
      try {
        const { nodes: _, ...listed } = this.#tell(job)
        return listed
      } catch (error) {
        const line = { job: job.id, error: Failure.from(error).message }
        const warn = (others: Others) => this.#o.log.warn('a preheat cannot be read', { ...line, ...others })
        this.#seldom.tell('not read', warn, String(job.id))
        return []
      }
    })
  }

  async cancel(id: number): Promise<boolean> {
    const { jobs, clock, log } = this.#o
    const job = await this.#find(id)
    if (!job) return false
    const { until = 0 } = bodyOf(job)
    const isOver = job.state !== 'pending' && job.state !== 'running'
    if (isOver && (job.state === 'cancelled' || until <= clock.wall())) return false
    const nodes = this.#tell(job).nodes.map(({ node }) => node)
    if (!isOver && !(await jobs.cancel(id, clock.wall()))) return false
    log.info(isOver ? 'what a preheat pinned is let go' : 'preheat cancelled', { job: id, nodes: nodes.length })
    const run = this.#runs.get(id)
    // It may be telling a node right now, which then has to hear of it afterwards.
    if (run) run.stop()
    else void this.#dismiss(nameOfJob(job), nodes)
    return true
  }

  /** Runs stop; another node, or this one after its next start, goes on with them. */
  async close(): Promise<void> {
    this.#stop.abort()
    this.#stopLooking()
    await this.#looking
    for (const run of this.#runs.values()) run.stop()
    await Promise.all(this.#settling)
  }

  async #find(id: number): Promise<Job | undefined> {
    const job = await this.#o.jobs.find(id)
    return job?.kind === jobKind ? job : undefined
  }

  #tell(job: Job): PreheatJob {
    const run = job.state === 'pending' || job.state === 'running' ? this.#runs.get(job.id) : undefined
    return run?.describe() ?? told(job)
  }

  #lend(id: number, lending: Lending): void {
    this.#runs.get(id)?.lend(lending)
    this.#lent.delete(id)
    this.#lent.set(id, lending)
    const [oldest] = this.#lent.keys()
    if (this.#lent.size > mostLent && oldest !== undefined) this.#lent.delete(oldest)
  }

  /** Takes jobs that nobody holds. One look at a time: two would take more than there is room for. */
  #look(): Promise<void> {
    this.#looking ??= this.#claimAll().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  async #claimAll(): Promise<void> {
    const { jobs, membership, clock, log } = this.#o
    try {
      while (this.#runs.size < mostRuns && !this.#stop.signal.aborted) {
        const job = await jobs.claim(jobKind, membership.self.id, clock.wall(), runTimes.lease)
        if (!job) return
        // This node held it before it was started again, or could not renew its lease in time and is at it still.
        if (!this.#runs.has(job.id)) await this.#run(job)
      }
    } catch (error) {
      this.#seldom.tell('not looked for', (others) => {
        log.warn('preheats cannot be looked for', { error: Failure.from(error).message, ...others })
      })
    }
  }

  async #run(job: Job): Promise<void> {
    const { metrics, membership, jobs, clock } = this.#o
    let run: PreheatRun
    try {
      run = new PreheatRun({ ...this.#o, seldom: this.#seldom }, job, this.#lent.get(job.id))
    } catch (error) {
      const reason = Failure.from(error).message
      await jobs.update(job.id, membership.self.id, { state: 'failed', reason, updatedAt: clock.wall() })
      return
    }
    this.#runs.set(job.id, run)
    metrics.preheats.inc({ state: 'running' })
    const settled = run.ended.then(async (ended) => {
      this.#runs.delete(job.id)
      metrics.preheats.dec({ state: 'running' })
      if (ended !== 'left') {
        this.#lent.delete(job.id)
        metrics.preheats.inc({ state: ended })
        return
      }
      await this.#settle(job, run).catch(() => {})
    })
    this.#settling.add(settled)
    void settled.then(() => this.#settling.delete(settled))
  }

  /** A run that was stopped: the node ends, or another one has the job, or it was cancelled, there perhaps. */
  async #settle(job: Job, run: PreheatRun): Promise<void> {
    const { metrics } = this.#o
    if (await run.release()) return
    const now = await this.#find(job.id)
    if (now?.state !== 'cancelled') return
    this.#lent.delete(job.id)
    metrics.preheats.inc({ state: 'cancelled' })
    await this.#dismiss(
      nameOfJob(job),
      run.describe().nodes.map(({ node }) => node),
    )
  }

  /** What is under way for it stops, and nothing is pinned any more. */
  async #dismiss(name: string, nodes: readonly NodeId[]): Promise<void> {
    const { membership, outbound, clock, log } = this.#o
    let left = [...nodes]
    for (let tried = 1; left.length > 0; tried++) {
      const told = await Promise.allSettled(
        left.map(async (node) => {
          const info = membership.find(node)
          if (!info) throw new Failure('unavailable', 'it is not in the cluster now')
          await outbound.call(info, errandCall, { job: name, over: true })
        }),
      )
      left = left.filter((_, i) => told[i]?.status === 'rejected')
      if (left.length === 0 || tried === dismissTries) break
      try {
        await pause(clock, dismissEveryMs, this.#stop.signal)
      } catch {
        return
      }
    }
    if (left.length > 0) log.warn('nodes did not hear that a preheat is over', { job: name, nodes: left })
  }
}
