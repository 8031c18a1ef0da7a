/**
 * What a node does with repositories of the cluster's own, put together: which they are, where they are read, and, on a seed
 * that keeps them, what others are answered and what is pushed.
 */
import type { Clock, Random } from '../clock.ts'
import type { Settings } from '../config/settings.ts'
import type { Content } from '../content/content.ts'
import { ByHome, HomeContent } from '../content/home-content.ts'
import { Failure } from '../failure.ts'
import type { Backend } from '../home/backends/backend.ts'
import { askContent, askHeld, askList, askTag } from '../home/calls.ts'
import { type HeldOptions, isHeld, isWhole } from '../home/held.ts'
import { HomeSource } from '../home/home-source.ts'
import { Homes } from '../home/homes.ts'
import { Keepers } from '../home/keepers.ts'
import { catalogOf } from '../home/lists.ts'
import { neededAt } from '../home/needed.ts'
import { OwnHome } from '../home/own-home.ts'
import { type KeepingDeps, keepingOf } from '../keep/assembly.ts'
import { Clocks, tellTime } from '../keep/clocks.ts'
import type { Keeping } from '../keep/keeping.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import { Copies, type CopiesOptions } from '../push/copies.ts'
import { homePin, Pusher } from '../push/pusher.ts'
import { Uploads } from '../push/uploads.ts'
import { Users } from '../push/users.ts'
import type { Own } from '../registry/exchange.ts'
import type { Location } from '../source/source.ts'
import type { Lasting, State } from '../state/state.ts'
import type { BlobStore } from '../store/blob-store.ts'
import type { Signer } from '../swarm/statements.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Network } from '../wire/network.ts'

export interface NodeHomeInit {
  readonly settings: Pick<Settings, 'home' | 'node'>
  /** Absent on a node that is neither seed nor scheduler. */
  readonly state: State | undefined
  readonly backend: (url: string) => Backend
  readonly clock: Clock
  readonly store: Pick<BlobStore, 'find' | 'settled'>
  /** Called when it is there. */
  readonly network: () => Pick<Network, 'membership' | 'outbound'>
}

export interface NodeHomeParts {
  readonly network: Network
  readonly store: BlobStore
  readonly signer: Signer
  /** Anybody may read the repository. */
  readonly open: (repository: Repository) => void
  /** A blob has become whole here. */
  readonly stored: (digest: Digest) => void
  readonly swarm: CopiesOptions['swarm']
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
}

export class NodeHome {
  readonly homes: Homes
  readonly source: HomeSource
  /** Where this node takes what is pushed; undefined where it takes nothing. */
  pusher: Pusher | undefined
  readonly #init: NodeHomeInit
  readonly #keepers: Keepers
  readonly #own: OwnHome | undefined
  #uploads: Uploads | undefined
  #copies: Copies | undefined

