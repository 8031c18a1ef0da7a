/**
 * What a cluster must not forget when a node is lost: tags and their history, what a repository of its own contains,
 * preheat jobs, work that is owed to others, bans. Who holds which piece is not among it: that is soft.
 *
 * Two implementations, which pass `test/conformance/state.ts`: SQLite in the data directory of one seed, and PostgreSQL
 * for several nodes that share one truth. Every method throws {@link Failure} `unavailable` when the database cannot be
 * asked; what a method has resolved for is on disk.
 */
import type { NodeId } from '../cluster/node-info.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import type { Ban, BlobKind } from '../store/blob-store.ts'

export interface State {
  /** Names the database: nodes that say the same share it. @throws {Failure} `unavailable` */
  id(): Promise<string>
  /** Why the database could not be asked when it was tried last. */
  readonly trouble: string | undefined
  readonly tags: TagIndex
  readonly contents: ContentIndex
  readonly jobs: Jobs
  readonly work: WorkQueue
  readonly bans: SharedBans
  close(): Promise<void>
}

/** What a tag pointed to from `at` on. */
export interface TagEntry {
  /** Absent: from then on there was no such tag. */
  readonly digest?: Digest
  readonly mediaType: string
  readonly size: number
  /** Wall time in ms. */
  readonly at: number
  /** Who said so: a node's id, or the name of an uploader. */
  readonly by: string
  /** Wall ms at which it was last said to be so; absent in what is told to {@link TagIndex.set}: at `at`. */
  readonly seenAt?: number
}

/** A line of the history of all tags, for whoever keeps a copy. Those that were dropped by {@link TagIndex.forget} are not among them. */
export interface TagChange extends TagEntry {
  readonly repository: Repository
  readonly tag: Tag
  /** Grows with every change here. */
  readonly number: number
}

/**
 * What stays of a repository however old it is: what its tags point to; with `all` also that something was deleted, which
 * may be elsewhere still, and would come back from there.
 */
export type Lasting = 'nothing' | 'tags' | 'all'

export interface Page<T> {
  /** Those after this one, in the order of their code units. */
  readonly after?: T
  readonly limit: number
}

export interface TagIndex {
  /** Without a digest where it was taken away; undefined where nothing was ever said of it. */
  get(repository: Repository, tag: Tag): Promise<TagEntry | undefined>
  /** What it pointed to at that time; without a digest: it did not exist. */
  at(repository: Repository, tag: Tag, wall: number): Promise<TagEntry | undefined>
  /**
   * Adds a line to the history, unless the tag says the same already: then it has been seen. An entry older than the newest
   * one goes where it belongs in the history, and changes nothing of what the tag points to, so that whoever hears
   * the same entries, in whatever order, ends with the same. Of two of one time, that of the greater `by` counts.
   */
  set(repository: Repository, tag: Tag, entry: TagEntry): Promise<void>
  /**
   * Changes what the tag points to from now on (a push, a deletion): the newest line, whatever clocks said of those
   * before. Resolves with the entry as it stands, `at` moved on if it had to be.
   */
  point(repository: Repository, tag: Tag, entry: TagEntry): Promise<TagEntry>
  /** The newest first; lines without a digest too. */
  history(repository: Repository, tag: Tag, limit: number): Promise<TagEntry[]>
  /** Tags that point to something now. */
  list(repository: Repository, page: Page<string>): Promise<Tag[]>
  /** Repositories of registries with a tag or content: a file at a URL has no name in a list. */
  repositories(page: Page<string>): Promise<Repository[]>
  /** Changes after number `after`, in order; of files at URLs too, whose last known digest others are to know as well. */
  changes(after: number, limit: number): Promise<TagChange[]>
  /** The number of the last change that there is; 0 if there is none. */
  lastChange(): Promise<number>
  /**
   * Drops lines of the history that ended before `before`, wall ms, and tags that nobody has seen since then, but for
   * what lasts.
   */
  forget(before: number, lasting: (repository: Repository) => Lasting): Promise<void>
}

/** A manifest or blob that a repository of the cluster's own has. */
export interface Content {
  readonly digest: Digest
  readonly kind: BlobKind
  readonly mediaType: string
  readonly size: number
  readonly at: number
  /** Of a manifest: what it refers to as its subject, and how the list of referrers describes it. */
  readonly subject?: Digest
  readonly artifactType?: string
  readonly annotations?: Readonly<Record<string, string>>
  /** Of a manifest: digests of all that it names. */
  readonly parts?: readonly Digest[]
}

/** What a copy is told: that a repository has something, or has it no more. */
export interface ContentChange {
  readonly repository: Repository
  readonly digest: Digest
  /** Absent: it was removed. */
  readonly content?: Content
  /** Wall ms of the change; later ones count. */
  readonly saidAt: number
  /** Grows with every change here. */
  readonly number: number
}

