/**
 * The indexes of layers, as a node has them: what a client of this node is given, what other nodes are answered, and, on a
 * seed, what is made. Files and processes are the maker's, other nodes are {@link Finding}'s, jobs {@link Making}'s.
 */
import { join } from 'node:path'
import { type Clock, pause } from '../clock.ts'
import type { Identity } from '../cluster/identity.ts'
import type { Membership } from '../cluster/membership.ts'
import type { NodeId, NodeInfo } from '../cluster/node-info.ts'
import type { LayerIndexSetting } from '../config/settings.ts'
import { Failure } from '../failure.ts'
import { type Digest, hexOf } from '../oci/digest.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import { unlessAborted } from '../source/retry.ts'
import type { Location } from '../source/source.ts'
import type { BlobStore } from '../store/blob-store.ts'
import type { Bans } from '../swarm/bans.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { mostPrivate } from '../wire/messages.ts'
import type { Outbound } from '../wire/wire.ts'
import { type IndexAsked, type IndexReply, madeCall, mostNot, replyOf } from './calls.ts'
import { Finding } from './finding.ts'
import { IndexHoldings } from './holdings.ts'
import type { Ledger } from './ledger.ts'
import type { Maker } from './maker.ts'
import { type Fetching, Making, type Progress } from './making.ts'
import type { IndexStatement } from './statement.ts'

export interface IndexesDeps {
  readonly setting: LayerIndexSetting
  /** Indexes that are being made lie there; what an earlier process left is gone. */
  readonly dir: string
  readonly ledger: Ledger
  readonly maker: Maker
  /** Layers that are read at once: each takes a processor. */
  readonly atOnce: number
  readonly store: BlobStore
  readonly swarm: Fetching
  readonly identity: Pick<Identity, 'id' | 'sign' | 'verifySignature'>
  readonly bans: Pick<Bans, 'has' | 'add' | 'list'>
  readonly membership: Pick<Membership, 'self' | 'withMode' | 'find' | 'doubt' | 'onLeave'>
  readonly outbound: Pick<Outbound, 'call' | 'session'>
  /** This node reads it for others. */
  readonly ordered: (location: Location) => void
  /** The repository has it, as a matter of course. */
  readonly contains: (repository: Repository, digest: Digest) => void
  /** Private repositories that have it. */
  readonly owners: (digest: Digest) => readonly Repository[]
  /** Says so of it: whoever is given the index of a layer has to be one who may have the layer. */
  readonly owned: (digest: Digest, repositories: readonly Repository[]) => void
  /** A blob has become whole here without a transfer. Resolves when those were told who name its holders. */
  readonly stored: (digest: Digest) => Promise<void>
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<Metrics, 'layerIndexSeconds' | 'layerIndexesMade'>
}

export type Found =
  | { readonly state: 'here'; readonly statement: IndexStatement }
  | ({ readonly state: 'making' } & Progress)

/** Who waits for longer is told how far it is. */
const patienceMs = 5000
/** That a layer can have no index: a later release may know better. */
const believedMs = 7 * 24 * 3600_000

export class LayerIndexes {
  readonly finding: Finding
  readonly #d: IndexesDeps
  readonly #holdings: IndexHoldings
  readonly #making: Making
  readonly #asking = new Map<Digest, Promise<Found>>()
  readonly #stop = new AbortController()

