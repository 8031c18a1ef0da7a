/**
 * Carries out what rules say of repositories of the cluster's own: one node at a time, from time to time and when an
 * operator says so. What it decides it decides from what the state says at that moment, and whoever takes things away looks
 * again at each of them: what somebody pushed or asked for meanwhile stays.
 */
import picomatch from 'picomatch'
import { type Clock, every } from '../clock.ts'
import type { NodeId } from '../cluster/node-info.ts'
import { isAboutPushed, type KeepRule } from '../config/rules.ts'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import { formatReference, formatRepository, type Repository, type Tag } from '../oci/reference.ts'
import type { Content, State, TagEntry } from '../state/state.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Clocks } from './clocks.ts'
import type { Keeps, KeptRepository } from './kept.ts'
import { type Inventory, type Item, type KeepPlan, planKeeping } from './plan.ts'

/**
 * Takes away what is still as it was when that was decided; false if it is not, and stays. @throws {Failure} `try-later`
 * where it is gone here, and still owed to where it is kept for good
 */
export interface Remover {
  expireTag(repository: Repository, tag: Tag, entry: TagEntry): Promise<boolean>
  expireContent(repository: Repository, content: Content): Promise<boolean>
  /** What no repository has any more is as any other content on this node. */
  release(digest: Digest): Promise<void>
}

export interface KeepingParts {
  readonly state: Pick<State, 'tags' | 'contents' | 'jobs'>
  readonly rules: readonly KeepRule[]
  /** Whether it is the cluster's own. */
  readonly isHome: (repository: Repository) => boolean
  /**
   * What images need that its backend has and the state does not tell of, and what refers to `staying`, manifests.
   * @throws {Failure} where the backend does not say
   */
  readonly neededBeside: (repository: Repository, staying: readonly Digest[]) => Promise<ReadonlySet<Digest>>
  /** For what an operator or a preheat wants it to stay. */
  readonly pinnedFor: (digest: Digest) => string | undefined
  /** What this node has pinned because a repository has it. */
  readonly homePins: () => Iterable<Digest>
  readonly remover: Remover
  readonly node: NodeId
  readonly clock: Clock
  /** By what ages are told. @throws {Failure} where they cannot be */
  readonly clocks: Pick<Clocks, 'agreed'>
  readonly log: Log
  readonly metrics: Pick<Metrics, 'keepRemoved'>
}

const kind = 'keep'
const everyMs = 3_600_000
/** A sweep that says nothing for so long has died with its node. */
const leaseMs = 5 * 60_000
const page = 1000

export class Keeping implements Keeps {
  readonly #o: KeepingParts
  readonly #matchers: readonly ((name: string) => boolean)[]
  #stop = () => {}
  #sweeping: Promise<KeptRepository[]> | undefined

  constructor(parts: KeepingParts) {
    this.#o = parts
    this.#matchers = parts.rules.map(({ pattern }) => picomatch(pattern))
  }

  /** The first rule that matches, unless it is about what is cached alone: then nothing is taken away here. */
  ruleOf(repository: Repository): KeepRule | undefined {
    const name = formatRepository(repository)
    const rule = this.#o.rules[this.#matchers.findIndex((matches) => matches(name))]
    return rule && isAboutPushed(rule) ? rule : undefined
  }

  start(): void {
    this.#stop = every(this.#o.clock, everyMs, () => void this.tend())
  }

  /** From time to time: sweeps if no other node does, and lets go of what others took away. */
  async tend(): Promise<void> {
    const { log, remover, homePins } = this.#o
    const release = async () => {
      for (const digest of homePins()) await remover.release(digest)
    }
    for (const part of [() => this.sweep(), release]) {
      try {
        await part()
      } catch (error) {
        const { code, message } = Failure.from(error)
        if (code === 'try-later') continue
        log.warn('what rules do not keep could not be taken away for now', { error: message })
      }
    }
  }

  async close(): Promise<void> {
    this.#stop()
    await this.#sweeping?.catch(() => {})
  }

  async plan(): Promise<KeptRepository[]> {
    const found: KeptRepository[] = []
    if (!this.#anyRule) return found
    const now = await this.#o.clocks.agreed()
    for await (const repository of this.#repositories()) {
      const rule = this.ruleOf(repository)
      if (rule) found.push({ repository, rule, plan: await this.#planOf(repository, rule, now) })
    }
    return found
  }

  sweep(): Promise<KeptRepository[]> {
    this.#sweeping ??= this.#sweep().finally(() => {
      this.#sweeping = undefined
    })
    return this.#sweeping
  }

  get #anyRule(): boolean {
    return this.#o.rules.some(isAboutPushed)
  }