export interface ContentIndex {
  find(repository: Repository, digest: Digest): Promise<Content | undefined>
  /** Again: replaced. */
  add(repository: Repository, content: Content): Promise<void>
  /**
   * False if it was not there. With `seen`, the content as it was when that was decided: also if it came anew since, or
   * somebody touched it; then it stays.
   */
  remove(repository: Repository, digest: Digest, seen?: Pick<Content, 'at'>): Promise<boolean>
  /**
   * Somebody relies on it at this moment: whoever is about to take it away sees that, unless it is of the last half
   * minute anyway. False if it is not there.
   */
  touch(repository: Repository, digest: Digest, at: number): Promise<boolean>
  /** All of a repository, or its manifests or blobs alone, by digest. */
  list(repository: Repository, page: Page<Digest>, kind?: BlobKind): Promise<Content[]>
  referrers(repository: Repository, subject: Digest): Promise<Content[]>
  repositoriesOf(digest: Digest): Promise<Repository[]>
  /** Changes after number `after`, in order: of each content the last one. */
  changes(after: number, limit: number): Promise<ContentChange[]>
  /** As {@link TagIndex.lastChange}. */
  lastChange(): Promise<number>
  /** What another copy says, unless this one has it from later. */
  learn(change: Omit<ContentChange, 'number'>): Promise<void>
  /** It was there, and the memory of its removal is too. */
  removed(repository: Repository, digest: Digest): Promise<boolean>
  /** Drops the memory of what was removed before `before`, wall ms, but for what lasts. */
  forget(before: number, lasting: (repository: Repository) => Lasting): Promise<void>
}

export type JobState = 'pending' | 'running' | 'done' | 'failed' | 'cancelled'

/** Work of minutes, that an operator asked for and looks at. `body` belongs to who runs that kind. */
export interface Job<T = unknown> {
  /** From 1 on, in one database ever upward. Another one has no job of the same number, as far as chance goes. */
  readonly id: number
  readonly kind: string
  /** Asking for what is asked for already gives the job there is. */
  readonly key: string
  readonly state: JobState
  readonly reason?: string
  readonly body: T
  readonly createdAt: number
  readonly updatedAt: number
  /** Who runs it, until when (wall ms) unless it says so again: after that, another may. */
  readonly owner?: NodeId
  readonly leasedUntil?: number
}

export interface Jobs {
  /**
   * The new job; or the one of that kind and key that is pending or running. `held`: by whom from the first moment on, for
   * what nobody else could run as well.
   */
  add(job: {
    kind: string
    key: string
    body: unknown
    at: number
    held?: { readonly owner: NodeId; readonly until: number }
  }): Promise<{ job: Job; created: boolean }>
  find(id: number): Promise<Job | undefined>
  /** The newest first. */
  list(kind: string, limit: number): Promise<Job[]>
  /** A job that is not over and that nobody holds, which `owner` holds from now on. */
  claim(kind: string, owner: NodeId, now: number, leaseMs: number): Promise<Job | undefined>
  /** False if `owner` does not hold it any more, or it is over: then nothing was changed. */
  update(
    id: number,
    owner: NodeId,
    change: Partial<Pick<Job, 'state' | 'reason' | 'body' | 'leasedUntil'>> & { updatedAt: number },
  ): Promise<boolean>
  /** False if there is none, or it is over. */
  cancel(id: number, now: number): Promise<boolean>
  /** Drops jobs that were over before `before`, wall ms. */
  forget(before: number): Promise<void>
}

/** One thing that is owed to somebody out of reach perhaps: a blob to an object store, a tag to another cluster. */
export interface Work<T = unknown> {
  readonly id: number
  readonly kind: string
  readonly key: string
  readonly body: T
  /** Wall ms. */
  readonly addedAt: number
  readonly dueAt: number
  readonly tries: number
  readonly lastError?: string
  /** How often it was claimed: who claims it is told the newest number, and shows it. */
  readonly claims: number
}

/** What who claimed a piece of work shows: it counts until the work is over, put off, or claimed by somebody else. */
export type Claim = Pick<Work, 'id' | 'claims'>

export interface WorkQueue {
  /** What has the same kind and key and is not claimed is replaced by it. */
  add(work: { kind: string; key: string; body: unknown; at: number; dueAt?: number }): Promise<void>
  /** What is due longest, hidden from others until the lease ends. Of one key, the older is done before the newer is given. */
  claim(kind: string, now: number, leaseMs: number): Promise<Work | undefined>
  /** Longer; false if the claim does not count any more: somebody else may be about it, and one has to stop. */
  extend(claim: Claim, until: number): Promise<boolean>
  /** False if the claim does not count any more: then nothing was changed. */
  done(claim: Claim): Promise<boolean>
  /**
   * Counts a try. Where newer work of the same key has come meanwhile, that takes its place. False if the claim does not
   * count any more: then nothing was changed.
   */
  retry(claim: Claim, dueAt: number, error: string): Promise<boolean>
  /** The oldest first. */
  list(kind: string, limit: number): Promise<Work[]>
  /** Of all of it, each once. */
  keys(kind: string): Promise<string[]>
  count(kind: string): Promise<{ waiting: number; oldestAt?: number }>
}

export interface SharedBans {
  /** Those that end after `now`, wall ms. */
  list(now: number): Promise<Ban[]>
  put(ban: Ban): Promise<void>
  /** False if there was none. */
  remove(node: NodeId): Promise<boolean>
}
