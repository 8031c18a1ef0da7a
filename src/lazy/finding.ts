/**
 * Where the index of a layer is to be had. Seeds own layers in rendezvous order, as those do that read them from their
 * sources; the first that answers knows, or makes it. What it says counts if it is signed by a known seed that
 * nobody has caught lying, and the index then comes as a blob through the swarm.
 */
import { type Clock, pause } from '../clock.ts'
import type { Membership } from '../cluster/membership.ts'
import type { NodeId, NodeInfo } from '../cluster/node-info.ts'
import { rendezvous } from '../cluster/rendezvous.ts'
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import { unlessAborted } from '../source/retry.ts'
import type { Location } from '../source/source.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import type { Log } from '../telemetry/log.ts'
import type { Outbound } from '../wire/wire.ts'
import { type IndexReply, indexCall, mostNot, statementOf } from './calls.ts'
import type { Fetching } from './making.ts'
import { type Believing, doubtOf, type IndexStatement } from './statement.ts'

export interface FindingDeps extends Omit<Believing, 'isSeed'> {
  readonly store: Pick<BlobStore, 'find'>
  readonly swarm: Fetching
  readonly membership: Pick<Membership, 'self' | 'withMode' | 'find' | 'doubt' | 'onLeave'>
  readonly outbound: Pick<Outbound, 'call' | 'session'>
  /** A node that has it says that these private repositories have it. */
  readonly owned: (digest: Digest, repositories: readonly Repository[]) => void
  readonly clock: Clock
  readonly log: Log
}

type Answer = Exclude<IndexReply, { state: 'made' }> | { readonly state: 'made'; readonly statement: IndexStatement }

/** Seeds that are asked about one layer. */
const mostOwners = 3
/** An index that was just made may be announced a moment later than it is told of. */
const tries = 3
const againMs = 400
/** A node that has just started hears of all seeds within so long. */
const acquaintedMs = 3000
/** Seeds that have left, and are remembered. */
const mostLeft = 256

export class Finding {
  readonly #d: FindingDeps
  readonly #coming = new Map<Digest, IndexStatement>()
  readonly #left = lru<NodeId, true>(mostLeft)

  constructor(deps: FindingDeps) {
    this.#d = deps
    deps.membership.onLeave(({ id, modes }) => {
      if (modes.includes('seed')) this.#left.set(id, true)
      else this.#left.delete(id)
    })
  }

  /** Seeds in the order in which they own the layer. */
  owners(layer: Digest): NodeInfo[] {
    const seeds = new Map(this.#d.membership.withMode('seed').map((info) => [info.id, info]))
    return rendezvous(layer, [...seeds.keys()])
      .map((id) => seeds.get(id)!)
      .slice(0, mostOwners)
  }

  /** Undefined where it does not answer, or nothing that counts. */
  async ask(
    owner: NodeInfo,
    location: Location,
    make: boolean,
    not: readonly NodeId[],
    signal: AbortSignal,
  ): Promise<Answer | undefined> {
    const answer = await this.#ask(owner, location, make, not, signal)
    if (answer?.state !== 'doubted') return answer
    // It knows who signed, and this node does not: it can look for itself, and say so in its own name.
    const again = make && (await this.#ask(owner, location, make, [answer.signer, ...not].slice(0, mostNot), signal))
    return again && again.state !== 'doubted' ? again : undefined
  }

  async #ask(
    owner: NodeInfo,
    { repository, digest }: Location,
    make: boolean,
    not: readonly NodeId[],
    signal: AbortSignal,
  ): Promise<Answer | { readonly state: 'doubted'; readonly signer: NodeId } | undefined> {
    const { outbound, membership, owned, clock, log } = this.#d
    try {
      const reply = await outbound.call(owner, indexCall, {
        ...{ repository, layer: digest, make },
        ...(not.length > 0 ? { not } : {}),
      })
      if (reply.state !== 'made') return reply
      const statement = statementOf(digest, reply)
      const { signer } = statement
      const lied = not.includes(signer)
      if (!lied && !this.#isSeed(signer)) await pause(clock, acquaintedMs, signal)
      const doubt = lied ? 'who signed it is not believed here' : this.doubt(statement, digest)
      if (doubt === undefined) {
        owned(digest, reply.private ?? [])
        return { state: 'made', statement }
      }
      const about = { seed: owner.id, layer: digest, signer, doubt }
      log.info('what a seed says of the index of a layer is not believed', about)
      if (lied) return undefined
      return { state: 'doubted', signer }
    } catch (error) {
      const { code, message } = Failure.from(error)
      if (code === 'unavailable') membership.doubt(owner.id)
      log.debug('a seed did not say what it knows of the index of a layer', { seed: owner.id, code, error: message })
    }
    return undefined
  }

  doubt(statement: IndexStatement, layer: Digest): string | undefined {
    return doubtOf(statement, layer, { ...this.#d, isSeed: (node) => this.#isSeed(node) })
  }

  /** It is one, or was one when it was last a member. */
  #isSeed(node: NodeId): boolean {
    const { membership } = this.#d
    if (node === membership.self.id) return true
    return membership.find(node)?.modes.includes('seed') ?? this.#left.has(node)
  }

  /** How far the index of a layer is that comes here now: 0 of 0 before it is known which that is. */
  coming(layer: Digest): { readonly done: number; readonly total: number } {
    const coming = this.#coming.get(layer)
    const blob = coming && this.#d.store.find(coming.index)
    if (!blob) return { done: 0, total: coming?.size ?? 0 }
    return { done: Math.min(blob.size, blob.have.count * blob.layout.pieceLength), total: blob.size }
  }

  /** The index comes here, from `holder` if nobody else is known to have it. @throws {Failure} */
  async bring(
    location: Location,
    statement: IndexStatement,
    holder: NodeInfo | undefined,
    signal: AbortSignal,
  ): Promise<Blob> {
    this.#coming.set(statement.layer, statement)
    try {
      return await this.#bring(location, statement, holder, signal)
    } finally {
      this.#coming.delete(statement.layer)
    }
  }

  async #bring(
    location: Location,
    { index, size }: IndexStatement,
    holder: NodeInfo | undefined,
    signal: AbortSignal,
  ): Promise<Blob> {
    const wanted: Location = { ...location, kind: 'blob', digest: index }
    for (let left = tries; ; left--) {
      try {
        return await this.#fetch(wanted, size, holder, signal)
      } catch (error) {
        if (left === 1 || signal.aborted) throw error
      }
      await pause(this.#d.clock, againMs, signal)
    }
  }

  async #fetch(location: Location, size: number, holder: NodeInfo | undefined, signal: AbortSignal): Promise<Blob> {
    const { store, swarm, outbound } = this.#d
    const held = store.find(location.digest)
    if (held?.complete) return held
    const transfer = swarm.fetch(location, size)
    // A mount waits for it.
    const reader = transfer.reader()
    if (holder && holder.id !== this.#d.membership.self.id) {
      const { id, url, zone } = holder
      outbound.session({ id, url, ...(zone ? { zone } : {}) }).then(
        (session) => transfer.meet(session),
        () => {},
      )
    }
    try {
      return await unlessAborted(transfer.finished, signal)
    } finally {
      transfer.readerLeft(reader)
    }
  }
}
