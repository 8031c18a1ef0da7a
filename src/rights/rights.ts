/**
 * Who may have what of the store and the swarm: whoever could have had it from the source. A client is let in when the
 * source gives the repository to anyone, to the credentials that the client shows, or, where the operator lets them
 * count, to this node's logins or to those of another node. Content counts as part of a repository only where a
 * manifest of the repository lists it, or the source has said so; what is of another private repository, where the source
 * has (`possession.ts`).
 *
 * A source is asked when what is known is more than a minute old (`verdicts.ts`), once for all who wait.
 */

import type { Clock, Random } from '../clock.ts'
import type { LoginsFor } from '../config/settings.ts'
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import type { Asker, Door, Named } from '../source/door.ts'
import type { Location } from '../source/source.ts'
import type { BlobStore } from '../store/blob-store.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { formatNamed, type Outcome, outcomeOf, refusal } from './outcomes.ts'
import { Possession } from './possession.ts'
import { allowedMs, type Holder, type Verdict, Verdicts } from './verdicts.ts'
import { nameOf, type Visitor } from './visitor.ts'

export interface RightsOptions {
  readonly store: Pick<BlobStore, 'find' | 'repositoriesOf' | 'wasSeenIn' | 'seenIn' | 'granted' | 'setGranted'>
  readonly door: Pick<Door, 'admits' | 'shows' | 'hasLogin' | 'loginAt' | 'takesLogins' | 'lend' | 'borrows'>
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Pick<Metrics, 'rightsChecks'>
  /** For whom the logins of this node count. */
  readonly loginsFor: LoginsFor
  /** It is known now that a private repository has it. */
  readonly learned?: (digest: Digest) => void
  /** It is known now of some repository that it has it. */
  readonly placed?: (digest: Digest) => void
  /** It is the cluster's own: whoever can read through a node may read it, and there is no source to ask. */
  readonly isHome: (repository: Repository) => boolean
  /** Of the hash that credentials are remembered by; random, of this process alone. */
  readonly key: Uint8Array
  /** Has whoever asks the source for the whole cluster ask again; what that says arrives by {@link Rights.heard}. */
  readonly renew?: (repository: Repository) => Promise<void>
  /**
   * Has it ask whether the repository has this, see `content/parts.ts`; `widely`, others than it as well: the source
   * cannot be asked. True when the source has said so.
   */
  readonly inquire?: (location: Location, widely: boolean) => Promise<boolean>
}

/** What one node tells another about a repository: ages in ms of the source's last word. */
export interface Vouched {
  /** To clients without credentials. */
  readonly open?: number | undefined
  /** To those of other nodes' clients for whom this node's logins count. */
  readonly shared?: number | undefined
}

export interface Candidate {
  readonly holder: Holder
  /** Undefined where only another node can say. */
  readonly asker: Asker | undefined
}

/** A source that did not answer is not asked about that repository for so long. */
const silentMs = 5_000
const missingMs = 10_000
/** Who asks another node waits for so long at most for what is asked for it. */
const vouchMs = 2_000
const mostPlaces = 50_000
/** That a registry refuses this node's login is told once in so long. */
const tellMs = 10 * 60_000
const anyone: Candidate = { holder: 'anyone', asker: 'anyone' }

export class Rights {
  readonly #o: RightsOptions
  readonly #verdicts: Verdicts
  readonly #possession: Possession
  /** The questions under way, and what each is about. */
  readonly #asking = new Map<string, { readonly what: string; readonly outcome: Promise<Outcome> }>()
  /** What the store knows too: which repository has which content. */
  readonly #places = lru<string, true>(mostPlaces)
  /** Clock time until which a question is not worth asking: content that is not there, repositories about which nothing is said. */
  readonly #pointless = lru<string, { until: number; outcome: Outcome }>(4096)
  /** By repository: the question whether it is for anyone, and until when it is not asked again. */
  readonly #open = lru<string, { until: number; asked: Promise<unknown> }>(4096)
  /** By repository: why its registry last could not say. */
  readonly #trouble = lru<string, string>(256)
  /** By registry: clock time at which it was told last that it refuses this node's login. */
  readonly #toldRefused = lru<string, number>(256)

