/** The indexes that are here, each with who says whose it is: what comes in is looked at first, and what goes out as well. */
import { unlink } from 'node:fs/promises'
import { type Clock, pause } from '../clock.ts'
import type { Identity } from '../cluster/identity.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { isRight } from '../content/read-whole.ts'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import type { Location } from '../source/source.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import type { Bans } from '../swarm/bans.ts'
import type { Finding } from './finding.ts'
import { keepFile } from './kept.ts'
import type { Ledger } from './ledger.ts'
import type { LayerFile, Maker } from './maker.ts'
import { type IndexStatement, state } from './statement.ts'

export interface HoldingsDeps {
  readonly ledger: Ledger
  readonly maker: Maker
  readonly store: BlobStore
  readonly identity: Pick<Identity, 'id' | 'sign'>
  readonly bans: Pick<Bans, 'has' | 'add'>
  readonly finding: Pick<Finding, 'bring'>
  /** The repository has it, as a matter of course. */
  readonly contains: (repository: Repository, digest: Digest) => void
  /** A blob has become whole here without a transfer. Resolves when those were told who name its holders. */
  readonly stored: (digest: Digest) => Promise<void>
  readonly clock: Clock
}

/** Ms that an index which was made here waits to be known as this node's. */
const knownWithinMs = 1000

export class IndexHoldings {
  readonly #d: HoldingsDeps

  constructor(deps: HoldingsDeps) {
    this.#d = deps
  }

  /** Who says what the index of the layer is, if that is here and right. */
  async here(layer: Digest, anew: boolean): Promise<IndexStatement | undefined> {
    const { ledger, store, bans } = this.#d
    const indexed = ledger.indexed(layer)
    if (!indexed || bans.has(indexed.statement.signer)) return undefined
    const blob = store.find(indexed.statement.index)
    if (!blob?.complete) return undefined
    const right = anew ? await looked(blob) : await isRight(blob).catch(() => false)
    return right ? indexed.statement : undefined
  }

  /** It comes here, and counts from then on. @throws {Failure} */
  async take(
    location: Location,
    statement: IndexStatement,
    holder: NodeInfo | undefined,
    signal: AbortSignal,
  ): Promise<Blob> {
    const { ledger, clock, identity, bans, finding, contains } = this.#d
    const blob = await finding.bring(location, statement, holder, signal)
    const letGo = blob.hold()
    try {
      await this.#look(blob, statement)
    } catch (error) {
      // It stays: who signs may name any blob, and this one may be here for something else.
      if (Failure.from(error).code === 'corrupt' && statement.signer !== identity.id) {
        bans.add(statement.signer, `signed an index of ${statement.layer} that is none`)
      }
      throw error
    } finally {
      letGo()
    }
    contains(location.repository, statement.index)
    ledger.set(statement, clock.wall(), statement.signer === identity.id ? clock.wall() : undefined)
    return blob
  }

  /** @throws {Failure} `corrupt` for what is not the index that the statement tells of; `unavailable` if the disk lost it */
  async #look(blob: Blob, { layer, diffId, size }: IndexStatement): Promise<void> {
    if (blob.size !== size) throw new Failure('corrupt', `it has ${blob.size} bytes, and not ${size}`)
    try {
      const about = await this.#d.maker.about(blob.path)
      if (about.layer === layer && about.diffId === diffId) return
    } catch (error) {
      if (Failure.from(error).code !== 'corrupt') throw error
    }
    if (await isRight(blob).catch(() => false)) throw new Failure('corrupt', 'it is not the index of that layer')
    throw new Failure('unavailable', 'the disk has not kept the index')
  }

  /** Takes over the file of an index that was made here. */
  async made(
    location: Location,
    layer: LayerFile,
    file: string,
    diffId: Digest,
    signal: AbortSignal,
  ): Promise<IndexStatement> {
    const { store, identity, ledger, clock, contains, stored } = this.#d
    try {
      const blob = await keepFile(store, identity, file)
      const statement = state({ layer: location.digest, diffId, index: blob.digest, size: blob.size }, identity)
      await this.#compare(layer, statement, signal)
      contains(location.repository, blob.digest)
      // Who hears of it asks for it at once, and with no holder known somebody is sent to the registry, which has none.
      const patience = new AbortController()
      await Promise.race([stored(blob.digest), pause(clock, knownWithinMs, patience.signal)])
      patience.abort()
      ledger.set(statement, clock.wall(), clock.wall())
      return statement
    } finally {
      await unlink(file).catch(() => {})
    }
  }

  /** Another node had signed another index of it. */
  async #compare(layer: LayerFile, made: IndexStatement, signal: AbortSignal): Promise<void> {
    const { ledger, maker, store, bans } = this.#d
    const before = ledger.indexed(layer.digest)?.statement
    if (!before || before.index === made.index || before.signer === made.signer) return
    const blob = store.find(before.index)
    if (!blob?.complete || !(await isRight(blob))) return
    if ((await maker.check(layer, blob.path, signal)) !== 'wrong') return
    bans.add(before.signer, `signed an index of ${layer.digest} that is not what the layer gives`)
    await store.remove(before.index)
  }
}

/** Reads all of it again. */
async function looked(blob: Blob): Promise<boolean> {
  for (let piece = 0; piece < blob.layout.count; piece++) {
    if (!(await blob.check(piece).catch(() => false))) return false
  }
  return true
}
