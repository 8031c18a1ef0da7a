/** Preheats in memory: each one that is asked for has two nodes, and goes as far as a test moves it. */
import { checked, keyOf } from '../../src/preheat/body.ts'
import type { PreheatJob, PreheatRequest, Preheats } from '../../src/preheat/preheats.ts'

const at = Date.UTC(2026, 0, 1, 12)

export class FakePreheats implements Preheats {
  readonly jobs: PreheatJob[] = []
  /** As they came, with what was lent. */
  readonly requests: PreheatRequest[] = []
  /** What each look moves on, from the second on. */
  steps: Partial<PreheatJob>[] = []

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
      id: this.jobs.length + 1,
      state: 'running',
      request: asked,
      createdAt: at,
      updatedAt: at,
      nodes,
    } as const
    this.jobs.push(job)
    return job
  }

  async find(id: number): Promise<PreheatJob | undefined> {
    const job = this.jobs[id - 1]
    const step = this.steps.shift()
    if (job && step) this.jobs[id - 1] = { ...job, ...step }
    return this.jobs[id - 1]
  }

  async list(limit: number): Promise<PreheatJob[]> {
    return [...this.jobs].reverse().slice(0, limit)
  }

  async cancel(id: number): Promise<boolean> {
    const job = this.jobs[id - 1]
    if (job?.state !== 'running') return false
    this.jobs[id - 1] = { ...job, state: 'cancelled' }
    return true
  }

  /** It is over, and all nodes have it. */
  done(id = 1): Partial<PreheatJob> {
    const nodes = this.jobs[id - 1]!.nodes.map((node) => ({ ...node, state: 'done' as const, bytes: node.total ?? 0 }))
    return { state: 'done', nodes }
  }
}
