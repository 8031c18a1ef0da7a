/**
 * Brings to backends what was pushed. What is owed is written down in the cluster's state before anybody hears that the
 * push is done, and is worked off in the right order: blobs before the manifest that names them, the manifest before the
 * tag that points to it. What to write is looked up at that moment, so that a debt of yesterday does not undo what
 * was pushed today. Until the backend has content, it is pinned in this seed's store; then it is pinned no more.
 *
 * In the mode `through` the client waits for the backend and hears its failure; what failed is owed all the same, for the
 * push is in the cluster's state by then. What the backend will never take is told as well, and not owed.
 */
import { type Clock, every, type Random } from '../clock.ts'
import type { HomeWrite } from '../config/settings.ts'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import type { Location } from '../source/source.ts'
import type { Content, State, Work } from '../state/state.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { Seldom } from '../telemetry/seldom.ts'
import { Turns } from '../turns.ts'
import type { Backend, BackendWrites } from './backends/backend.ts'
import type { Home, Homes } from './homes.ts'
import { type Debt, debtOf, isHopeless, keyOf, owedPin, parseDebt, waitOf } from './owed.ts'
import { keptOf } from './verified.ts'

export interface WriteBackOptions {
  readonly homes: Homes
  readonly state: Pick<State, 'tags' | 'contents' | 'work'>
  readonly store: Pick<BlobStore, 'find' | 'pin' | 'unpin' | 'pins'>
  /** Brings content here that this seed does not have whole. */
  readonly bring: (location: Location, size: number, signal: AbortSignal) => Promise<Blob>
  readonly mode: HomeWrite
  /** Why content of the cluster's own is pinned, where nothing else keeps it. */
  readonly pinnedFor: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Pick<Metrics, 'homeOwed' | 'homeOwedSeconds' | 'homeWrites' | 'homeWrittenBytes'>
}

const kind = 'write-back'
const leaseMs = 60_000
const extendMs = 20_000
const lookMs = 1_000
const tidyMs = 60_000
/** Debts that are worked off at the same time. */
const atOnce = 4
/** To people; all are counted. */
const mostShown = 100

export interface Owed {
  readonly waiting: number
  /** Since when the oldest waits, wall ms. */
  readonly oldestAt?: number
}

export interface OwedFacts extends Owed {
  /** The oldest of them; those that failed say why. */
  readonly some: readonly {
    readonly what: string
    readonly tries: number
    /** Of the next try, wall ms. */
    readonly dueAt: number
    readonly error?: string
  }[]
}

export class WriteBack {
  readonly #o: WriteBackOptions
  readonly #log: Log
  readonly #seldom: Seldom
  readonly #stop = new AbortController()
  readonly #running = new Set<Promise<void>>()
  readonly #turns = new Turns()
  #cancel: (() => void)[] = []
  #looking = false
  #tidying: Promise<void> | undefined
  #owed: Owed = { waiting: 0 }

  constructor(options: WriteBackOptions) {
    this.#o = options
    this.#log = options.log.child({ part: 'home' })
    this.#seldom = new Seldom(options.clock)
  }

  start(): void {
    const { clock } = this.#o
    this.#cancel = [every(clock, lookMs, () => void this.#look()), every(clock, tidyMs, () => this.#tidy())]
    void this.#look()
    this.#tidy()
  }

