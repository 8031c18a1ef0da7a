/**
 * Pieces on their way from parents: carries out the requests of a download, verifies what arrives, stores it, and bans who
 * lied. Nothing gets past here that is not what the metainfo says.
 */
import type { Clock } from '../clock.ts'
import type { NodeCard, NodeId } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import type { Bitmap } from '../piece/bitmap.ts'
import { pieceBytes } from '../piece/layout.ts'
import type { Metainfo } from '../piece/metainfo.ts'
import type { Blob } from '../store/blob-store.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Outbound } from '../wire/wire.ts'
import type { Bans } from './bans.ts'
import type { DownloadEvent } from './download/download.ts'
import type { Request } from './download/parent.ts'
import { follow } from './following.ts'
import { Expected, type Relays } from './relays.ts'
import { PieceWaiters } from './waiters.ts'

export interface ArrivalsDeps {
  readonly outbound: Pick<Outbound, 'piece'>
  readonly bans: Bans
  readonly clock: Clock
  readonly metrics: Metrics
  /** What comes may be passed on before it is whole. */
  readonly relays: Relays
}

export interface ArrivalsHost {
  apply(event: DownloadEvent): void
  card(parent: NodeId): NodeCard | undefined
  self(): NodeCard
  /** A node that a parent named; one at another site is left to those who were sent there. */
  mayAsk(node: NodeId, zone: string | undefined): boolean
  /** See {@link Download.isStep}. */
  isStep(request: Request): boolean
  /** Nobody reads the blob. */
  background(): boolean
  /** The parent is told that its piece is here. */
  got(parent: NodeId, piece: number): void
  /** The parent is told that the piece is not waited for any more. */
  dropped(parent: NodeId, piece: number): void
  /** The parent is told that what it sent of the piece is wrong. */
  wrong(parent: NodeId, piece: number): void
  /** That parent has passed on the statement about the piece that is believed here. */
  vouches(parent: NodeId, piece: number): boolean
  /** A piece is what it should be, and on its way to the disk until the result is called. */
  verified(piece: number, bytes: Uint8Array): () => void
  /** Bytes have come; they are being verified. */
  progress(): void
  stored(blob: Blob, piece: number, bytes: number): void
  /** Storing failed: there is no use in going on. */
  failed(failure: Failure): void
}

/**
 * How long a piece waits for somebody to state its digest, in ms, and a parent may have what nobody has stated. Who reads
 * the source states at once what it has; on a busy host later.
 */
export const statementMs = 5000
/** Whom a parent named instead of itself sends so many bytes in so long a time, in ms, or the parent is asked again. */
const leastInTime = 16 * 1024
const slowMs = 3000
/** A parent that sent so many pieces, one after the other, of which nobody stated anything, is left. */
const mostUnstated = 8

export class Arrivals {
  readonly #d: ArrivalsDeps
  readonly #host: ArrivalsHost
  readonly #inFlight = new Map<number, AbortController>()
  readonly #statements = new PieceWaiters()
  /** How many pieces of which nobody stated anything have come from a parent since one that could be verified. */
  readonly #silent = new Map<NodeId, number>()
  /** They have sent something wrong: nobody's word sends this download to them again. */
  readonly #liars = new Set<NodeId>()
  #over = false

  constructor(deps: ArrivalsDeps, host: ArrivalsHost) {
    this.#d = deps
    this.#host = host
  }

