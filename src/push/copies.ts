/**
 * What repositories of the cluster's own contain is kept whole by each seed that keeps them, unless a backend does: whoever
 * was pushed to, the others hear of it from the state, pin it, and fetch it through the swarm. So the image outlives any one
 * seed's disk as soon as another seed has it.
 *
 * It goes by the numbers of changes, and begins at the first one with each start, and when the state was restored from a
 * backup: what is missing on this disk, for whatever reason, is fetched again then.
 */
import { type Clock, every } from '../clock.ts'
import { Failure } from '../failure.ts'
import type { Homes } from '../home/homes.ts'
import { type Digest, shortDigest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import type { Location } from '../source/source.ts'
import { isBehind } from '../state/followed.ts'
import type { Content, ContentChange, ContentIndex } from '../state/state.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { homePin } from './pusher.ts'

export interface CopiesOptions {
  readonly homes: Homes
  readonly contents: Pick<ContentIndex, 'changes' | 'lastChange' | 'repositoriesOf'>
  readonly store: Pick<BlobStore, 'find' | 'pin' | 'unpin' | 'pins' | 'seenIn' | 'onGone'>
  readonly swarm: {
    fetch(location: Location, size?: number): { readonly finished: Promise<Blob>; keep(): () => void }
  }
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<Metrics, 'homeMissing'>
}

interface Missing {
  readonly location: Location
  readonly size: number
  readonly tries: number
  readonly dueAt: number
}

const lookMs = 1000
const page = 500
const atOnce = 4
const firstRetryMs = 2000
const mostRetryMs = 300_000
/** More are found again at the next start, or when they are asked for. */
const mostMissing = 100_000

export class Copies {
  readonly #o: CopiesOptions
  readonly #missing = new Map<Digest, Missing>()
  readonly #known = new Map<Digest, Missing>()
  readonly #fetching = new Set<Digest>()
  #after = 0
  #looking = false
  #over = false
  #stop = () => {}

  constructor(options: CopiesOptions) {
    this.#o = options
    options.store.onGone((blob) => this.#gone(blob))
  }

  /** Blobs that should be here and are not. */
  get missing(): number {
    return this.#missing.size
  }

  start(): void {
    if (this.#o.homes.all.length === 0) return
    this.#stop = every(this.#o.clock, lookMs, () => void this.look())
    void this.look()
  }

  close(): void {
    this.#over = true
    this.#stop()
  }

  /** Hears what has changed, and begins with what is due. */
  async look(): Promise<void> {
    if (this.#looking || this.#over) return
    this.#looking = true
    const { contents } = this.#o
    try {
      if (isBehind({ contents: await contents.lastChange() }, { contents: this.#after })) this.#after = 0
      for (let more = true; more && !this.#over; ) {
        const changes = await contents.changes(this.#after, page)
        for (const change of changes) await this.#heard(change)
        more = changes.length === page
      }
    } catch (error) {
      // The state says so itself where it cannot be reached.
      this.#o.log.debug('what is to be kept here cannot be told now', { error: (error as Error).message })
    } finally {
      this.#looking = false
    }
    this.#begin()
    this.#o.metrics.homeMissing.set(this.#missing.size)
  }

  async #heard({ repository, digest, content, number }: ContentChange): Promise<void> {
    const home = this.#o.homes.of(repository)
    if (home && !home.backend?.writes) {
      if (content) this.#keep(repository, content)
      else await this.#drop(digest)
    }
    this.#after = Math.max(this.#after, number)
  }

  #keep(repository: Repository, { digest, kind, size }: Content): void {
    const { store } = this.#o
    store.pin({ digest, reason: homePin })
    store.seenIn(digest, repository)
    const blob = { location: { repository, kind, digest }, size, tries: 0, dueAt: 0 }
    if (this.#known.size < mostMissing) this.#known.set(digest, blob)
    if (!store.find(digest)?.complete && this.#missing.size < mostMissing) this.#missing.set(digest, blob)
  }

  async #drop(digest: Digest): Promise<void> {
    const { store, contents, homes } = this.#o
    const others = await contents.repositoriesOf(digest)
    if (others.some((repository) => homes.of(repository))) return
    this.#known.delete(digest)
    this.#missing.delete(digest)
    store.unpin(digest, homePin)
  }

  /** It was removed, or found to be broken, and shall be here. */
  #gone({ digest }: Blob): void {
    const known = this.#known.get(digest)
    if (known && !this.#over) this.#missing.set(digest, known)
  }

  #begin(): void {
    const now = this.#o.clock.now()
    for (const [digest, missing] of this.#missing) {
      if (this.#over || this.#fetching.size >= atOnce) return
      if (missing.dueAt > now || this.#fetching.has(digest)) continue
      this.#fetching.add(digest)
      void this.#fetch(missing).finally(() => {
        this.#fetching.delete(digest)
        this.#begin()
      })
    }
  }

  async #fetch({ location, size, tries }: Missing): Promise<void> {
    const { store, swarm, clock, log } = this.#o
    const { digest } = location
    try {
      if (!store.find(digest)?.complete) {
        const transfer = swarm.fetch(location, size)
        const letGo = transfer.keep()
        await transfer.finished.finally(letGo)
      }
      this.#missing.delete(digest)
    } catch (error) {
      if (this.#over) return
      const wait = Math.min(firstRetryMs * 2 ** tries, mostRetryMs)
      const failure = Failure.from(error)
      const fields = { digest, code: failure.code, error: failure.message, again: wait / 1000 }
      log.info(`no copy of ${shortDigest(digest)} could be had of another seed yet`, fields)
      if (this.#missing.has(digest)) {
        this.#missing.set(digest, { location, size, tries: tries + 1, dueAt: clock.now() + wait })
      }
    }
  }
}
