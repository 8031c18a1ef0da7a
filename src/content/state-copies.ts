/**
 * Seeds that share no database keep copies of each other's tags and contents, so that the loss of one's disk loses none.
 * Each asks a few others for what is new there, every few seconds, and whoever tells it that there is something; whoever
 * pushes is answered after one more has it. What two say differently is settled by when it was said, the same everywhere.
 *
 * What was learned is told on like what was said here, so it gets around whomever one asks; and where every node is a
 * seed, hundreds of them, asking all the others would keep all of them busy with having nothing to say.
 */
import { type Clock, every, pause, type Random, shuffle } from '../clock.ts'
import type { Membership } from '../cluster/membership.ts'
import type { NodeId, NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { type Followed, isBehind } from '../state/followed.ts'
import type { State } from '../state/state.ts'
import type { Log } from '../telemetry/log.ts'
import type { Calls } from '../wire/calls.ts'
import type { Outbound } from '../wire/wire.ts'
import { type ChangesAsked, type ChangesTold, changesCall, fitting, newsCall } from './copy-calls.ts'

export interface StateCopiesOptions {
  readonly state: State
  readonly membership: Membership
  readonly outbound: Pick<Outbound, 'call'>
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

const everyMs = 5000
/** So many are asked each time; and as many of those that join until then. */
const mostAsked = 3
/** A push waits no longer for others, ms. */
const spreadMs = 3000
/** How many changes are looked up for an answer. */
const mostAtOnce = 500
/** What is said to be from later than this, ms ahead, is from a clock that is wrong. */
const aheadMs = 3_600_000

export class StateCopies {
  readonly #o: StateCopiesOptions
  /** By database: how far it was followed. */
  readonly #followed = new Map<string, Followed>()
  /** By database: the wall ms at which something can be believed that was passed over. Then all of it is followed again. */
  readonly #again = new Map<string, number>()
  /** The database of each node, as it said last. */
  readonly #databases = new Map<NodeId, { of: string; epoch: string }>()
  readonly #pulls = new Map<NodeId, { running: Promise<void>; next?: Promise<void> }>()
  /** How many more of those that join are asked before it is time again. */
  #welcomes = mostAsked
  #stop = () => {}

  constructor(options: StateCopiesOptions) {
    this.#o = options
  }

  answerOn(calls: Calls): void {
    calls.on(changesCall, (asked) => this.#tell(asked))
    calls.on(newsCall, async ({ node }) => {
      const seed = this.#seeds().find(({ id }) => id === node)
      if (!seed) throw new Failure('no-name', 'a node that this one does not know as a seed has no news for it')
      await this.#pull(seed)
      return {}
    })
  }

  start(): void {
    const { clock, membership } = this.#o
    this.#stop = every(clock, everyMs, () => void this.#askSome().catch(() => {}))
    membership.onJoin((info) => {
      if (info.modes.includes('seed') && this.#welcomes-- > 0) this.#pull(info).catch(() => {})
    })
    membership.onLeave(({ id }) => this.#databases.delete(id))
  }

  close(): void {
    this.#stop()
  }

  /**
   * Another seed has all that is here when this resolves; or there is none that shares no database with this one, or none
   * answers soon. Never throws.
   */
  async spread(): Promise<void> {
    const { outbound, membership, clock, log } = this.#o
    const seeds = this.#withoutOwn(await this.#own())
    if (seeds.length === 0) return
    const waited = new AbortController()
    try {
      const heard = seeds.map((seed) => outbound.call(seed, newsCall, { node: membership.self.id }))
      const late = pause(clock, spreadMs, waited.signal).then(() => {
        throw new Failure('unavailable', `none answered within ${spreadMs / 1000} s`)
      })
      await Promise.race([Promise.any(heard), late])
    } catch (error) {
      const reason = error instanceof AggregateError ? error.errors[0] : error
      log.warn('no other seed has a copy yet of what was pushed here', { error: Failure.from(reason).message })
    } finally {
      waited.abort()
    }
  }

  async #askSome(): Promise<void> {
    this.#welcomes = mostAsked
    const seeds = shuffle(this.#withoutOwn(await this.#own()), this.#o.random)
    for (const seed of seeds.slice(0, mostAsked)) this.#pull(seed).catch(() => {})
  }

  async #tell(asked: ChangesAsked): Promise<ChangesTold> {
    const { state } = this.#o
    const of = await state.id()
    const from = asked.of === of ? asked : { tags: 0, contents: 0 }
    // Tags first: what they point to has been written down before them.
    const tags = await state.tags.changes(from.tags, mostAtOnce)
    const contents = await state.contents.changes(from.contents, mostAtOnce)
    const last = { tags: await state.tags.lastChange(), contents: await state.contents.lastChange() }
    const { all, ...told } = fitting(contents, tags)
    return { of, ...told, more: !all, last }
  }

  /** One at a time from each; who comes meanwhile waits for the next, which has what is there now. */
  #pull(seed: NodeInfo): Promise<void> {
    const pull = this.#pulls.get(seed.id)
    if (!pull) return this.#run(seed)
    pull.next ??= pull.running.catch(() => {}).then(() => this.#run(seed))
    return pull.next
  }

  #run(seed: NodeInfo): Promise<void> {
    const running = this.#follow(seed)
      .catch((error) => {
        const { message } = Failure.from(error)
        this.#o.log.debug('what another seed knows of tags could not be copied', { seed: seed.id, error: message })
        throw error
      })
      .finally(() => {
        if (this.#pulls.get(seed.id)?.running === running) this.#pulls.delete(seed.id)
      })
    this.#pulls.set(seed.id, { running })
    return running
  }

  async #follow(seed: NodeInfo): Promise<void> {
    const { state, outbound, clock } = this.#o
    const own = await state.id()
    if (this.#shares(seed, own)) return
    for (;;) {
      const of = this.#databases.get(seed.id)?.of
      if (of !== undefined && (this.#again.get(of) ?? Number.POSITIVE_INFINITY) <= clock.wall()) {
        this.#again.delete(of)
        this.#followed.delete(of)
      }
      const from = (of && this.#followed.get(of)) || { tags: 0, contents: 0 }
      const told = await outbound.call(seed, changesCall, { ...(of ? { of } : {}), ...from })
      this.#databases.set(seed.id, { of: told.of, epoch: seed.epoch })
      if (told.of === own) return
      if (told.of === of && told.last && isBehind(told.last, from)) {
        // It was restored from a backup.
        this.#followed.delete(of)
        continue
      }
      await this.#learn(seed, told)
      const last = told.of === of ? from : { tags: 0, contents: 0 }
      this.#followed.set(told.of, {
        tags: told.tags.at(-1)?.number ?? last.tags,
        contents: told.contents.at(-1)?.number ?? last.contents,
      })
      if (!told.more) return
      if (told.tags.length + told.contents.length === 0) throw new Failure('unavailable', 'it says that there is more')
    }
  }

  /** What is from a time that is yet to come is passed over until then: a clock is wrong, and nobody knows whose. */
  async #learn(seed: NodeInfo, { of, contents, tags }: ChangesTold): Promise<void> {
    const { state, clock, log } = this.#o
    const latest = clock.wall() + aheadMs
    const ahead = [...contents.map(({ saidAt }) => saidAt), ...tags.map(({ at }) => at)].filter((at) => at > latest)
    for (const { number: _, ...change } of contents) if (change.saidAt <= latest) await state.contents.learn(change)
    for (const { number: _, repository, tag, ...entry } of tags) {
      if (entry.at <= latest) await state.tags.set(repository, tag, entry)
    }
    if (ahead.length === 0) return
    this.#again.set(of, Math.min(...ahead.map((at) => at - aheadMs), this.#again.get(of) ?? Number.POSITIVE_INFINITY))
    log.warn('tags or contents of another seed are from a time that is yet to come: see to the clocks of both', {
      seed: seed.id,
      changes: ahead.length,
    })
  }

  #seeds(): NodeInfo[] {
    const { membership } = this.#o
    return membership.withMode('seed').filter(({ id }) => id !== membership.self.id)
  }

  /** Those of them that are not known to have this node's database. */
  #withoutOwn(own: string | undefined): NodeInfo[] {
    return this.#seeds().filter((seed) => own === undefined || !this.#shares(seed, own))
  }

  #shares({ id, epoch }: NodeInfo, own: string): boolean {
    const known = this.#databases.get(id)
    return known?.of === own && known.epoch === epoch
  }

  async #own(): Promise<string | undefined> {
    return this.#o.state.id().catch(() => undefined)
  }
}