  constructor(deps: IndexesDeps) {
    this.#d = deps
    const { identity, bans, dir } = deps
    this.finding = new Finding({
      ...deps,
      verify: (node, payload, signature) => identity.verifySignature(node, payload, signature),
      banned: (node) => bans.has(node),
    })
    this.#holdings = new IndexHoldings({ ...deps, finding: this.finding })
    this.#making = new Making({
      ...deps,
      elsewhere: (location, not, signal) => this.#elsewhere(location, not, signal),
      fileFor: (layer) => join(dir, `${hexOf(layer)}.${crypto.randomUUID()}`),
      made: async (location, layer, file, diffId) => {
        await this.#tellOwner(location, await this.#holdings.made(location, layer, file, diffId, this.#stop.signal))
      },
      cannot: (layer, reason) => deps.ledger.setUnindexed(layer, reason, deps.clock.wall()),
    })
  }

  /**
   * The index of a layer for a client of this node; `anew`: what is here may be wrong, and every byte of it is looked at.
   * @throws {Failure} `unsupported` when it has none and why; `unavailable` when nobody who would know can be asked
   */
  async index(location: Location, anew: boolean, signal: AbortSignal): Promise<Found> {
    const found = await this.#index(location, anew, signal)
    const { owners, owned } = this.#d
    // Where the seed that was asked does not say whose the layer is: it came with the index, now or long ago.
    if (found.state === 'here') owned(location.digest, owners(found.statement.index))
    return found
  }

  async #index(location: Location, anew: boolean, signal: AbortSignal): Promise<Found> {
    const { digest } = location
    const statement = await this.#holdings.here(digest, anew)
    if (statement) return { state: 'here', statement }
    let asked = this.#asking.get(digest)
    if (!asked) {
      // For all who wait for it: the first of them may leave.
      asked = this.#find(location, this.#stop.signal).finally(() => this.#asking.delete(digest))
      this.#asking.set(digest, asked)
    }
    const patience = new AbortController()
    const late = pause(this.#d.clock, patienceMs, patience.signal).then(
      (): Found => ({ state: 'making', ...this.finding.coming(digest) }),
      () => asked,
    )
    try {
      return await Promise.race([unlessAborted(asked, signal), late])
    } finally {
      patience.abort()
    }
  }

  /** Another node asks this one. */
  async answer({ repository, layer, make, not = [] }: IndexAsked): Promise<IndexReply> {
    const { setting, membership, ledger, clock } = this.#d
    const here = await this.#holdings.here(layer, false)
    // Who asks may know better whom to believe: this node then looks for itself.
    if (here && (here.signer === membership.self.id || !not.includes(here.signer))) {
      const of = this.#ownersOf(here)
      return { ...replyOf(here), ...(of.length > 0 ? { private: of } : {}) }
    }
    const under = this.#making.of(layer)
    if (under) return { state: 'making', ...under }
    const known = ledger.unindexed(layer)
    if (known && known.at > clock.wall() - believedMs) return { state: 'cannot', reason: known.reason, final: true }
    if (!make) return { state: 'none' }
    const without = (reason: string) => ({ state: 'cannot', reason, final: false }) as const
    if (!membership.self.modes.includes('seed')) return without('this node is no seed')
    if (setting === 'off') return without('this seed makes no indexes: --layer-index is off')
    try {
      return { state: 'making', ...this.#making.begin({ repository, kind: 'blob', digest: layer }, not).progress }
    } catch (error) {
      const failure = Failure.from(error)
      if (failure.code === 'unsupported') return { state: 'cannot', reason: failure.message, final: true }
      return without(failure.message)
    }
  }

  /** Those of the index too: this node may have it without anything of the layer. */
  #ownersOf({ layer, index }: IndexStatement): Repository[] {
    const all = [layer, index].flatMap((digest) => this.#d.owners(digest))
    return [...new Map(all.map((each) => [formatRepository(each), each])).values()].slice(0, mostPrivate)
  }

  /** `sender`, a seed that does not own the layer, has made its index. @throws {Failure} `bad-request` if it is not believed */
  async told(location: Location, statement: IndexStatement, sender: NodeId | undefined): Promise<void> {
    const { finding } = this
    const doubt =
      sender === statement.signer ? finding.doubt(statement, location.digest) : 'who tells of it is not who signed it'
    if (doubt !== undefined) throw new Failure('bad-request', `the index is not taken: ${doubt}`)
    if (await this.#holdings.here(location.digest, false)) return
    const holder = this.#d.membership.find(statement.signer)
    await this.#holdings.take(location, statement, holder, this.#stop.signal)
  }

  /** An index is being made here. */
  get busy(): boolean {
    return this.#making.busy
  }

  /** Nobody has asked for it. Resolves when that is over, one way or the other. */
  async make(location: Location): Promise<void> {
    await this.#making.begin(location).finished.catch(() => {})
  }

  /** What is known here, the latest first. */
  facts() {
    const { ledger, store } = this.#d
    return {
      indexed: ledger
        .allIndexed()
        .map((each) => ({ ...each, here: store.find(each.statement.index)?.complete ?? false })),
      making: [...this.#making.under()],
      unindexed: ledger.allUnindexed(),
    }
  }

  /** What other nodes ask is answered until the network closes; what is being made ends. */
  async close(): Promise<void> {
    this.#stop.abort(new Failure('cancelled', 'this node is stopping'))
    await this.#making.close()
  }

  async #find(location: Location, signal: AbortSignal): Promise<Found> {
    const { membership, ledger, bans, log } = this.#d
    const { digest } = location
    const known = ledger.indexed(digest)?.statement
    const owners = this.finding.owners(digest)
    // It was believed when it came: who signed it may have left before this node started.
    if (known && !bans.has(known.signer)) {
      // Its bytes were evicted, or the disk has not kept them.
      const brought = await this.#holdings.take(location, known, undefined, signal).catch((error: Error) => {
        log.debug('the index of a layer is not to be had any more', { layer: digest, error: error.message })
      })
      if (brought) return { state: 'here', statement: known }
      // This node would say to itself that it knows whose it is.
      ledger.forget(digest)
    }
    let refusal: { readonly reason: string; readonly final: boolean } | undefined
    const own = membership.self.modes.includes('seed')
    const asked = own && !owners.some(({ id }) => id === membership.self.id) ? [...owners, membership.self] : owners
    for (const owner of asked) {
      const reply = await this.#ask(owner, location, signal)
      if (reply?.state === 'making' || reply?.state === 'here') return reply
      if (reply?.state === 'made') {
        try {
          await this.#holdings.take(location, reply.statement, owner, signal)
          return { state: 'here', statement: reply.statement }
        } catch (error) {
          const { code, message } = Failure.from(error)
          if (signal.aborted) throw error
          log.info('the index of a layer did not come', { layer: digest, seed: owner.id, code, error: message })
          continue
        }
      }
      if (reply?.state !== 'cannot') continue
      if (reply.final) ledger.setUnindexed(digest, reply.reason, this.#d.clock.wall())
      refusal = reply
      if (reply.final) break
    }
    if (refusal)
      throw new Failure(
        refusal.final ? 'unsupported' : 'unavailable',
        `the layer ${digest} has no index: ${refusal.reason}`,
      )
    if (asked.length === 0) {
      throw new Failure('unsupported', `the layer ${digest} has no index: no seed is known that could make it`)
    }
    throw new Failure('unavailable', `no seed can be asked for the index of the layer ${digest} now`)
  }

  async #ask(owner: NodeInfo, location: Location, signal: AbortSignal) {
    const not = this.#d.bans
      .list()
      .slice(0, mostNot)
      .map(({ node }) => node)
    if (owner.id !== this.#d.membership.self.id) return this.finding.ask(owner, location, true, not, signal)
    const reply = await this.answer({ repository: location.repository, layer: location.digest, make: true, not })
    if (reply.state !== 'made') return reply
    const statement = this.#d.ledger.indexed(location.digest)?.statement
    return statement && { state: 'here' as const, statement }
  }

  /**
   * Before this seed makes it: another may have it, for it owned the layer when others were members; or is at it, if it
   * owns the layer before this one, so that two never wait for each other.
   */
  async #elsewhere(
    location: Location,
    not: readonly NodeId[],
    signal: AbortSignal,
  ): Promise<'here' | Progress | undefined> {
    const { membership } = this.#d
    let before = true
    for (const owner of this.finding.owners(location.digest)) {
      if (owner.id === membership.self.id) {
        before = false
        continue
      }
      const reply = await this.finding.ask(owner, location, false, not, signal)
      if (reply?.state === 'making' && before) return reply
      if (reply?.state !== 'made') continue
      try {
        await this.#holdings.take(location, reply.statement, owner, signal)
        return 'here'
      } catch {
        // It is made anew.
      }
    }
    return undefined
  }

  /** Who is asked first is not who made it. */
  async #tellOwner({ repository, digest }: Location, statement: IndexStatement): Promise<void> {
    const { membership, outbound, log } = this.#d
    const [owner] = this.finding.owners(digest)
    if (!owner || owner.id === membership.self.id) return
    try {
      await outbound.call(owner, madeCall, { repository, layer: digest, ...replyOf(statement) })
    } catch (error) {
      log.debug('the owner of a layer was not told of its index', { owner: owner.id, error: (error as Error).message })
    }
  }
}
