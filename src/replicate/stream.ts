/**
 * Everything that goes to one target from this node: the feed that finds what is to be copied, and a few copiers that take
 * from the queue what is due. All nodes with the same rule and the same state share one queue.
 */
import { type Clock, pause, type Random } from '../clock.ts'
import type { NodeId } from '../cluster/node-info.ts'
import type { Content } from '../content/content.ts'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import { formatReference, type Repository } from '../oci/reference.ts'
import type { Claim, State, Work } from '../state/state.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { Seldom } from '../telemetry/seldom.ts'
import { waitAfter } from './backoff.ts'
import { type Copy, copyManifest, isOutOfReach, listReferrer } from './copy.ts'
import { Feed, leaseMs } from './feed.ts'
import type { Target } from './target.ts'
import { kindOf, type Task, taskOf } from './task.ts'

export interface StreamParts {
  readonly state: Pick<State, 'jobs' | 'tags' | 'contents' | 'work'>
  readonly target: Target
  readonly content: Pick<Content, 'manifest' | 'open'>
  readonly node: NodeId
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Pick<Metrics, 'replicationTasks' | 'replicationSentBytes'>
}

const copiers = 4
/** The queue is looked at so often while nothing is in it, ms. */
const lookMs = 1000
/** A tag that changes faster than it is copied has its turn again later. */
const mostTurns = 3
/** Repositories that are asked for a blob before it is sent. */
const mostMounts = 3

export class Stream {
  readonly #o: StreamParts
  readonly #feed: Feed
  readonly #kind: string
  readonly #closing = new AbortController()
  readonly #seldom: Seldom
  readonly #loops: Promise<void>[] = []

  constructor(parts: StreamParts) {
    this.#o = parts
    this.#feed = new Feed(parts)
    this.#kind = kindOf(parts.target.id)
    this.#seldom = new Seldom(parts.clock)
  }

  start(): void {
    const { target } = this.#o
    this.#loops.push(
      this.#loop(
        () => this.#fed(),
        () => lookMs,
      ),
    )
    for (let i = 0; i < copiers; i++) {
      this.#loops.push(
        this.#loop(
          () => this.#copied(),
          () => Math.max(lookMs, target.rest),
        ),
      )
    }
  }

  /** What is under way is given up, and done again by whoever is there. */
  async close(): Promise<void> {
    this.#closing.abort()
    await Promise.all(this.#loops)
    // Whoever has the lease next finds out by itself.
    await this.#feed.close(this.#o.clock.wall()).catch(() => {})
  }

  /** Runs `step` for as long as there may be more, and looks again a moment later. */
  async #loop(step: () => Promise<boolean>, rest: () => number): Promise<void> {
    const { clock, log, target } = this.#o
    const { signal } = this.#closing
    while (!signal.aborted) {
      let more = false
      try {
        more = await step()
      } catch (error) {
        if (signal.aborted) return
        const { message } = Failure.from(error)
        this.#seldom.tell(message, (others) => {
          log.warn('replication cannot go on for now', { target: target.id, error: message, ...others })
        })
      }
      if (!more) await pause(clock, rest(), signal).catch(() => {})
    }
  }

  #fed(): Promise<boolean> {
    return this.#feed.step(this.#o.clock.wall())
  }

  /** False if there was nothing to do. */
  async #copied(): Promise<boolean> {
    const { state, clock, target } = this.#o
    if (target.rest > 0) return false
    const work = await state.work.claim(this.#kind, clock.wall(), leaseMs)
    if (!work) return false
    const lost = new AbortController()
    const signal = AbortSignal.any([this.#closing.signal, lost.signal])
    const stop = this.#keepLease(work, () => lost.abort())
    try {
      await this.#carryOut(work, signal, lost.signal)
    } finally {
      stop()
    }
    return true
  }

  async #carryOut(work: Work, signal: AbortSignal, lost: AbortSignal): Promise<void> {
    const { state, clock, random, log, target, metrics } = this.#o
    const task = taskOf(work.body)
    try {
      if (task) await this.#copy(task, signal)
    } catch (error) {
      // It is not there any more, for whoever had it was done.
      if (lost.aborted) return
      const failure = Failure.from(error)
      const givenUp = signal.aborted
      if (!givenUp && isOutOfReach(failure)) target.failed()
      const wait = givenUp ? 0 : waitAfter(work.tries + 1, failure.code, random)
      const why = givenUp ? (work.lastError ?? 'the node that copied it ended') : failure.message.slice(0, 1000)
      await state.work.retry(work, clock.wall() + Math.max(wait, target.rest), why)
      if (givenUp) return
      metrics.replicationTasks.inc({ result: 'failed' })
      this.#seldom.tell(failure.message, (others) => {
        const fields = { target: target.id, what: work.key, tries: work.tries + 1, error: failure.message }
        log.warn('not replicated yet; it is tried again', { ...fields, ...others })
      })
      return
    }
    target.answered()
    await state.work.done(work)
    metrics.replicationTasks.inc({ result: 'done' })
    log.debug('replicated', { target: target.id, what: work.key })
  }

  async #copy({ repository, tag, digest }: Task, signal: AbortSignal): Promise<void> {
    const { state, target, content, metrics } = this.#o
    const to = target.place(repository)
    const copy: Copy = {
      from: repository,
      to,
      content,
      signal,
      sent: (bytes) => metrics.replicationSentBytes.inc(bytes),
      elsewhere: (blob) => this.#elsewhere(repository, blob),
      referrers: (subject) => state.contents.referrers(repository, subject),
    }
    if (tag === undefined) {
      // Nobody has it any more, here either.
      const known = await state.contents.find(repository, digest)
      if (known && !(await copyManifest(copy, digest)) && known.subject) await listReferrer(copy, digest)
      return
    }
    // What the tag leads to may change meanwhile, and another node may be about that: who wrote last looks last.
    for (let tried = 0; tried <= mostTurns; tried++) {
      const wanted = (await state.tags.get(repository, tag))?.digest
      const found = await to.writer.resolve(to.repository, tag, signal)
      if (wanted === found) {
        const known = wanted && tried === 0 ? await state.contents.find(repository, wanted) : undefined
        if (known?.subject) await listReferrer(copy, known.digest)
        return
      }
      if (wanted !== undefined) await copyManifest(copy, wanted, tag)
      else if (target.rule.deletes) await to.writer.removeTag(to.repository, tag, signal)
      else return
    }
    throw new Failure(
      'corrupt',
      `${target.rule.target} says of ${repository.name}:${tag} something else than it was told`,
    )
  }

  /** What the repositories are called there that have the blob here. */
  async #elsewhere(repository: Repository, digest: Digest): Promise<Repository[]> {
    const { state, target } = this.#o
    const name = formatReference(repository)
    const others = (await state.contents.repositoriesOf(digest)).filter(
      (other) => target.matches(other) && formatReference(other) !== name,
    )
    // Names there are made alike only for one registry here.
    const alike = others.filter(({ registry }) => registry === repository.registry)
    return alike.slice(0, mostMounts).map((other) => target.place(other).repository)
  }

  #keepLease(claim: Claim, lost: () => void): () => void {
    const { state, clock } = this.#o
    let cancel = () => {}
    const arm = () => {
      cancel = clock.after(leaseMs / 3, () => {
        arm()
        // A database that does not answer now may do so in time.
        state.work.extend(claim, clock.wall() + leaseMs).then(
          (held) => held || lost(),
          () => {},
        )
      })
    }
    arm()
    return () => cancel()
  }
}