  async #sweep(): Promise<KeptRepository[]> {
    const { state, clock, clocks, node } = this.#o
    if (!this.#anyRule) return []
    // For all of it: whatever becomes of the clock meanwhile.
    const now = await clocks.agreed()
    await state.jobs.add({ kind, key: 'sweep', body: {}, at: clock.wall() })
    const job = await state.jobs.claim(kind, node, clock.wall(), leaseMs)
    if (!job) throw new Failure('try-later', 'another node is about to take away what rules do not keep')
    const hold = (ms: number) => {
      const updatedAt = clock.wall()
      return state.jobs.update(job.id, node, { updatedAt, leasedUntil: updatedAt + ms })
    }
    const goOn = async () => {
      if (!(await hold(leaseMs))) throw new Failure('try-later', 'another node goes on with this')
    }
    try {
      const swept: KeptRepository[] = []
      for await (const repository of this.#repositories()) {
        const rule = this.ruleOf(repository)
        if (!rule) continue
        swept.push(await this.#sweepOne(repository, rule, now, goOn))
        await goOn()
      }
      return swept
    } finally {
      // Anybody's turn.
      await hold(0)
    }
  }

  async #sweepOne(
    repository: Repository,
    rule: KeepRule,
    now: number,
    goOn: () => Promise<void>,
  ): Promise<KeptRepository> {
    const { log, metrics } = this.#o
    const plan = await this.#planOf(repository, rule, now)
    const [remove, keep]: [Item[], Item[]] = [[], [...plan.keep]]
    for (const item of plan.remove) {
      // A backend that is out of reach makes each of them take long.
      await goOn()
      if (!(await this.#take(repository, item))) {
        keep.push({ ...item, reason: 'it was asked for or changed meanwhile' })
        continue
      }
      remove.push(item)
      metrics.keepRemoved.inc({ kind: item.kind })
      log.info('taken away by a rule', {
        what: nameOf(repository, item),
        kind: item.kind,
        reason: item.reason,
        rule: rule.text,
      })
    }
    return { repository, rule, plan: { remove, keep } }
  }

  async #take(repository: Repository, item: Item): Promise<boolean> {
    const { remover, log } = this.#o
    try {
      return await (item.kind === 'tag'
        ? remover.expireTag(repository, item.tag, item.entry)
        : remover.expireContent(repository, item.content))
    } catch (error) {
      const failure = Failure.from(error)
      if (failure.code !== 'try-later') throw failure
      log.debug('taken away here first', { what: nameOf(repository, item), error: failure.message })
      return true
    }
  }

  async #planOf(repository: Repository, rule: KeepRule, now: number): Promise<KeepPlan> {
    const { pinnedFor } = this.#o
    // Contents first: what comes in between is younger than what is read, and tags that it is named by are seen.
    const contents = await this.#contentsOf(repository)
    const tags = await this.#tagsOf(repository)
    const inventory: Inventory = { tags, contents, pinnedFor }
    const plan = planKeeping(inventory, rule, now)
    if (plan.remove.every(({ kind }) => kind === 'tag')) return plan
    return planKeeping({ ...inventory, neededFor: await this.#neededIn(repository, plan) }, rule, now)
  }

  /** Nothing goes that what the state lost may need. */
  async #neededIn(repository: Repository, { keep }: KeepPlan): Promise<NonNullable<Inventory['neededFor']>> {
    const staying = keep.flatMap((item) => (item.kind === 'manifest' ? [item.content.digest] : []))
    try {
      const needed = await this.#o.neededBeside(repository, staying)
      return (digest) =>
        needed.has(digest) ? 'an image at the backend needs it that the state does not tell of' : undefined
    } catch (error) {
      const { message } = Failure.from(error)
      this.#o.log.warn('manifests and blobs stay: it cannot be told what else the backend has that needs them', {
        repository: formatRepository(repository),
        error: message,
      })
      return () => `it cannot be told what else the backend has that needs it: ${message}`
    }
  }

  async #tagsOf(repository: Repository): Promise<Inventory['tags']> {
    const { tags } = this.#o.state
    const found: { tag: Tag; entry: TagEntry & { digest: Digest } }[] = []
    for await (const tag of pages(
      (after) => tags.list(repository, { ...after, limit: page }),
      (tag) => tag,
    )) {
      const entry = await tags.get(repository, tag)
      if (entry?.digest) found.push({ tag, entry: { ...entry, digest: entry.digest } })
    }
    return found
  }

  #contentsOf(repository: Repository): Promise<Content[]> {
    const { contents } = this.#o.state
    return Array.fromAsync(
      pages(
        (after: { after?: Digest }) => contents.list(repository, { ...after, limit: page }),
        ({ digest }) => digest,
      ),
    )
  }

  async *#repositories(): AsyncGenerator<Repository, void, undefined> {
    const { state, isHome } = this.#o
    const all = pages((after) => state.tags.repositories({ ...after, limit: page }), formatRepository)
    for await (const repository of all) if (isHome(repository)) yield repository
  }
}

async function* pages<T, K extends string>(
  read: (after: { after?: K }) => Promise<T[]>,
  keyOf: (item: T) => K,
): AsyncGenerator<T, void, undefined> {
  for (let after: { after?: K } = {}; ; ) {
    const some = await read(after)
    yield* some
    const last = some.at(-1)
    if (last === undefined || some.length < page) return
    after = { after: keyOf(last) }
  }
}

export function nameOf(repository: Repository, item: Item): string {
  return formatReference({
    ...repository,
    ...(item.kind === 'tag' ? { tag: item.tag } : { digest: item.content.digest }),
  })
}
