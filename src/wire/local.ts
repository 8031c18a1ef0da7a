/** A node that is its own scheduler or seed asks itself without a socket. */
import type { NodeCard, NodeId, NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Call, Calls } from './calls.ts'
import type { Announce, AnnounceReply, FetchOrder, Resolve, ResolveReply, Schedule, ScheduleReply } from './messages.ts'
import { parse } from './messages.ts'
import type { Inbound, Outbound, PieceAnswer, Session, WantedPieces } from './wire.ts'

export class LocalFirst implements Outbound {
  readonly #self: NodeId
  readonly #inbound: () => Inbound
  readonly #remote: Outbound
  readonly #calls: Calls

  constructor(self: NodeId, inbound: () => Inbound, remote: Outbound, calls: Calls) {
    this.#self = self
    this.#inbound = inbound
    this.#remote = remote
    this.#calls = calls
  }

  async session(node: NodeCard): Promise<Session> {
    if (node.id === this.#self) throw new Failure('unavailable', 'a node has no session with itself')
    return this.#remote.session(node)
  }

  async piece(
    node: NodeCard,
    digest: Digest,
    wanted: WantedPieces,
    signal: AbortSignal,
    chosen: (piece: number) => void,
    queued?: (waits: boolean) => void,
    came?: (bytes: Uint8Array, upTo: number) => void,
  ): Promise<PieceAnswer> {
    if (node.id === this.#self) throw new Failure('unavailable', 'a node fetches no pieces from itself')
    return this.#remote.piece(node, digest, wanted, signal, chosen, queued, came)
  }

  async schedule(node: NodeInfo, request: Schedule): Promise<ScheduleReply> {
    return node.id === this.#self ? this.#inbound().schedule(request) : this.#remote.schedule(node, request)
  }

  async announce(node: NodeInfo, announce: Announce): Promise<AnnounceReply> {
    return node.id === this.#self ? this.#inbound().announce(announce) : this.#remote.announce(node, announce)
  }

  async order(node: NodeInfo, order: FetchOrder): Promise<void> {
    return node.id === this.#self ? this.#inbound().order(order) : this.#remote.order(node, order)
  }

  async resolve(node: NodeInfo, request: Resolve): Promise<ResolveReply> {
    return node.id === this.#self ? this.#inbound().resolve(request) : this.#remote.resolve(node, request)
  }

  async call<Q extends object, A extends object>(node: NodeInfo, call: Call<Q, A>, request: Q): Promise<A> {
    if (node.id !== this.#self) return this.#remote.call(node, call, request)
    return parse(call.reply, await this.#calls.answer(call.name, request, this.#self))
  }

  async ping(node: NodeCard): Promise<number> {
    return node.id === this.#self ? 0 : this.#remote.ping(node)
  }
}