  constructor(options: RightsOptions) {
    this.#o = options
    this.#verdicts = new Verdicts(options.store)
    this.#possession = new Possession({
      ...options,
      isPublic: (repository) => this.#isPublic(repository),
      nameOf: (asker) => (typeof asker === 'string' ? asker : this.#login(asker)),
    })
  }

  /**
   * Resolves when the client may have it, with whom the source gives it to, where this node can ask in that name.
   * `proof` is work under way that may tell before the source has to be asked.
   * @throws {Failure} `denied`, `unauthorized`, `no-manifest`, `no-blob`, `unavailable`
   */
  async admit(visitor: Visitor, named: Named, proof?: Promise<unknown>): Promise<Asker | undefined> {
    const asker = await this.#admit(visitor, named, proof)
    await this.settle(named, asker)
    return asker
  }

  /**
   * Resolves when what was found under a name that may be read is that registry's to give, see `possession.ts`.
   * @throws {Failure} `no-manifest`, `no-blob`, `unavailable`
   */
  async settle(named: Named, asker: Asker | undefined): Promise<void> {
    const { reference } = named
    if (isDigest(reference) && this.#possession.disputed(named)) {
      await this.#possession.prove({ ...named, reference }, asker)
    }
  }

  async #admit(visitor: Visitor, named: Named, proof?: Promise<unknown>): Promise<Asker | undefined> {
    const { repository } = named
    if (this.#isPart(named) && this.#now('anyone', repository) === 'allowed') return 'anyone'
    if (proof && !visitor.shown) await proof.catch(() => {})
    const part = visitor.shown ? this.#isPart(named) : await this.#heardOf(named, false)
    const candidates = await this.candidates(visitor, repository)
    const known = part && candidates.find(({ holder }) => this.#now(holder, repository) === 'allowed')
    if (known) return known.asker
    const outcomes: Outcome[] = []
    let loginRefused = false
    for (const candidate of candidates) {
      const outcome = await this.#ask(candidate, named, part)
      if (outcome === 'allowed') return candidate.asker
      outcomes.push(outcome)
      loginRefused ||= candidate.holder === 'node' && outcome === 'refused'
    }
    if (outcomes.includes('unknown') && (await this.#heardOf(named, true))) {
      const had = (await this.candidates(visitor, repository)).find(({ holder }) => this.#last(holder, repository))
      if (had) return had.asker
    }
    const { registry } = repository
    const login = loginRefused && (await visitor.trusted()) ? await this.#o.door.loginAt(registry) : undefined
    const facts = {
      trouble: this.#trouble.get(formatRepository(repository)),
      shows: !visitor.shown && this.#o.door.takesLogins(registry),
      refused: loginRefused ? { login } : undefined,
    }
    throw refusal(named, outcomes, facts)
  }

  /** Whether it is known to be part of its repository now that other nodes were asked. */
  async #heardOf(named: Named, widely: boolean): Promise<boolean> {
    const { reference } = named
    if (isDigest(reference) && !this.#isPart(named)) {
      const said = await this.#o.inquire?.({ ...named, digest: reference }, widely).catch(() => false)
      if (said) this.said({ ...named, reference })
    }
    return this.#isPart(named)
  }

  /**
   * Whether to begin before {@link admit} has said so: for who had the repository before, but not by a login that is
   * another client's, nor before the client's own is lent. A manifest is small; a layer is begun for a stranger only
   * where this node has no login, for then the stranger cannot have it fetch what is not for strangers.
   */
  async expects(visitor: Visitor, { repository, kind }: Named): Promise<boolean> {
    const { door } = this.#o
    const { registry } = repository
    const own = visitor.credential && door.takesLogins(registry) ? this.#login(visitor.credential) : undefined
    if (this.#last('anyone', repository) || (own !== undefined && this.#last(own, repository))) return true
    if (own !== undefined || door.borrows(repository)) return false
    return kind === 'manifest' || !(await door.hasLogin(registry))
  }

  /** In whose names the source may be asked for a client, in the order that asks least. */
  async candidates(visitor: Visitor, repository: Repository): Promise<Candidate[]> {
    const { door } = this.#o
    const { registry } = repository
    if (visitor.shown) {
      const { credential } = visitor
      if (!credential || !door.takesLogins(registry)) return [anyone]
      const own: Candidate = { holder: this.#login(credential), asker: credential }
      // A registry is not asked about each of its clients for what it gives to all.
      return this.#last('anyone', repository) ? [anyone, own] : [own, anyone]
    }
    if (!(await this.#loginsCountFor(visitor))) return [anyone]
    const own: Candidate[] = (await door.hasLogin(registry)) ? [{ holder: 'node', asker: 'node' }] : []
    const shared: Candidate[] = this.#last('shared', repository) ? [{ holder: 'shared', asker: undefined }] : []
    return [...own, anyone, ...shared]
  }

  /** The source gave something of the repository. */
  given(repository: Repository, holder: 'anyone' | 'node'): void {
    this.#learn(repository, holder, 'allowed', this.#o.clock.wall())
  }

  /** Another node, which members believe, said what the source told it; `all` if it would say so of its logins. */
  heard(repository: Repository, { open, shared }: Vouched, all = true): void {
    const wall = this.#o.clock.wall()
    if (open !== undefined) this.#learn(repository, 'anyone', 'allowed', wall - open)
    if (shared !== undefined) this.#learn(repository, 'shared', 'allowed', wall - shared)
    // It shares them no more.
    else if (all && this.#last('shared', repository)) this.#learn(repository, 'shared', 'refused', wall)
  }

  /**
   * What to tell other nodes, which may have no way to the source. One that this node has a login for was asked by it, and
   * what it gave so says nothing about anyone: then it is asked once more, for anyone, at most once a minute.
   */
  async vouch(named: Named): Promise<Vouched> {
    const { repository } = named
    const place = formatRepository(repository)
    if (this.#gaveToLoginAlone(repository)) {
      const { clock } = this.#o
      let open = this.#open.get(place)
      if (!open || open.until <= clock.now()) {
        open = { until: clock.now() + allowedMs, asked: this.#once(anyone, named, true).catch(() => {}) }
        this.#open.set(place, open)
      }
      const late = Promise.withResolvers<void>()
      const cancel = clock.after(vouchMs, () => late.resolve())
      await Promise.race([open.asked, late.promise]).finally(cancel)
    }
    return this.#vouched(repository)
  }

  /** Nobody needs to know what is open for who is told that the login counts for all. */
  #gaveToLoginAlone(repository: Repository): boolean {
    if (this.#o.loginsFor === 'everyone' || this.#now('anyone', repository)) return false
    return this.#last('node', repository)
  }

  #vouched(repository: Repository): Vouched {
    const { loginsFor, clock } = this.#o
    const age = (holder: Holder) => this.#verdicts.ageOf(repository, holder, clock.wall())
    const [open, own] = [age('anyone'), age('node')]
    if (loginsFor === 'everyone') return { open: open === undefined ? own : Math.min(open, own ?? open) }
    return { open, ...(loginsFor === 'cluster' ? { shared: own } : {}) }
  }

  /** The source said that the repository has it: it is what a tag of it points to. */
  said(named: Pick<Named, 'repository'> & { readonly reference: Digest }): void {
    this.#possession.said(named)
  }

  /** A scheduler had this node read it for others. */
  ordered(location: Pick<Location, 'repository' | 'digest'>): void {
    this.#possession.brought(location)
  }

  /** Private repositories that have it, for nodes that fetch it from here. */
  owners(digest: Digest): Repository[] {
    return this.#possession.owners(digest)
  }

  /** A node that has it, which members believe, says that these private repositories have it. */
  owned(digest: Digest, repositories: readonly Repository[]): void {
    for (const repository of repositories) {
      // So says a node that has not heard yet who keeps it.
      if (this.#o.isHome(repository)) continue
      if (this.#possession.told(digest, repository)) this.contains(repository, [digest])
    }
  }

  /** Whether {@link settle} has something to do, of what came up since the client was let in. */
  doubtful(named: Named): boolean {
    return this.#possession.doubtful(named)
  }

  /** The repository has these, as a manifest of it says or the source. */
  contains(repository: Repository, digests: Iterable<Digest>): void {
    for (const digest of digests) {
      const key = `${digest} ${formatRepository(repository)}`
      if (this.#places.get(key)) continue
      this.#places.set(key, true)
      this.#o.store.seenIn(digest, repository)
      this.#possession.seen(digest, repository)
      if (!this.#isPublic(repository)) this.#o.learned?.(digest)
      this.#o.placed?.(digest)
    }
  }

  /** A tag is of its repository, whatever it points to. */
  #isPart({ repository, reference }: Named): boolean {
    if (!isDigest(reference)) return true
    const key = `${reference} ${formatRepository(repository)}`
    if (this.#places.get(key)) return true
    const known = this.#o.store.wasSeenIn(reference, repository)
    if (known) this.#places.set(key, true)
    return known
  }

  #learn(repository: Repository, holder: Holder, verdict: Verdict, at: number): void {
    const before = holder === 'anyone' && this.#isPublic(repository)
    this.#verdicts.learn(repository, holder, verdict, at)
    if (holder === 'anyone' && this.#isPublic(repository) !== before) this.#possession.publicityChanged()
  }

  #now(holder: Holder, repository: Repository) {
    return this.#verdicts.now(repository, holder, this.#o.clock.wall())
  }

  /** Whether the source's last word was yes. */
  #last(holder: Holder, repository: Repository): boolean {
    return this.#verdicts.lastWord(repository, holder, this.#o.clock.wall()) === 'allowed'
  }

  /** Nobody keeps it apart from anybody. */
  #isPublic(repository: Repository): boolean {
    return this.#o.isHome(repository) || this.#last('anyone', repository)
  }

  #login(credential: NonNullable<Visitor['credential']>): Holder {
    return `login ${nameOf(credential, this.#o.key)}`
  }

  async #loginsCountFor(visitor: Visitor): Promise<boolean> {
    const { loginsFor } = this.#o
    return loginsFor === 'everyone' || (loginsFor !== 'nobody' && (await visitor.trusted()))
  }

  async #ask(candidate: Candidate, named: Named, part: boolean): Promise<Outcome> {
    const { repository } = named
    const { holder } = candidate
    const known = this.#now(holder, repository)
    if (known === 'refused' || (known && part)) return known
    if (part && (holder === 'anyone' || holder === 'shared') && this.#last(holder, repository)) {
      await this.#o.renew?.(repository).catch(() => {})
      const renewed = this.#now(holder, repository)
      if (renewed) return renewed
    }
    const outcome = await this.#once(candidate, named, part)
    // Nobody can say now: what was said last counts.
    return outcome === 'unknown' && part && this.#last(holder, repository) ? 'allowed' : outcome
  }

  /**
   * All who wait for the same share one question; any content of the repository will do to ask for it, unless that is what
   * is not there: then each asks for its own.
   */
  async #once(candidate: Candidate, named: Named, part: boolean): Promise<Outcome> {
    const { holder, asker } = candidate
    if (asker === undefined) return 'unknown'
    const what = formatNamed(named)
    const key = `${holder} ${part ? formatRepository(named.repository) : what}`
    const running = this.#asking.get(key)
    if (running) {
      const outcome = await running.outcome
      return outcome === 'missing' && running.what !== what ? this.#once(candidate, named, false) : outcome
    }
    const outcome = this.#askSource(holder, asker, named).finally(() => this.#asking.delete(key))
    this.#asking.set(key, { what, outcome })
    return outcome
  }

  async #askSource(holder: Holder, asker: Asker, named: Named): Promise<Outcome> {
    const { door, clock, log, metrics } = this.#o
    const { repository, reference } = named
    const absent = `${holder} ${formatNamed(named)}`
    // A registry may be silent about one repository alone, and anybody may name one that makes it so.
    const place = formatRepository(repository)
    for (const key of [absent, place]) {
      const pointless = this.#pointless.get(key)
      if (pointless && pointless.until > clock.now()) return pointless.outcome
    }
    const failure = await door.admits(named, asker).then(() => undefined, Failure.from)
    if (failure?.code === 'not-listed') throw failure
    const outcome = outcomeOf(failure)
    metrics.rightsChecks.inc({ source: repository.registry, outcome })
    const told = { what: formatNamed(named), as: holder.split(' ')[0], outcome }
    log.debug('the source was asked whether a client may have it', told)
    if (outcome === 'allowed' || outcome === 'refused') {
      this.#learn(repository, holder, outcome, clock.wall())
    }
    if (outcome === 'refused' && holder === 'node') await this.#tellRefused(named)
    if (outcome === 'allowed' && typeof asker === 'object') door.lend(repository, asker)
    if (outcome === 'allowed' && isDigest(reference)) {
      this.said({ ...named, reference })
      this.contains(repository, [reference])
    }
    if (outcome === 'missing') this.#pointless.set(absent, { until: clock.now() + missingMs, outcome })
    // An answer that makes no sense may be due to what this client showed: it says nothing about the registry.
    const silent = failure?.code === 'unavailable' ? place : absent
    if (failure && outcome === 'unknown') this.#trouble.set(place, failure.message)
    if (outcome === 'unknown') this.#pointless.set(silent, { until: clock.now() + silentMs, outcome })
    return outcome
  }

  /** Who mends that is who runs the node, and reads its log. */
  async #tellRefused(named: Named): Promise<void> {
    const { door, clock, log } = this.#o
    const { registry } = named.repository
    const told = this.#toldRefused.get(registry)
    if (told !== undefined && clock.now() - told < tellMs) return
    this.#toldRefused.set(registry, clock.now())
    const login = await door.loginAt(registry)
    if (!login) return
    log.warn('a registry refused the login of this node', {
      registry,
      login: login.who,
      what: formatNamed(named),
      mend: `log in again with "docker login ${login.account}", as who may have it`,
    })
  }
}
