/**
 * What a node that knows few others asks of a scheduler about preheats, and the answer. An answer may have a mebibyte, and
 * a cluster has thousands of nodes: lists go without them, and what does not fit into one answer is asked for with the next.
 */
import { z } from 'zod'
import { plainText } from '../printable.ts'
import type { Call } from '../wire/calls.ts'
import { nodeSchema, progressOf, requestSchema, stateSchema } from './body.ts'
import type { ListedPreheat, PreheatJob, Preheats } from './preheats.ts'

const id = z.number().int().min(1)
const amount = z.number().int().min(0)
/** The asker has so many of those that it asks for: jobs, or nodes of one. */
const skip = amount.exactOptional()
/** Of jobs and nodes in one answer, with room to spare for what one of them may have too much. */
const mostBytes = 512 * 1024

const askedSchema = z.discriminatedUnion('do', [
  z.object({ do: z.literal('start'), request: requestSchema }),
  z.object({ do: z.literal('find'), id, skip }),
  z.object({ do: z.literal('list'), limit: amount.min(1).max(1000), skip }),
  z.object({ do: z.literal('cancel'), id }),
])
export type Asked = z.infer<typeof askedSchema>

const progressSchema = z.object({
  bytes: amount,
  total: amount,
  counts: z.object({ pending: amount, running: amount, done: amount, failed: amount, cancelled: amount }),
})
const jobSchema = z.object({
  id,
  state: stateSchema,
  reason: plainText().exactOptional(),
  request: requestSchema,
  createdAt: amount,
  updatedAt: amount,
  /** Of all nodes. Earlier releases do not say it: theirs is what `nodes` add up to. */
  progress: progressSchema.exactOptional(),
  /** In a list none. */
  nodes: z.array(nodeSchema),
})
type SentJob = z.infer<typeof jobSchema>

const toldSchema = z.object({
  jobs: z.array(jobSchema),
  cancelled: z.boolean().exactOptional(),
  /** There are more jobs, or nodes of the one that was asked for, after these. */
  more: z.literal(true).exactOptional(),
})
export type Told = z.infer<typeof toldSchema>

export const preheatsCall: Call<Asked, Told> = { name: 'preheats', request: askedSchema, reply: toldSchema }

/** What a scheduler answers to a node that passes something on. */
export async function answerFor(preheats: Preheats, asked: Asked): Promise<Told> {
  switch (asked.do) {
    case 'start':
      return withNodes(await preheats.start(asked.request), 0)
    case 'find': {
      const job = await preheats.find(asked.id)
      return job ? withNodes(job, asked.skip ?? 0) : { jobs: [] }
    }
    case 'list': {
      const listed = (await preheats.list(asked.limit)).slice(asked.skip ?? 0).map(sent)
      const jobs = fitting(listed, mostBytes)
      return { jobs, ...(jobs.length < listed.length ? { more: true } : {}) }
    }
    case 'cancel':
      return { jobs: [], cancelled: await preheats.cancel(asked.id) }
  }
}

export function listedOf({ progress, nodes, ...job }: SentJob): ListedPreheat {
  return { ...job, ...(progress ?? progressOf(nodes)) }
}

export function jobOf(job: SentJob): PreheatJob {
  return { ...listedOf(job), nodes: job.nodes }
}

function withNodes({ nodes: all, ...listed }: PreheatJob, skip: number): Told {
  const job = sent(listed)
  const nodes = fitting(all.slice(skip), mostBytes - bytesOf(job))
  return { jobs: [{ ...job, nodes }], ...(skip + nodes.length < all.length ? { more: true } : {}) }
}

function sent({ request, bytes, total, counts, ...job }: ListedPreheat): SentJob {
  const { what, platforms } = request
  return {
    ...job,
    request: { ...request, what: [...what], platforms: platforms === 'all' ? platforms : [...platforms] },
    progress: { bytes, total, counts },
    nodes: [],
  }
}

/** The first ones; at least one, so that each answer goes further. */
function fitting<T>(items: readonly T[], room: number): T[] {
  let taken = 0
  for (let left = room; taken < items.length; taken++) {
    left -= bytesOf(items[taken])
    if (left < 0 && taken > 0) break
  }
  return items.slice(0, taken)
}

const bytesOf = (item: unknown) => Buffer.byteLength(JSON.stringify(item))