  /** What is under way is given up, and is owed to the next start. */
  async close(): Promise<void> {
    for (const cancel of this.#cancel) cancel()
    this.#stop.abort()
    await Promise.allSettled([...this.#running, this.#tidying])
  }

  /** Content was pushed or deleted. Resolves when the client may hear of it. @throws {Failure} `try-later`; why the backend never takes it */
  content(repository: Repository, digest: Digest): Promise<void> {
    return this.#changed({ what: 'content', repository, digest })
  }

  /** A tag was set or deleted. @throws {Failure} `try-later`; why the backend never takes it */
  tag(repository: Repository, tag: Tag): Promise<void> {
    return this.#changed({ what: 'tag', repository, tag })
  }

  /** As of a moment ago. */
  get owed(): Owed {
    return this.#owed
  }

  async facts(): Promise<OwedFacts> {
    const { work } = this.#o.state
    const [{ waiting, oldestAt }, oldest] = await Promise.all([work.count(kind), work.list(kind, mostShown)])
    return {
      waiting,
      ...(oldestAt === undefined ? {} : { oldestAt }),
      some: oldest.map(({ key, tries, dueAt, lastError }) => ({
        what: key,
        tries,
        dueAt,
        ...(lastError === undefined ? {} : { error: lastError }),
      })),
    }
  }

  async #changed(debt: Debt): Promise<void> {
    const { homes, mode, clock } = this.#o
    if (!homes.of(debt.repository)?.backend?.writes) return
    if (mode === 'back') return this.#owe(debt, clock.wall())
    try {
      await this.#settle(debt, this.#stop.signal)
    } catch (error) {
      const failure = Failure.from(error)
      if (isHopeless(failure)) {
        await this.#giveUp(debt, failure)
        // What was deleted is gone here, whatever the backend still has.
        if (!(await this.#wanted(debt))) return
        throw new Failure(failure.code, `it is here, but where it is kept for good it cannot be: ${failure.message}`, {
          cause: error,
        })
      }
      this.#o.metrics.homeWrites.inc({ result: 'failed' })
      await this.#owe(debt, clock.wall() + waitOf(0, this.#o.random))
      throw new Failure('try-later', `it is here, but not where it is kept for good: ${failure.message}`, {
        cause: error,
      })
    }
  }

  async #owe(debt: Debt, dueAt: number): Promise<void> {
    const { state, store, clock } = this.#o
    // What was deleted nobody will bring there.
    if (debt.what === 'content' && (await this.#wanted(debt))) {
      store.pin({ digest: debt.digest, reason: owedPin(debt.repository) })
    }
    await state.work.add({ kind, key: keyOf(debt), body: debt, at: clock.wall(), dueAt })
    void this.#look()
  }

  /** Takes up what is due, as much as may be worked on at once. */
  async #look(): Promise<void> {
    if (this.#looking) return
    this.#looking = true
    const { state, clock, log } = this.#o
    try {
      while (this.#running.size < atOnce && !this.#stop.signal.aborted) {
        const work = await state.work.claim(kind, clock.wall(), leaseMs)
        if (!work) break
        const done = this.#work(work)
          .catch((error) => this.#unnoted(error))
          .finally(() => {
            this.#running.delete(done)
            void this.#look()
          })
        this.#running.add(done)
      }
      const { waiting, oldestAt } = await state.work.count(kind)
      this.#owed = { waiting, ...(oldestAt === undefined ? {} : { oldestAt }) }
      this.#o.metrics.homeOwed.set(waiting)
      this.#o.metrics.homeOwedSeconds.set(oldestAt === undefined ? 0 : Math.max(0, clock.wall() - oldestAt) / 1000)
    } catch (error) {
      log.debug('what is owed to backends cannot be asked for now', { error: Failure.from(error).message })
    } finally {
      this.#looking = false
    }
  }

  #tidy(): void {
    this.#tidying ??= this.#tidyOnce()
      .catch((error) => {
        const { message } = Failure.from(error)
        this.#log.debug('what was owed to backends stays pinned for now', { error: message })
      })
      .finally(() => {
        this.#tidying = undefined
      })
  }

  /**
   * What this seed owed another one may have brought, and unpinned in its own store: where nothing is owed any more it is
   * settled here as well, which costs a question if it is there. @throws {Failure}
   */
  async #tidyOnce(): Promise<void> {
    const { state, store } = this.#o
    const pinned = store.pins().flatMap((pin) => debtOf(pin) ?? [])
    if (pinned.length === 0) return
    const owed = new Set(await state.work.keys(kind))
    for (const debt of pinned) {
      if (owed.has(keyOf(debt))) continue
      try {
        await this.#settle(debt, this.#stop.signal)
      } catch (error) {
        const failure = Failure.from(error)
        if (!isHopeless(failure)) throw failure
        await this.#giveUp(debt, failure)
      }
    }
  }

  #unnoted(error: unknown): void {
    this.#seldom.tell('not noted', (others) => {
      const { message } = Failure.from(error)
      this.#log.warn('what is owed to a backend could not be noted', { error: message, ...others })
    })
  }

