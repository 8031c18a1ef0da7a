/**
 * {@link Preheats} of a node that does not know all others: it passes what it is asked on to schedulers. Any of them takes
 * a new one, always the same while that is there. With a state of its own each, only one knows a job: they are asked for
 * it one after the other, and each numbers its jobs so that another's are not taken for them. Logins stay here: what came
 * with some has to be asked of a scheduler.
 */
import type { Membership } from '../cluster/membership.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { rendezvous } from '../cluster/rendezvous.ts'
import { Failure } from '../failure.ts'
import type { Outbound } from '../wire/wire.ts'
import { checked, nameOfJob } from './body.ts'
import type { ListedPreheat, PreheatJob, PreheatRequest, Preheats } from './preheats.ts'
import { type Asked, jobOf, listedOf, preheatsCall, type Told } from './preheats-call.ts'

export class ForwardedPreheats implements Preheats {
  readonly #membership: Pick<Membership, 'withMode' | 'doubt'>
  readonly #outbound: Pick<Outbound, 'call'>

  constructor(membership: Pick<Membership, 'withMode' | 'doubt'>, outbound: Pick<Outbound, 'call'>) {
    this.#membership = membership
    this.#outbound = outbound
  }

  async start(request: PreheatRequest): Promise<PreheatJob> {
    if (Object.keys(request.authorizations ?? {}).length > 0) {
      throw new Failure(
        'bad-request',
        'logins do not leave the node that is given them: ask a scheduler for that preheat',
      )
    }
    const asked = { do: 'start', request: checked(request) } as const
    const job = await this.#first((scheduler) => this.#job(scheduler, asked))
    if (!job) throw new Failure('unavailable', 'no scheduler said which preheat that is')
    return job
  }

  find(id: number): Promise<PreheatJob | undefined> {
    return this.#first((scheduler) => this.#job(scheduler, { do: 'find', id }))
  }

  /** Of all schedulers that can be asked. */
  async list(limit: number): Promise<ListedPreheat[]> {
    const answers = await Promise.allSettled(this.#schedulers().map((scheduler) => this.#listOf(scheduler, limit)))
    const jobs = new Map<string, ListedPreheat>()
    for (const answer of answers) {
      for (const job of answer.status === 'fulfilled' ? answer.value : []) {
        // Those that share a state have the same, and who runs a job knows best how far it is.
        const name = nameOfJob(job)
        if ((jobs.get(name)?.updatedAt ?? 0) <= job.updatedAt) jobs.set(name, job)
      }
    }
    const failed = answers.find(({ status }) => status === 'rejected')
    // That there are none only all of them can say.
    if (jobs.size === 0 && failed?.status === 'rejected') throw failed.reason
    return [...jobs.values()].sort((a, b) => b.createdAt - a.createdAt || b.id - a.id).slice(0, limit)
  }

  async cancel(id: number): Promise<boolean> {
    const cancelled = await this.#first(async (scheduler) => {
      return (await this.#ask(scheduler, { do: 'cancel', id })).cancelled || undefined
    })
    return cancelled ?? false
  }

  /** What the first of them says that has something to say. @throws {Failure} `unavailable` where one that might have could not be asked */
  async #first<T>(ask: (scheduler: NodeInfo) => Promise<T | undefined>): Promise<T | undefined> {
    let failure: Failure | undefined
    for (const scheduler of this.#schedulers()) {
      try {
        const said = await ask(scheduler)
        if (said !== undefined) return said
      } catch (error) {
        failure = Failure.from(error)
        if (failure.code !== 'unavailable') throw failure
      }
    }
    if (failure) throw failure
    return undefined
  }

  /** @throws {Failure} `unavailable` */
  #schedulers(): NodeInfo[] {
    const schedulers = new Map(this.#membership.withMode('scheduler').map((info) => [info.id, info]))
    if (schedulers.size === 0) {
      throw new Failure('unavailable', 'preheats are run by schedulers, and none is known here')
    }
    return rendezvous('preheats', [...schedulers.keys()]).map((id) => schedulers.get(id)!)
  }

  /** As it was when its first nodes were told: what is over then, is over of all that come after them. */
  async #job(scheduler: NodeInfo, asked: Asked): Promise<PreheatJob | undefined> {
    let told = await this.#ask(scheduler, asked)
    const [job] = told.jobs
    if (!job) return undefined
    const nodes = [...job.nodes]
    while (told.more) {
      told = await this.#ask(scheduler, { do: 'find', id: job.id, skip: nodes.length })
      const next = told.jobs[0]?.nodes ?? []
      if (next.length === 0) break
      nodes.push(...next)
    }
    return jobOf({ ...job, nodes })
  }

  async #listOf(scheduler: NodeInfo, limit: number): Promise<ListedPreheat[]> {
    const jobs: ListedPreheat[] = []
    for (let more: Told['more'] = true; more && jobs.length < limit; ) {
      const told = await this.#ask(scheduler, { do: 'list', limit, skip: jobs.length })
      jobs.push(...told.jobs.map(listedOf))
      more = told.jobs.length > 0 ? told.more : undefined
    }
    return jobs
  }

  async #ask(scheduler: NodeInfo, asked: Asked): Promise<Told> {
    try {
      return await this.#outbound.call(scheduler, preheatsCall, asked)
    } catch (error) {
      if (Failure.from(error).code === 'unavailable') this.#membership.doubt(scheduler.id)
      throw error
    }
  }
}
