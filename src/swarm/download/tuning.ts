/** The numbers that decide how a download behaves; the simulation and the node share them. */
export interface Tuning {
  /** Requests in flight at one parent, least and most. Between them the parent's rate decides. */
  readonly leastPipeline: number
  readonly mostPipeline: number
  /** Requests in flight at all parents of all blobs together that few parents of few blobs are given too. */
  readonly leastInFlight: number
  /** How many ms worth of a parent's rate are kept in flight there. */
  readonly pipelineMs: number
  /** Requests in flight at all parents together, and what they may bring: they are in memory until they are written. */
  readonly mostInFlight: number
  readonly mostBytesInFlight: number
  /**
   * Blobs that come at once share that, and each may have so many in any case. Forty layers on sixteen hosts with 64 for each
   * took as long as with 4, and 2.9 requests for each piece instead of 1.3: lines were so long that most gave up waiting.
   */
  readonly leastShare: number
  /** Parents a download connects to. */
  readonly mostParents: number
  /** Pieces ahead of a reader that are fetched before anything rarer. */
  readonly urgentPieces: number
  /** Bytes ahead of a reader inside which rarest goes first; what lies beyond waits. */
  readonly windowBytes: number
  /** Who waits for no more pieces of a part than these reads step by step; and a blob of no more is a step. */
  readonly stepPieces: number
  /** Of a part: how many ms worth of what comes are in flight of what nobody waits for yet. */
  readonly aheadMs: number
  /** Pieces of it from which the rarest is chosen. */
  readonly aheadWindow: number
  /** A piece in flight for longer than this many times the usual is asked for a second time. */
  readonly hedgeFactor: number
  readonly hedgeLeastMs: number
  /** So many times longer at most it is waited for where the link of this node is busy. */
  readonly mostPatience: number
  /** The same while nothing comes at all, for what waits for its turn. */
  readonly idleHedgeFactor: number
  readonly idleHedgeLeastMs: number
  readonly mostHedges: number
  /** No piece for so long: the scheduler is asked for help. */
  readonly stallMs: number
  /** Failures in a row after which a parent is left. */
  readonly parentFailures: number
  /** A busy parent is left alone for so long. */
  readonly busyMs: number
}

const MiB = 1024 * 1024

export const defaultTuning: Tuning = {
  leastPipeline: 1,
  mostPipeline: 16,
  leastInFlight: 8,
  pipelineMs: 100,
  mostInFlight: 64,
  mostBytesInFlight: 32 * MiB,
  leastShare: 4,
  mostParents: 24,
  urgentPieces: 2,
  windowBytes: 128 * MiB,
  stepPieces: 8,
  aheadMs: 100,
  aheadWindow: 8,
  hedgeFactor: 3,
  hedgeLeastMs: 250,
  mostPatience: 3,
  idleHedgeFactor: 1,
  idleHedgeLeastMs: 50,
  mostHedges: 4,
  stallMs: 2000,
  parentFailures: 3,
  busyMs: 200,
}

/** Requests that may be in flight for pieces of that length, of one of so many blobs. */
export function inFlight(tuning: Tuning, pieceLength: number, blobs: number): number {
  const { mostInFlight, mostBytesInFlight, leastPipeline, leastShare } = tuning
  const all = Math.min(mostInFlight, Math.max(8 * leastPipeline, Math.floor(mostBytesInFlight / pieceLength)))
  return Math.min(all, Math.max(leastShare, Math.floor(all / blobs)))
}
