/**
 * What a node does about the indexes of layers while nobody waits for anything: a seed makes those that nobody has asked
 * for, what others made is checked where the layer is here whole, and what is of no use any more goes.
 */

import { type Clock, every } from '../clock.ts'
import type { Identity } from '../cluster/identity.ts'
import type { Membership } from '../cluster/membership.ts'
import type { LayerIndexSetting } from '../config/settings.ts'
import { isRight } from '../content/read-whole.ts'
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import type { Bans } from '../swarm/bans.ts'
import type { Log } from '../telemetry/log.ts'
import type { LayerIndexes } from './indexes.ts'
import type { Indexed, Ledger } from './ledger.ts'
import type { Maker } from './maker.ts'
import { state } from './statement.ts'
import { isCandidate } from './unasked.ts'

export interface TendingDeps {
  readonly setting: LayerIndexSetting
  readonly indexes: Pick<LayerIndexes, 'busy' | 'make'>
  readonly ledger: Ledger
  readonly maker: Maker
  readonly store: BlobStore
  readonly identity: Pick<Identity, 'id' | 'sign'>
  readonly bans: Pick<Bans, 'add' | 'has'>
  readonly membership: Pick<Membership, 'self'>
  /** For which repository it is fetched now. */
  readonly placeOf: (digest: Digest) => Repository | undefined
  /** Clients wait for something. */
  readonly busy: () => boolean
  readonly clock: Clock
  readonly log: Log
}

/** How often it is looked whether there is something to do, in ms. */
const tendMs = 3000
/** An index whose layer is not here goes when nobody has used it for so long. */
const forgottenMs = 24 * 3600_000
/** Blobs that are looked at in one go: a node that starts may have ten thousand. */
const mostLooks = 200
const forgetEveryMs = 10 * 60_000

export class Tending {
  readonly #d: TendingDeps
  /** Whole layers that came here and were not looked at. */
  readonly #came = new Set<Digest>()
  /** For which repositories blobs came. */
  readonly #places = lru<Digest, Repository>(10_000)
  /** Found to be neither right nor wrong: made by another release. */
  readonly #unclear = new Set<Digest>()
  readonly #stop = new AbortController()
  #stopTending = () => {}
  #tending: Promise<void> | undefined
  #forgotAt = Number.NEGATIVE_INFINITY

  constructor(deps: TendingDeps) {
    this.#d = deps
  }

  start(): void {
    const { store, clock } = this.#d
    for (const blob of store.all()) if (blob.complete) this.#came.add(blob.digest)
    this.#stopTending = every(clock, tendMs, () => {
      this.#tending ??= this.tend().finally(() => {
        this.#tending = undefined
      })
    })
  }

  /** A blob is here, or more of it than before. */
  heard(digest: Digest): void {
    const { store, placeOf } = this.#d
    const place = placeOf(digest)
    if (place) this.#places.set(digest, place)
    if (store.find(digest)?.complete) this.#came.add(digest)
  }

  async close(): Promise<void> {
    this.#stopTending()
    this.#stop.abort(new Failure('cancelled', 'this node is stopping'))
    await this.#tending
  }

  /** One thing at a time: somebody may come and want something meanwhile. */
  async tend(): Promise<void> {
    const { setting, busy, indexes, log } = this.#d
    try {
      await this.#forget()
      if (setting === 'off' || busy() || indexes.busy) return
      if (!(await this.#makeOne())) await this.#checkOne()
    } catch (error) {
      if (!this.#stop.signal.aborted) log.warn('looking after the indexes of layers failed', { error })
    }
  }

  /** False when there was nothing to make. */
  async #makeOne(): Promise<boolean> {
    const { setting, membership, ledger, store, identity, indexes } = this.#d
    const seed = membership.self.modes.includes('seed')
    for (const digest of [...this.#came].slice(0, mostLooks)) {
      this.#came.delete(digest)
      const blob = store.find(digest)
      if (!seed || setting !== 'auto' || !blob || ledger.indexed(digest) || ledger.unindexed(digest)) continue
      // A seed reads for others what no client of its own has asked for.
      const repository = this.#places.get(digest) ?? store.repositoriesOf(digest)[0]
      if (!repository || ledger.isIndex(digest)) continue
      if (!(await isCandidate(blob, repository, identity.id).catch(() => false))) continue
      await indexes.make({ repository, kind: 'blob', digest })
      return true
    }
    return false
  }

  /** What others made, of a layer that is here whole. */
  async #checkOne(): Promise<void> {
    const { ledger, store, bans } = this.#d
    for (const indexed of ledger.unchecked()) {
      const { layer, index, signer } = indexed.statement
      const [whole, made] = [store.find(layer), store.find(index)]
      if (!whole?.complete || !made?.complete || this.#unclear.has(layer) || bans.has(signer)) continue
      return this.#check(indexed, whole, made)
    }
  }

  async #check({ statement, at }: Indexed, layer: Blob, index: Blob): Promise<void> {
    const { maker, ledger, bans, store, identity, membership, clock, log } = this.#d
    const held = [layer.hold(), index.hold()]
    this.#unclear.add(statement.layer)
    try {
      if (!(await isRight(index))) return
      const file = { digest: layer.digest, path: layer.path, size: layer.size }
      const verdict = await maker.check(file, index.path, this.#stop.signal)
      if (verdict === 'unknown') return
      this.#unclear.delete(statement.layer)
      if (verdict === 'right') {
        // What a seed has found out it says itself: hosts that come later may not know who made it.
        const seed = membership.self.modes.includes('seed')
        return ledger.set(seed ? state(statement, identity) : statement, at, clock.wall())
      }
      ledger.forget(statement.layer)
      bans.add(statement.signer, `signed an index of ${statement.layer} that is not what the layer gives`)
      await store.remove(statement.index)
    } catch (error) {
      const { code, message } = Failure.from(error)
      if (code !== 'cancelled')
        log.debug('an index could not be checked', { layer: layer.digest, code, error: message })
    } finally {
      for (const letGo of held) letGo()
    }
  }

  /** Indexes of layers that are gone, and that nobody has used since for long. */
  async #forget(): Promise<void> {
    const { ledger, store, clock } = this.#d
    if (clock.now() - this.#forgotAt < forgetEveryMs) return
    this.#forgotAt = clock.now()
    const before = clock.wall() - forgottenMs
    for (const { statement, at } of ledger.allIndexed()) {
      const blob = store.find(statement.index)
      if (store.find(statement.layer) || Math.max(at, blob?.usedAt ?? 0) > before) continue
      ledger.forget(statement.layer)
      if (blob) await store.remove(statement.index)
    }
    for (const { layer, at } of ledger.allUnindexed()) {
      if (!store.find(layer) && at < before) ledger.forgetUnindexed(layer)
    }
  }
}
