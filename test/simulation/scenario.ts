/** What is simulated, and what comes of it. */
import type { Random } from '../../src/clock.ts'
import type { Tuning } from '../../src/swarm/download/tuning.ts'
import type { UploadTuning } from '../../src/swarm/seeding/uploads.ts'
import type { Account } from './account.ts'

export interface Scenario {
  readonly seed: number
  /** Nodes that want the blobs. */
  readonly nodes: number
  /** Nodes that only read the source and serve; they come first. 1 if not said; 0: the other nodes do it themselves. */
  readonly seeds?: number
  readonly blobBytes: number
  /** So many blobs of that size, wanted all at once. 1 if not said. */
  readonly blobs?: number
  /** Bytes per second, each direction; of node `i` (0 is the first seed). */
  rate(node: number): number
  readonly sourceRate: number
  readonly latencyMs?: number
  readonly batchMs?: number
  readonly pieceLength?: number
  /** When node `i` starts, in ms. */
  start?(node: number, random: Random): number
  /** Node ids that stop for good at a time. */
  readonly kill?: readonly { readonly node: number; readonly at: number }[]
  /** Nodes that send wrong bytes. */
  readonly liars?: ReadonlySet<number>
  /** Zone of node `i`; none if not said. What crosses from one site to another is counted, and not slower. */
  zone?(node: number): string
  readonly parts?: PartsRead
  /** Seeds have all of the blobs beforehand. */
  readonly stocked?: boolean
  /** Nobody reads the blob while it arrives, so that no piece is more urgent than another. */
  readonly unread?: boolean
  readonly tuning?: Partial<Tuning>
  readonly uploads?: Partial<UploadTuning>
  /** Virtual ms after which the run is given up. */
  readonly limitMs?: number
  /** The links are looked at so often while one of them could carry the blobs once, for an account of where time goes. */
  readonly looks?: number
}

/** Only these pieces are read, in this order, by each node; it has finished when all of them were there. */
export interface PartsRead {
  readonly pieces: readonly number[]
  /** So many are waited for at a time. */
  readonly atOnce: number
  /** A reader that has what it waits for asks for as many again so long after that, give or take a fifth. */
  readonly thinkMs?: number
}

export interface Outcome {
  /** Ms from a node's start to its last piece; `undefined` if it never finished. By node, seeds left out. */
  readonly finished: (number | undefined)[]
  readonly bytesFromSource: number
  /** Pieces that those who read the source sent, over pieces there are. */
  readonly seedCopies: number
  /** Pieces that arrived and were not needed any more. */
  readonly wasted: number
  readonly deliveries: number
  /** Pieces that arrived from another site, over pieces there are. */
  readonly crossed: number
  /** Requests that were made, and that were taken back. */
  readonly requests: number
  readonly cancelled: number
  readonly events: number
  /** Pieces that the nodes have in the end, taken together; seeds left out. */
  readonly held: number
  readonly banned: number
  /** Share of all uplinks in use, for each twentieth of the time in which a link carries the blobs once. */
  readonly uplinks: readonly number[]
  /** Messages with news of pieces, each to one node. */
  readonly news: number
  /** Where the time went; if it was asked for. */
  readonly account?: Account
}