  async #work(work: Work): Promise<void> {
    const { state, clock, random, metrics } = this.#o
    const { id, body, tries } = work
    const lost = new AbortController()
    const signal = AbortSignal.any([this.#stop.signal, lost.signal])
    // A database that does not answer now may do so in time.
    const stopExtending = every(clock, extendMs, () => {
      state.work.extend(work, clock.wall() + leaseMs).then(
        (held) => held || lost.abort(),
        () => {},
      )
    })
    let debt: Debt | undefined
    try {
      debt = parseDebt(body)
      await this.#settle(debt, signal)
      await state.work.done(work)
    } catch (error) {
      // Another one is about it, or was.
      if (lost.signal.aborted) return
      const failure = Failure.from(error)
      if (this.#stop.signal.aborted) {
        await state.work.retry(work, clock.wall(), 'the node ended')
        return
      }
      if (isHopeless(failure)) {
        if (debt) await this.#giveUp(debt, failure)
        await state.work.done(work)
        return
      }
      metrics.homeWrites.inc({ result: 'failed' })
      const wait = waitOf(tries, random)
      const home = debt && this.#o.homes.of(debt.repository)
      // One that is away is so for all that it is owed.
      this.#seldom.tell(`not taken ${home?.pattern}`, (others) => {
        this.#log.warn('a backend did not take what it is owed; trying again', {
          what: debt ? keyOf(debt) : String(id),
          tries: tries + 1,
          seconds: Math.round(wait / 1000),
          error: failure.message,
          ...others,
        })
      })
      await state.work.retry(work, clock.wall() + wait, failure.message)
    } finally {
      stopExtending()
    }
  }

  /** What it will never take stays here, as what no backend keeps; what it will never delete need not stay here. */
  async #giveUp(debt: Debt, failure: Failure): Promise<void> {
    const { store, metrics, pinnedFor } = this.#o
    metrics.homeWrites.inc({ result: 'given up' })
    this.#log.error('a backend cannot take what it is owed; it is not tried again', {
      what: keyOf(debt),
      error: failure.message,
    })
    if (debt.what !== 'content') return
    const { repository, digest } = debt
    if (!(await this.#wanted(debt))) await this.#settled(repository, digest)
    else if (store.unpin(digest, owedPin(repository))) store.pin({ digest, reason: pinnedFor })
  }

  /** The state says that it is there; else it was deleted. */
  async #wanted({ repository, ...debt }: Debt): Promise<boolean> {
    const { contents, tags } = this.#o.state
    if (debt.what === 'content') return (await contents.find(repository, debt.digest)) !== undefined
    return (await tags.get(repository, debt.tag))?.digest !== undefined
  }

  /**
   * Makes the backend say what the state says. One at a time of one thing: who brings it while another one takes it away
   * would find it there, and say that it is done. @throws {Failure}
   */
  #settle(debt: Debt, signal: AbortSignal): Promise<void> {
    return this.#turns.alone(keyOf(debt), () => {
      signal.throwIfAborted()
      return this.#agree(debt, signal)
    })
  }

  /** The state is asked again at the end: at another seed it may have changed meanwhile, and that one have been faster. */
  async #agree(debt: Debt, signal: AbortSignal): Promise<void> {
    const { homes, state, metrics } = this.#o
    const { repository } = debt
    const home = homes.of(repository)
    const writes = home?.backend?.writes
    // The setting may have changed since.
    if (!writes) return
    if (debt.what === 'content') {
      const find = () => state.contents.find(repository, debt.digest)
      for (let content = await find(), again = true; again; ) {
        if (content) await this.#put(home.backend, writes, repository, content, signal)
        else await this.#remove(writes, repository, debt.digest, signal)
        const now = await find()
        again = (now === undefined) !== (content === undefined)
        content = now
      }
      await this.#settled(debt.repository, debt.digest)
    } else {
      // Of a tag that was deleted `get` knows nothing, and its history does.
      const newest = async () => (await state.tags.history(repository, debt.tag, 1))[0]
      for (let entry = await newest(), again = true; again; ) {
        if (entry?.digest) {
          const { digest, mediaType, size, at } = entry
          const content = await state.contents.find(repository, digest)
          if (content) await this.#put(home.backend, writes, repository, content, signal)
          await writes.setTag(repository, debt.tag, { digest, mediaType, size }, at, signal)
        } else if (entry) await writes.removeTag(repository, debt.tag, signal)
        const now = await newest()
        again = now?.digest !== entry?.digest || now?.at !== entry?.at
        entry = now
      }
    }
    metrics.homeWrites.inc({ result: 'done' })
  }

  /** What it names goes first. What the backend has already costs a question. */
  async #put(
    backend: Backend,
    writes: BackendWrites,
    repository: Repository,
    content: Content,
    signal: AbortSignal,
    seen = new Set<Digest>(),
  ): Promise<void> {
    for (const part of content.parts ?? []) {
      if (seen.has(part)) continue
      seen.add(part)
      const known = await this.#o.state.contents.find(repository, part)
      // What the state does not know of was there before it.
      if (known) await this.#put(backend, writes, repository, known, signal, seen)
    }
    const { kind, digest, mediaType, size } = content
    const location: Location = { repository, kind, digest }
    if (await has(backend, location, size, signal)) return
    const blob = await this.#whole(location, size, signal)
    const letGo = blob.hold()
    try {
      await writes.put(location, keptOf(blob, mediaType), signal)
      this.#o.metrics.homeWrittenBytes.inc(size)
    } finally {
      letGo()
    }
  }

  async #remove(writes: BackendWrites, repository: Repository, digest: Digest, signal: AbortSignal): Promise<void> {
    // Which of the two it was is not known any more.
    for (const kind of ['manifest', 'blob'] as const) await writes.remove({ repository, kind, digest }, signal)
  }

  async #whole(location: Location, size: number, signal: AbortSignal): Promise<Blob> {
    const held = this.#o.store.find(location.digest)
    return held?.complete ? held : this.#o.bring(location, size, signal)
  }

  /** The store need not keep it any more, unless for another repository. */
  async #settled(repository: Repository, digest: Digest): Promise<void> {
    const { homes, state, store, pinnedFor } = this.#o
    store.unpin(digest, owedPin(repository))
    const kept = async () => (await state.contents.repositoriesOf(digest)).every((each) => isKept(homes.of(each)))
    if (!(await kept())) return
    store.unpin(digest, pinnedFor)
    // A repository without a backend may have got it while that was asked.
    if (!(await kept())) store.pin({ digest, reason: pinnedFor })
  }
}

function isKept(home: Home | undefined): boolean {
  return home?.backend?.writes !== undefined
}

async function has(backend: Backend, location: Location, size: number, signal: AbortSignal): Promise<boolean> {
  try {
    return (await backend.stat(location, signal)).size === size
  } catch (error) {
    const { code } = Failure.from(error)
    if (code === 'no-blob' || code === 'no-manifest' || code === 'no-name') return false
    throw error
  }
}
