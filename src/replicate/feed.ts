/**
 * What is to be copied: tags that changed since the feed was here last, and manifests that came, for not all have a tag.
 * How far it has come is kept with the queue, in a job that one node holds at a time: nothing is missed over a restart, and
 * what is told twice is one piece of work.
 */
import { z } from 'zod'
import type { NodeId } from '../cluster/node-info.ts'
import { formatReference } from '../oci/reference.ts'
import { isBehind } from '../state/followed.ts'
import type { Job, State } from '../state/state.ts'
import type { Target } from './target.ts'
import { kindOf, taskBody } from './task.ts'

export interface FeedParts {
  readonly state: Pick<State, 'jobs' | 'tags' | 'contents' | 'work'>
  readonly target: Target
  readonly node: NodeId
}

const progressSchema = z.object({
  /** Numbers of the last changes that were told. */
  tags: z.number().int().min(0),
  contents: z.number().int().min(0),
})
export type Progress = z.infer<typeof progressSchema>

const beginning: Progress = { tags: 0, contents: 0 }

/** A node that says nothing for so long has died: what it had goes on elsewhere, or after its restart. */
export const leaseMs = 10_000
const page = 500

export class Feed {
  readonly #o: FeedParts
  #job: Job | undefined

  constructor(parts: FeedParts) {
    this.#o = parts
  }

  /** One look; true if there may be more at once. Does nothing while another node does it. `now`: wall ms. */
  async step(now: number): Promise<boolean> {
    const job = await this.#hold(now)
    if (!job) return false
    const { state, target, node } = this.#o
    const before = await this.#from(job)
    // A manifest before the tag that leads to it: the tag finds it there.
    const contents = await state.contents.changes(before.contents, page)
    for (const { repository, digest, content } of contents) {
      if (content?.kind !== 'manifest' || !target.matches(repository)) continue
      await this.#add(formatReference({ ...repository, digest }), taskBody(repository, { digest }), now)
    }
    const tags = await state.tags.changes(before.tags, page)
    for (const { repository, tag, digest } of tags) {
      if (!target.matches(repository) || (digest === undefined && !target.rule.deletes)) continue
      await this.#add(formatReference({ ...repository, tag }), taskBody(repository, { tag }), now)
    }
    const body: Progress = {
      tags: tags.at(-1)?.number ?? before.tags,
      contents: contents.at(-1)?.number ?? before.contents,
    }
    const leasedUntil = now + leaseMs
    const held = await state.jobs.update(job.id, node, { body, updatedAt: now, leasedUntil })
    this.#job = held ? { ...job, body, leasedUntil } : undefined
    return tags.length === page || contents.length === page
  }

  /** Lets another node go on with it. */
  async close(now: number): Promise<void> {
    const job = this.#job
    this.#job = undefined
    if (job) await this.#o.state.jobs.update(job.id, this.#o.node, { updatedAt: now, leasedUntil: now })
  }

  async #hold(now: number): Promise<Job | undefined> {
    if (this.#job?.leasedUntil !== undefined && this.#job.leasedUntil > now) return this.#job
    const { state, node, target } = this.#o
    const kind = kindOf(target.id)
    await state.jobs.add({ kind, key: 'feed', body: beginning, at: now })
    this.#job = await state.jobs.claim(kind, node, now, leaseMs)
    return this.#job
  }

  async #from(job: Job): Promise<Progress> {
    const { tags, contents } = this.#o.state
    const told = progressOf(job)
    return isBehind({ tags: await tags.lastChange(), contents: await contents.lastChange() }, told) ? beginning : told
  }

  #add(key: string, body: unknown, now: number): Promise<void> {
    return this.#o.state.work.add({ kind: kindOf(this.#o.target.id), key, body, at: now })
  }
}

export function progressOf({ body }: Pick<Job, 'body'>): Progress {
  return progressSchema.parse(body)
}