  async request(blob: Blob, request: Request, any: { unwanted: Bitmap; from: number } | undefined): Promise<void> {
    const card = this.#host.card(request.parent)
    if (!card) return this.#host.apply({ type: 'refused', request: request.id, reason: 'broken' })
    const abort = new AbortController()
    this.#inFlight.set(request.id, abort)
    let release: (() => void) | undefined
    const relay = new Expected(this.#d.relays, blob.digest)
    const expect = (piece: number) => {
      if (piece < blob.layout.count) relay.bound(piece)
    }
    if (request.piece !== undefined) expect(request.piece)
    try {
      const { signal } = abort
      const chosen = (piece: number) => {
        expect(piece)
        this.#host.apply({ type: 'chosen', request: request.id, piece })
      }
      const bound = (piece: number) => {
        expect(piece)
        this.#host.apply({ type: 'bound', request: request.id, piece })
      }
      const queued = (waits: boolean) => this.#host.apply({ type: 'queued', request: request.id, waits })
      const wanted = {
        ...(any ? { unwanted: any.unwanted.bytes, from: any.from } : { pieces: [request.piece!] }),
        background: this.#host.background() || (request.ahead ?? false),
        ...(this.#host.isStep(request) && { follow: this.#host.self() }),
        bytes: pieceBytes(blob.layout, request.piece ?? 0),
      }
      const { from, answer } = await follow({
        ...{ parent: card, wanted, count: blob.layout.count, signal, bound },
        ask: (node, what) => {
          if (node === card) {
            const came = (bytes: Uint8Array, upTo: number) => relay.came(bytes, upTo)
            return this.#d.outbound.piece(node, blob.digest, what, signal, chosen, queued, came)
          }
          return this.#patiently(node, signal, (inTime, heard) =>
            this.#d.outbound.piece(node, blob.digest, what, inTime, chosen, queued, (bytes, upTo) => {
              heard(upTo)
              relay.came(bytes, upTo)
            }),
          )
        },
        may: ({ id, zone }) => !this.#isDoubtful(id) && this.#host.mayAsk(id, zone),
      })
      release = answer.release
      const { piece, bytes } = answer
      this.#host.got(from.id, piece)
      if (piece >= blob.layout.count) throw new Failure('corrupt', 'there is no such piece')
      if (this.#over) return
      this.#host.progress()
      this.#host.apply({ type: 'arrived', request: request.id, piece })
      await this.#take(blob, piece, bytes, from, relay)
    } catch (error) {
      if (abort.signal.aborted || this.#over) return
      const { code } = Failure.from(error)
      const reason = code === 'too-many' ? 'busy' : code === 'no-blob' ? 'missing' : 'broken'
      this.#host.apply({ type: 'refused', request: request.id, reason })
    } finally {
      relay.end()
      release?.()
      this.#inFlight.delete(request.id)
    }
  }

  cancel(request: Request): void {
    this.#inFlight.get(request.id)?.abort()
    // Who may have begun to send it cannot see that nobody waits any more.
    if (request.piece !== undefined) this.#host.dropped(request.parent, request.piece)
  }

  /** The digests of these pieces are known now. */
  stated(from: number, to: number): void {
    for (let piece = from; piece < to; piece++) this.#statements.stored(piece)
  }

  close(): void {
    this.#over = true
    for (const abort of this.#inFlight.values()) abort.abort()
    this.#statements.fail(new Failure('cancelled', 'the transfer is over'))
  }

  async #take(blob: Blob, piece: number, bytes: Uint8Array, from: NodeCard, relay: Expected): Promise<void> {
    // A piece fresh from the source may be here before the statement about it, which takes another way.
    if (!blob.metainfo.known.has(piece) && !(await this.#statement(piece))) return this.#unstated(piece, from)
    if (bytes.length !== pieceBytes(blob.layout, piece) || !blob.metainfo.verify(piece, bytes)) {
      return this.#reject(blob, piece, from)
    }
    relay.verified()
    // It came from elsewhere as well, and was written first.
    if (blob.have.has(piece)) return this.#host.apply({ type: 'stored', piece })
    const written = this.#host.verified(piece, bytes)
    try {
      await blob.write(piece, bytes)
    } catch (error) {
      return this.#host.failed(Failure.from(error))
    } finally {
      written()
    }
    this.#silent.delete(from.id)
    this.#host.stored(blob, piece, bytes.length)
  }

  /** Who has pieces has their digests: one that sends the first and never the others keeps this node waiting. */
  #unstated(piece: number, from: NodeCard): void {
    const times = (this.#silent.get(from.id) ?? 0) + 1
    this.#silent.set(from.id, times)
    this.#host.apply({ type: 'rejected', piece, ...(times < mostUnstated ? {} : { parent: from.id }) })
  }

  #reject(blob: Blob, piece: number, from: NodeCard): void {
    this.#liars.add(from.id)
    wrongPiece(this.#d, this.#host, blob.metainfo, piece, from.id)
    this.#host.apply({ type: 'rejected', piece, parent: from.id })
  }

  #isDoubtful(node: NodeId): boolean {
    return this.#liars.has(node) || this.#d.bans.has(node) || this.#d.relays.isSlow(node, this.#d.clock.now())
  }

  /** No session with whom a parent named tells whether it is alive: who sends next to nothing is given up. */
  async #patiently<T>(
    { id }: NodeCard,
    signal: AbortSignal,
    work: (inTime: AbortSignal, heard: (upTo: number) => void) => Promise<T>,
  ): Promise<T> {
    const slow = new AbortController()
    const wait = () =>
      this.#d.clock.after(slowMs, () => {
        this.#d.relays.wasSlow(id, this.#d.clock.now())
        slow.abort()
      })
    let stop = wait()
    let next = leastInTime
    try {
      return await work(AbortSignal.any([signal, slow.signal]), (upTo) => {
        if (upTo < next) return
        next = upTo + leastInTime
        stop()
        stop = wait()
      })
    } finally {
      stop()
    }
  }

  /** False if nobody states the digest of the piece in time. */
  async #statement(piece: number): Promise<boolean> {
    const late = new AbortController()
    const cancel = this.#d.clock.after(statementMs, () => late.abort())
    try {
      await this.#statements.wait(piece, late.signal)
      return true
    } catch {
      return false
    } finally {
      cancel()
    }
  }
}

/** That node sent other bytes than those that were stated to be the piece: it is banned, or somebody lies. */
export function wrongPiece(
  { bans, metrics }: Pick<ArrivalsDeps, 'bans' | 'metrics'>,
  links: Pick<ArrivalsHost, 'vouches' | 'wrong'>,
  metainfo: Metainfo,
  piece: number,
  from: NodeId,
): void {
  metrics.piecesRejected.inc({ reason: 'digest' })
  // Or a third node stated a lie about the piece, and this parent has not told us yet that it knows better.
  const signer = metainfo.signerOf(piece) ?? from
  const believed = metainfo.digestOf(piece)
  if (signer === from || links.vouches(from, piece)) {
    // It may be its disk.
    links.wrong(from, piece)
    bans.add(from, `sent wrong bytes for piece ${piece} of ${metainfo.digest}`)
  } else if (believed) bans.doubts.accuse(from, metainfo.digest, piece, believed)
}
