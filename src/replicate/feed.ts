/**
 * What is to be copied: tags that changed since the feed was here last, and manifests without a tag. How far it has come
 * is kept with the queue, in a job that one node holds at a time: nothing is missed over a restart, and what is told twice
 * is one piece of work.
 */
import { LRUCache } from 'lru-cache'
import { z } from 'zod'
import type { NodeId } from '../cluster/node-info.ts'
import type { Digest } from '../oci/digest.ts'
import { formatReference, formatRepository, type Repository } from '../oci/reference.ts'
import type { Job, State } from '../state/state.ts'
import type { Target } from './target.ts'
import { kindOf, taskBody } from './task.ts'

export interface FeedParts {
  readonly state: Pick<State, 'jobs' | 'tags' | 'contents' | 'work'>
  readonly target: Target
  readonly node: NodeId
}

const progressSchema = z.object({
  /** Number of the last change that was told. */
  after: z.number().int().min(0),
  /** Wall ms: manifests that came before were told. */
  manifestsFrom: z.number().min(0),
})
export type Progress = z.infer<typeof progressSchema>

export const leaseMs = 30_000
const page = 500
/** Manifests without a tag are looked for so often, ms. */
const scanEveryMs = 30_000
/** Clocks of nodes differ, and a manifest is told of a moment after it came. */
const overlapMs = 10 * 60_000

export class Feed {
  readonly #o: FeedParts
  readonly #told = new LRUCache<string, true>({ max: 50_000 })
  #job: Job | undefined
  #scannedAt: number | undefined

  constructor(parts: FeedParts) {
    this.#o = parts
  }

  /** One look; true if there may be more at once. Does nothing while another node does it. `now`: wall ms. */
  async step(now: number): Promise<boolean> {
    const job = await this.#hold(now)
    if (!job) return false
    const progress = progressOf(job)
    const changes = await this.#o.state.tags.changes(progress.after, page)
    for (const { repository, tag, digest } of changes) {
      if (!this.#o.target.matches(repository)) continue
      if (digest === undefined && !this.#o.target.rule.deletes) continue
      await this.#add(formatReference({ ...repository, tag }), taskBody(repository, { tag }), now)
    }
    const scan = this.#scannedAt === undefined || now - this.#scannedAt >= scanEveryMs || now < this.#scannedAt
    if (scan) await this.#scan(progress.manifestsFrom, now)
    const after = changes.at(-1)?.number ?? progress.after
    const manifestsFrom = scan ? Math.max(progress.manifestsFrom, now - overlapMs) : progress.manifestsFrom
    const body: Progress = { after, manifestsFrom }
    const held = await this.#o.state.jobs.update(job.id, this.#o.node, {
      body,
      updatedAt: now,
      leasedUntil: now + leaseMs,
    })
    this.#job = held ? { ...job, body, leasedUntil: now + leaseMs } : undefined
    if (scan) this.#scannedAt = now
    return changes.length === page
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
    const body: Progress = { after: 0, manifestsFrom: 0 }
    await state.jobs.add({ kind, key: 'feed', body, at: now })
    this.#job = await state.jobs.claim(kind, node, now, leaseMs)
    return this.#job
  }

  async #scan(from: number, now: number): Promise<void> {
    const { state, target } = this.#o
    for await (const repository of repositoriesOf(state)) {
      if (!target.matches(repository)) continue
      for (let after: Digest | undefined; ; ) {
        const manifests = await state.contents.list(
          repository,
          { limit: page, ...(after ? { after } : {}) },
          'manifest',
        )
        for (const { digest, at } of manifests) {
          const name = formatReference({ ...repository, digest })
          if (at < from || this.#told.has(name)) continue
          await this.#add(name, taskBody(repository, { digest }), now)
          this.#told.set(name, true)
        }
        after = manifests.at(-1)?.digest
        if (manifests.length < page) break
      }
    }
  }

  #add(key: string, body: unknown, now: number): Promise<void> {
    return this.#o.state.work.add({ kind: kindOf(this.#o.target.id), key, body, at: now })
  }
}

export function progressOf({ body }: Pick<Job, 'body'>): Progress {
  return progressSchema.parse(body)
}

async function* repositoriesOf({ tags }: Pick<State, 'tags'>): AsyncGenerator<Repository, void, undefined> {
  for (let after: string | undefined; ; ) {
    const some = await tags.repositories({ limit: page, ...(after === undefined ? {} : { after }) })
    yield* some
    const last = some.at(-1)
    if (!last || some.length < page) return
    after = formatRepository(last)
  }
}
