/**
 * {@link Preheats} of a node that does not know all others: it passes what it is asked on to a scheduler, always to the
 * same one while that is there, for with a state of its own each of them counts its jobs by itself. Logins stay here: what
 * came with some has to be asked of a scheduler.
 */
import { z } from 'zod'
import type { Membership } from '../cluster/membership.ts'
import { nodeIdSchema } from '../cluster/node-info.ts'
import { rendezvous } from '../cluster/rendezvous.ts'
import { Failure } from '../failure.ts'
import type { Call } from '../wire/calls.ts'
import type { Outbound } from '../wire/wire.ts'
import { checked, requestSchema } from './body.ts'
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
    const [job] = (await this.#ask({ do: 'start', request: checked(request) })).jobs
    if (!job) throw new Failure('unavailable', 'the scheduler did not say which preheat that is')
    return job
  }

  async find(id: number): Promise<PreheatJob | undefined> {
    return (await this.#ask({ do: 'find', id })).jobs[0]
  }

  async list(limit: number): Promise<PreheatJob[]> {
    return (await this.#ask({ do: 'list', limit })).jobs
  }

  async cancel(id: number): Promise<boolean> {
    return (await this.#ask({ do: 'cancel', id })).cancelled ?? false
  }

  async #ask(asked: Asked): Promise<Told> {
    const schedulers = new Map(this.#membership.withMode('scheduler').map((info) => [info.id, info]))
    let failure = new Failure('unavailable', 'preheats are run by schedulers, and none is known here')
    for (const id of rendezvous('preheats', [...schedulers.keys()])) {
      try {
        return await this.#outbound.call(schedulers.get(id)!, preheatsCall, asked)
      } catch (error) {
        failure = Failure.from(error)
        if (failure.code !== 'unavailable') throw failure
        this.#membership.doubt(id)
      }
    }
    throw failure
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