  /** @throws {Failure} `bad-request` for the URL of a backend that is none */
  constructor(init: NodeHomeInit) {
    const { settings, state, network, backend, clock } = init
    const { patterns } = settings.home
    this.#init = init
    this.homes = new Homes(
      patterns.map(({ pattern, backend: url }) =>
        url === undefined ? { pattern } : { pattern, backend: backend(url) },
      ),
    )
    const keeps = settings.node.modes.includes('seed') && patterns.length > 0
    this.#own = keeps && state ? new OwnHome({ homes: this.homes, state }) : undefined
    this.#keepers = new Keepers(
      () => network().membership,
      this.homes.patterns,
      () => clock.now(),
    )
    this.source = new HomeSource({
      keepers: this.#keepers,
      own: this.#own,
      outbound: () => network().outbound,
      membership: () => network().membership,
    })
  }

  /** What other nodes are told that this one keeps. */
  get patterns(): string[] {
    return this.#own ? this.homes.patterns : []
  }

  /** Seeds that may be told to read it from where it is kept; undefined for what is not the cluster's own. */
  readers(repository: Repository): ReadonlySet<string> | undefined {
    return this.source.has(repository) ? new Set(this.#keepers.all(repository).map(({ id }) => id)) : undefined
  }

  /** How long the state remembers what. */
  lasting(repository: Repository): Lasting {
    return this.source.has(repository) ? this.homes.lasting(repository) : 'nothing'
  }

  /** Answers other nodes, and hears who keeps what. */
  join({ calls, membership }: Pick<Network, 'calls' | 'membership'>): void {
    this.#keepers.watch(membership)
    const { store, clock } = this.#init
    tellTime(calls, clock)
    const own = this.#own
    if (!own) return
    calls.on(askTag, ({ repository, tag }) => own.resolve(repository, tag))
    calls.on(askContent, (location) => own.stat(location))
    calls.on(askHeld, async (location) => ({ whole: own.has(location.repository) && (await isWhole(store, location)) }))
    calls.on(askList, ({ repository, path, search }) => own.list(repository, path, search))
  }

  /** For one client: `world` for all that is not the cluster's own. */
  content(node: Content, world: Content, { store, open, clock }: NodeHomeParts): Content {
    const { pusher } = this
    const wall = () => clock.wall()
    // Who pushes asks first what is there already.
    const relied = pusher ? { relied: (location: Location) => pusher.rely(location) } : {}
    const waiting = this.#own ? {} : { waiting: clock }
    const more = { ...waiting, ...relied }
    const home = new HomeContent({ content: node, home: this.source, store, open, wall, ...more })
    return new ByHome((repository) => this.source.has(repository), home, world)
  }

  /** What the registry port does beside reading; undefined where this node keeps nothing. @throws {Failure} */
  async serve(parts: NodeHomeParts): Promise<Own | undefined> {
    const { settings, state } = this.#init
    const { push } = settings.home
    const own = this.#own
    if (!own || !state) return undefined
    const catalog = async (search: string) => {
      const { status, headers, body } = await catalogOf(state, search)
      return { status, headers: new Headers(headers), body: new TextEncoder().encode(body) }
    }
    const { store, signer, stored, clock, log, metrics } = parts
    this.#copies = new Copies({ ...parts, homes: this.homes, contents: state.contents })
    this.#copies.start()
    if (!push) return { catalog }
    const users = push.usersFile === undefined ? undefined : await openUsers(push.usersFile, clock, log)
    this.#uploads = new Uploads(store, clock)
    const wall = () => clock.wall()
    const kept = (location: Location) => own.stat(location)
    const outbound = () => this.#init.network().outbound
    const holders: HeldOptions = { homes: this.homes, store, keepers: this.#keepers, outbound }
    const held = (location: Location) => isHeld(location, holders)
    const about = { store, state, uploads: this.#uploads, signer, stored, wall, log, metrics }
    const pusher = new Pusher({ ...about, kept, held })
    this.pusher = pusher
    const keeps = (repository: Repository) => this.source.keeps(repository)
    return { catalog, pushing: { pusher, users, deletes: push.deletes, keeps } }
  }

  /** Takes away what rules do not keep of what is pushed; undefined where nothing is pushed. After {@link serve}. */
  policy(
    parts: Omit<KeepingDeps, 'state' | 'isHome' | 'neededBeside' | 'remover' | 'homePin' | 'clocks'> & {
      random: Random
    },
  ): Keeping | undefined {
    const { pusher, homes } = this
    const { state, network } = this.#init
    if (!pusher || !state) return undefined
    const isHome = (repository: Repository) => homes.of(repository) !== undefined
    return keepingOf({
      ...parts,
      state,
      isHome,
      neededBeside: neededAt(homes, state, parts.clock),
      remover: pusher,
      clocks: new Clocks({ ...network(), clock: parts.clock, random: parts.random }),
      homePin,
    })
  }

  async close(): Promise<void> {
    this.#copies?.close()
    await this.#uploads?.close()
  }
}

async function openUsers(file: string, clock: Clock, log: Log): Promise<Users> {
  try {
    return await Users.open(file, clock, log)
  } catch (error) {
    throw new Failure('bad-request', `--push-users-file: ${(error as Error).message}`, { cause: error })
  }
}
