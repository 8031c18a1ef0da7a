/** What can be asked of preheating, whoever asks: the command, the API, Harbor, a registry's notification. */
import type { NodeId } from '../cluster/node-info.ts'
import type { JobState } from '../state/state.ts'

/** Where content shall be. */
export interface Target {
  /** Seeds, or all nodes. */
  readonly scope: 'seeds' | 'all'
  /** Only nodes in this zone or below it. */
  readonly zone?: string
  /** Only this share of them, above 0 and at most 1: always the same nodes for the same content. */
  readonly share?: number
}

export interface PreheatRequest {
  /** Images (`debian:13`, `ghcr.io/org/app@sha256:...`) and URLs of files, at least one. */
  readonly what: readonly string[]
  /** `linux/amd64`; `all` for every platform of an index. */
  readonly platforms: 'all' | readonly string[]
  readonly target: Target
  /** What it brings is pinned for so long, ms. */
  readonly pinMs?: number
  /** For sources that want them: `Authorization` values by registry. Never stored, never sent to another host. */
  readonly authorizations?: Readonly<Record<string, string>>
}

export interface PreheatNode {
  readonly node: NodeId
  readonly state: JobState
  readonly bytes: number
  /** What there is to bring, as far as it is known. */
  readonly total?: number
  readonly reason?: string
}

/** Of all nodes that are known to take part so far. */
export interface Progress {
  readonly bytes: number
  readonly total: number
  /** How many nodes are how far. */
  readonly counts: Readonly<Record<JobState, number>>
}

/** As it is in a list: a cluster has thousands of nodes. */
export interface ListedPreheat extends Progress {
  readonly id: number
  readonly state: JobState
  /** Why it failed, in a sentence. */
  readonly reason?: string
  readonly request: Omit<PreheatRequest, 'authorizations'>
  /** Wall ms. */
  readonly createdAt: number
  readonly updatedAt: number
}

export interface PreheatJob extends ListedPreheat {
  readonly nodes: readonly PreheatNode[]
}

export interface Preheats {
  /** The job that does it, which may be one that is under way already. @throws {Failure} `bad-request` for names that are none */
  start(request: PreheatRequest): Promise<PreheatJob>
  find(id: number): Promise<PreheatJob | undefined>
  /** The newest first. */
  list(limit: number): Promise<ListedPreheat[]>
  /**
   * What was brought stays, and is not pinned any more. One that is over and pinned something lets it go. False if there is
   * none, or nothing of it is left.
   */
  cancel(id: number): Promise<boolean>
}
