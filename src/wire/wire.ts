/**
 * The contract between the swarm and the network, in both directions. `http-wire.ts` implements it with `Bun.serve`,
 * `fetch` and sockets; the simulation has one of its own.
 */
import type { NodeCard, NodeId, NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Call } from './calls.ts'
import type {
  Announce,
  AnnounceReply,
  FetchOrder,
  Frame,
  Resolve,
  ResolveReply,
  Schedule,
  ScheduleReply,
} from './messages.ts'

/** One open session with another node. `hello` frames are exchanged before anyone sees it. */
export interface Session {
  readonly peer: NodeCard
  readonly open: boolean
  /** Bytes queued that the other side has not taken yet. */
  readonly backlog: number
  /** Queues a frame; dropped silently when the session is closed. */
  send(frame: Frame): void
  close(reason: string): void
}

/** What the swarm does with sessions, however they came about. */
export interface SessionHandler {
  opened(session: Session): void
  frame(session: Session, frame: Frame): void
  closed(session: Session, reason: string): void
}

/** Some pieces, the best first; or any piece but those set in a bitmap, best the first one at or after `from`. */
export type WantedPieces = (
  | { readonly pieces: readonly number[] }
  | { readonly unwanted: Uint8Array; readonly from: number }
) & {
  /** Nobody waits for it: what somebody waits for goes first. */
  readonly background?: boolean
  /** Who asks, where it may come from another node that is being sent it ({@link Elsewhere}), and may be asked by others. */
  readonly follow?: NodeCard
  /** One piece, also while it is only on its way to the parent. */
  readonly coming?: boolean
  /** How much a piece weighs at most, as far as the asker can tell; one that is longer is not taken. */
  readonly bytes?: number
}

export interface PieceAnswer {
  readonly piece: number
  readonly bytes: Uint8Array
  /** The memory of `bytes` may be used for another piece: nobody looks at them any more. Nobody has to call it. */
  release?(): void
}

/** What this node asks of others. Every call has a deadline inside and throws {@link Failure} `unavailable`. */
export interface Outbound {
  /** The open session with that node, or a new one. Concurrent calls share one dial. */
  session(node: NodeCard): Promise<Session>
  /**
   * Fetches one of the wanted pieces, which one the parent decides, with its bytes unverified. The parent may wait for
   * a few seconds before it answers. `chosen` is called as soon as the head of the answer tells which piece it is;
   * `queued` with true when a limit of this node keeps the request back, at once, and with false when it is sent then;
   * `came` as bytes come, with the room they are put together in and how many of them are there.
   * @throws {Failure} `too-many` when the parent is busy, {@link Elsewhere} when somebody else is to be asked, `no-blob`
   * when it has none of them, `corrupt` when the answer is no piece that was asked for, `cancelled` when `signal` aborted
   */
  piece(
    node: NodeCard,
    digest: Digest,
    wanted: WantedPieces,
    signal: AbortSignal,
    chosen: (piece: number) => void,
    queued?: (waits: boolean) => void,
    came?: (bytes: Uint8Array, upTo: number) => void,
  ): Promise<PieceAnswer>
  schedule(node: NodeInfo, request: Schedule): Promise<ScheduleReply>
  announce(node: NodeInfo, announce: Announce): Promise<AnnounceReply>
  order(node: NodeInfo, order: FetchOrder): Promise<void>
  resolve(node: NodeInfo, request: Resolve): Promise<ResolveReply>
  /** A call of one part of a node, see `calls.ts`. */
  call<Q extends object, A extends object>(node: NodeInfo, call: Call<Q, A>, request: Q): Promise<A>
  /** Round trip to the peer port in ms. */
  ping(node: NodeCard): Promise<number>
}

/** A piece as it lies on disk. */
export interface PieceOnDisk {
  readonly piece: number
  readonly path: string
  readonly start: number
  readonly end: number
  /** Called once when the response is over: handed to the kernel as a whole, or broken. */
  done(sent: boolean): void
}

/** A piece that is passed on while it comes. */
export interface PieceOnItsWay {
  readonly piece: number
  /** Bytes that the piece has. */
  readonly length: number
  /** Its bytes; fewer where it does not come after all, or is not what it should be. */
  readonly body: ReadableStream<Uint8Array>
  /** Resolves when that is over, with whether it was all of them. Never rejects. */
  readonly over: Promise<boolean>
}

/** That piece is being sent to that node, which passes it on as it comes: it is to be asked for it. */
export class Elsewhere extends Failure {
  constructor(
    readonly piece: number,
    readonly node: NodeCard,
  ) {
    super('too-many', `piece ${piece} is on its way to node ${node.id}, which passes it on`)
  }
}

/** What others may ask of this node. */
export interface Inbound extends SessionHandler {
  /**
   * Chooses a piece for `peer` when its turn comes. `signal` aborts when the asker goes away.
   * @throws {Failure} `no-blob`, `too-many`; {@link Elsewhere} only to who would `follow`
   */
  offer(digest: Digest, wanted: WantedPieces, peer: NodeId | undefined, signal: AbortSignal): Promise<PieceOnDisk>
  /**
   * The wanted piece, where it is on its way here and not here yet; undefined where it is not, or too much is passed on
   * already. @throws {Failure} {@link Elsewhere} only to who would `follow`
   */
  passOn(
    digest: Digest,
    wanted: WantedPieces,
    peer: NodeId | undefined,
    signal: AbortSignal,
  ): Promise<PieceOnItsWay | undefined>
  schedule(request: Schedule): ScheduleReply | Promise<ScheduleReply>
  announce(announce: Announce): AnnounceReply
  /** @throws {Failure} `no-name` where this node is not a seed */
  order(order: FetchOrder): void
  resolve(request: Resolve): Promise<ResolveReply>
}

/** Provider records in Kademlia: how holders are found when no scheduler answers. */
export interface Directory {
  /** Tells the cluster that this node holds the blob; some time later, when it is `quiet` here. Never throws. */
  provide(digest: Digest, quiet?: () => boolean): void
  /** This node does not hold it any more. Never throws. */
  withdraw(digest: Digest): void
  /** Nodes that said so, this one left out; empty after a bounded time. */
  find(digest: Digest, signal?: AbortSignal): Promise<NodeInfo[]>
}
