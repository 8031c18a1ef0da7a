/**
 * {@link Preheats} of a node that does not know all others: it passes what it is asked on to schedulers. Any of them takes
 * a new one, always the same while that is there. With a state of its own each, only one knows a job: they are asked for
 * it one after the other, and each numbers its jobs so that another's are not taken for them. Logins stay here: what came
 * with some has to be asked of a scheduler.
 */
import { z } from 'zod'
import type { Membership } from '../cluster/membership.ts'
import { type NodeInfo, nodeIdSchema } from '../cluster/node-info.ts'
import { rendezvous } from '../cluster/rendezvous.ts'
import { Failure } from '../failure.ts'
import type { Call } from '../wire/calls.ts'
import type { Outbound } from '../wire/wire.ts'
import { checked, nameOfJob, requestSchema } from './body.ts'
import type { PreheatJob, PreheatRequest, Preheats } from './preheats.ts'

const id = z.number().int().min(1)
const amount = z.number().int().min(0)
const state = z.enum(['pending', 'running', 'done', 'failed', 'cancelled'])

const askedSchema = z.discriminatedUnion('do', [
  z.object({ do: z.literal('start'), request: requestSchema }),
  z.object({ do: z.literal('find'), id }),
  z.object({ do: z.literal('list'), limit: amount.min(1).max(1000) }),
  z.object({ do: z.literal('cancel'), id }),
])
type Asked = z.infer<typeof askedSchema>

const jobSchema = z.object({
  id,
  state,
  reason: z.string().exactOptional(),
  request: requestSchema,
  createdAt: amount,
  updatedAt: amount,
  nodes: z.array(
    z.object({
      node: nodeIdSchema,
      state,
      bytes: amount,
      total: amount.exactOptional(),
      reason: z.string().exactOptional(),
    }),
  ),
})
const toldSchema = z.object({ jobs: z.array(jobSchema), cancelled: z.boolean().exactOptional() })
type Told = z.infer<typeof toldSchema>

export const preheatsCall: Call<Asked, Told> = { name: 'preheats', request: askedSchema, reply: toldSchema }

/** What a scheduler answers to a node that passes something on. */
export async function answerFor(preheats: Preheats, asked: Asked): Promise<Told> {
  switch (asked.do) {
    case 'start':
      return { jobs: [sent(await preheats.start(asked.request))] }
    case 'list':
      return { jobs: (await preheats.list(asked.limit)).map(sent) }
    case 'find': {
      const job = await preheats.find(asked.id)
      return { jobs: job ? [sent(job)] : [] }
    }
    case 'cancel':
      return { jobs: [], cancelled: await preheats.cancel(asked.id) }
  }
}

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
    const job = await this.#first(async (scheduler) => (await this.#ask(scheduler, asked)).jobs[0])
    if (!job) throw new Failure('unavailable', 'no scheduler said which preheat that is')
    return job
  }

  find(id: number): Promise<PreheatJob | undefined> {
    return this.#first(async (scheduler) => (await this.#ask(scheduler, { do: 'find', id })).jobs[0])
  }

  /** Of all schedulers that can be asked. */
  async list(limit: number): Promise<PreheatJob[]> {
    const asked = this.#schedulers().map((scheduler) => this.#ask(scheduler, { do: 'list', limit }))
    const answers = await Promise.allSettled(asked)
    const jobs = new Map<string, PreheatJob>()
    for (const answer of answers) {
      for (const job of answer.status === 'fulfilled' ? answer.value.jobs : []) {
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
    if (schedulers.size === 0)
      throw new Failure('unavailable', 'preheats are run by schedulers, and none is known here')
    return rendezvous('preheats', [...schedulers.keys()]).map((id) => schedulers.get(id)!)
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

function sent({ request, nodes, ...job }: PreheatJob): Told['jobs'][number] {
  const { platforms, target } = request
  return {
    ...job,
    request: {
      ...request,
      what: [...request.what],
      platforms: platforms === 'all' ? platforms : [...platforms],
      target,
    },
    nodes: [...nodes],
  }
}
