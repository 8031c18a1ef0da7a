/** One node of a simulated swarm: its link, what it sends, and its copy of each blob. */
import type { Random } from '../../src/clock.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { Bitmap } from '../../src/piece/bitmap.ts'
import { type Layout, layoutOf } from '../../src/piece/layout.ts'
import { Download } from '../../src/swarm/download/download.ts'
import { Link } from '../../src/swarm/download/link.ts'
import type { Tuning } from '../../src/swarm/download/tuning.ts'
import { type Ask, type Grant, type Held, UploadQueue, type UploadTuning } from '../../src/swarm/seeding/uploads.ts'

/** A request, and who is asked: the parent, or who was named instead. */
export interface Asked extends Pick<Ask, 'wanted' | 'background' | 'follow'> {
  readonly child: Copy
  /** Who is asked, and who was at first. */
  readonly parent: Copy
  readonly first: Copy
  /** The child's number for it. */
  readonly request: number
  /** What it brings, once that is known. */
  piece: number | undefined
  /** It takes the piece also while that comes. */
  readonly coming: boolean
  /** How many have been asked, this one included. */
  readonly hops: number
}

/** A request on its way, waiting, or being answered. */
export interface SimAsk extends Ask, Asked {
  at: number
  /** Where the simulation keeps it. */
  readonly slot: number
  cancelled: boolean
  /** It is refused, or told to ask elsewhere, of which the child will hear. */
  told: boolean
  /** It is on the link, or was. */
  sent: boolean
  /** When enough of it is here to be passed on, and when all of it; once it has begun. */
  comes: { readonly begins: number; readonly whole: number } | undefined
  /** Those to whom it is passed on. */
  readonly passes: SimAsk[]
  /** Set when it is what another request of that node brings that comes. */
  relay: Relay | undefined
}

/** How a piece is passed on. */
export interface Relay {
  /** When who passes it on has all of it; once that has begun. */
  whole: number
  /** To be called when something of it is sent. */
  readonly begin: () => void
  /** To be called when it is over, with whether that was all of it. */
  over: ((whole: boolean) => void) | undefined
  source: SimAsk | undefined
}

export class Copy implements Held {
  readonly layout: Layout
  readonly have: Bitmap
  readonly download: Download
  readonly subscribers = new Set<Copy>()
  readonly open = new Map<number, SimAsk>()
  /** By piece: who waits until that begins to come, to be passed it on. */
  readonly followers = new Map<number, Set<SimAsk>>()
  /** Pieces that came since the last news, and news on its way. */
  fresh: number[] = []
  /** When it last told its news. */
  toldAt = Number.NEGATIVE_INFINITY
  readonly told: number[][] = []
  /** It reads the blob from the source, or did. */
  feeds = false
  /** It comes to the others of its site through this node. */
  leads = false
  asking = false
  /** Requests for parts that the source is answering, when it is through with them, and the last piece of each. */
  ranges = 0
  sourceFree = 0
  readonly lastOf = new Set<number>()
  finishedAt: number | undefined
  /** Of parts: what the reader waits for, and how many it has read. */
  waitsFor: readonly number[] = []
  read = 0
  /** First piece that is missing to whoever reads it. */
  reader = 0

  constructor(
    readonly index: number,
    readonly host: Host,
    readonly digest: Digest,
    blob: { readonly blobBytes: number; readonly pieceLength?: number; readonly parts?: object },
    tuning: Tuning,
    random: Random,
    stocked: boolean,
  ) {
    const { blobBytes: size, pieceLength, parts } = blob
    this.layout = pieceLength ? { size, pieceLength, count: Math.ceil(size / pieceLength) } : layoutOf(size)
    this.have = stocked ? Bitmap.full(this.layout.count) : new Bitmap(this.layout.count)
    if (stocked) this.finishedAt = 0
    // Digests travel with the news of pieces, so what is known to be held can always be verified.
    const stated = Bitmap.full(this.layout.count)
    this.download = new Download(this.layout, this.have, stated, tuning, random, 0, parts === undefined, host.link)
  }

  get feeding(): boolean {
    return (this.feeds || this.leads) && !this.have.complete
  }
}

export class Host {
  readonly id: string
  readonly uploads: UploadQueue<SimAsk>
  readonly copies: Copy[] = []
  readonly banned = new Set<string>()
  readonly link = new Link(0)
  /** Whose turn it is, and who still waits for the link. */
  readonly line: Grant<SimAsk>[] = []
  /** When what was put on the link has left it, and when what is coming has come. */
  upFree = 0
  downFree = 0
  /** Pieces that it passes on while they come. */
  relays = 0
  /** It will look again whose turn it is. */
  looks = false
  alive = true
  startedAt = 0
  readonly #held = new Map<string, Copy>()

  constructor(
    readonly index: number,
    /** Bytes per ms. */
    readonly rate: number,
    tuning: UploadTuning,
  ) {
    this.id = `node-${index}`
    this.uploads = new UploadQueue(tuning, (digest) => this.#held.get(digest))
  }

  add(copy: Copy): void {
    this.copies.push(copy)
    this.#held.set(copy.digest, copy)
  }

  /** Blobs that are on their way to it. */
  get coming(): number {
    return this.copies.reduce((sum, { finishedAt }) => sum + (finishedAt === undefined ? 1 : 0), 0)
  }

  /** Ms from its start until it had everything. */
  get tookMs(): number | undefined {
    let last = 0
    for (const { finishedAt } of this.copies) {
      if (finishedAt === undefined) return undefined
      last = Math.max(last, finishedAt)
    }
    return last - this.startedAt
  }
}
