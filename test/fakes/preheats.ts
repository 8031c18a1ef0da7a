/** Preheats in memory: each one that is asked for has two nodes, and goes as far as a test moves it. */
import { checked, keyOf, progressOf } from '../../src/preheat/body.ts'
import type { ListedPreheat, PreheatJob, PreheatRequest, Preheats } from '../../src/preheat/preheats.ts'

const at = Date.UTC(2026, 0, 1, 12)

export class FakePreheats implements Preheats {
  readonly jobs: PreheatJob[] = []
  /** As they came, with what was lent. */
  readonly requests: PreheatRequest[] = []
  /** What each look moves on, from the second on. */
  steps: Partial<PreheatJob>[] = []
  readonly #first: number

  /** `first`: the number of the first one. */
  constructor(first = 1) {
    this.#first = first
  }

  async start(request: PreheatRequest): Promise<PreheatJob> {
    const asked = checked(request)
    this.requests.push(request)
    const same = this.jobs.find((job) => job.state === 'running' && keyOf(job.request) === keyOf(asked))
    if (same) return same
    const nodes = ['a', 'b'].map((letter) => ({
      node: `12D3KooW${letter.repeat(44)}`,
      state: 'running' as const,
      bytes: 1024,
      total: 4096,
    }))
    const job = {
      id: this.#first + this.jobs.length,
      state: 'running',
      request: asked,
      createdAt: at,
      updatedAt: at,
      ...progressOf(nodes),
      nodes,
    } as const
    this.jobs.push(job)
    return job
  }

  async find(id: number): Promise<PreheatJob | undefined> {
    const at = id - this.#first
    const job = this.jobs[at]
    const step = this.steps.shift()
    if (job && step) this.jobs[at] = { ...job, ...step, ...progressOf(step.nodes ?? job.nodes) }
    return this.jobs[at]
  }

  async list(limit: number): Promise<ListedPreheat[]> {
    const newest = [...this.jobs].reverse().slice(0, limit)
    return newest.map(({ nodes: _, ...listed }) => listed)
  }

  async cancel(id: number): Promise<boolean> {
    const at = id - this.#first
    const job = this.jobs[at]
    if (job?.state !== 'running') return false
    this.jobs[at] = { ...job, state: 'cancelled' }
    return true
  }

  /** It is over, and all nodes have it. */
  done(id = this.#first): Partial<PreheatJob> {
    const nodes = this.jobs[id - this.#first]!.nodes.map((node) => ({
      ...node,
      state: 'done' as const,
      bytes: node.total ?? 0,
    }))
    return { state: 'done', nodes }
  }
}
