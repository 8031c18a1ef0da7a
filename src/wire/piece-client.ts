/**
 * Fetches pieces, each read whole: that costs a third less CPU than reading it in chunks. What it cannot see is whether
 * a slow parent is alive; the session with the parent tells that, and the swarm asks another one for a piece that is late.
 */
import type { Clock } from '../clock.ts'
import type { NodeCard } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import type { Meter } from '../meter.ts'
import type { Digest } from '../oci/digest.ts'
import type { Gate } from '../rate.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { headers, wireRules } from './rules.ts'
import type { PieceAnswer, WantedPieces } from './wire.ts'

export interface PieceClientOptions {
  readonly fetch: Bun.FetchSession['fetch']
  /** Headers of every request. */
  readonly headers: () => Record<string, string>
  /** Asked before a request, for a parent's upload slot must not be held by our own limit. */
  readonly gate: Gate
  readonly received: Meter | undefined
  readonly clock: Clock
  readonly metrics: Metrics | undefined
}

/** How much a piece is taken to weigh when nobody says. */
const usualPiece = 512 * 1024

export class PieceClient {
  readonly #options: PieceClientOptions

  constructor(options: PieceClientOptions) {
    this.#options = options
  }

  /** @throws {Failure} `too-many`, `no-blob`, `unavailable`, `corrupt` (an answer that makes no sense), `cancelled` */
  async fetch(
    node: NodeCard,
    digest: Digest,
    wanted: WantedPieces,
    signal: AbortSignal,
    chosen: (piece: number) => void,
  ): Promise<PieceAnswer> {
    const { gate, received, metrics, clock } = this.#options
    const { bytes = usualPiece, background = false } = wanted
    try {
      await gate.enter(bytes, { of: digest, background }, signal)
    } catch (cause) {
      throw new Failure('cancelled', 'given up before it was asked for', { cause })
    }
    let unused = bytes
    try {
      const answer = await this.#fetch(node, digest, wanted, signal, (piece) => {
        // What is given up from now on may be here in part, and has used the link.
        unused = 0
        chosen(piece)
      })
      unused = bytes - answer.bytes.length
      received?.add(answer.bytes.length, clock.now())
      metrics?.peerReceivedBytes.inc(answer.bytes.length)
      return answer
    } finally {
      gate.leave(unused)
    }
  }

  async #fetch(
    node: NodeCard,
    digest: Digest,
    wanted: WantedPieces,
    signal: AbortSignal,
    chosen: (piece: number) => void,
  ): Promise<PieceAnswer> {
    const { clock } = this.#options
    const { list, head } = questionOf(wanted)
    const controller = new AbortController()
    let late = false
    const cancelled = () => controller.abort(signal.reason)
    signal.addEventListener('abort', cancelled, { once: true })
    const cancelDeadline = clock.after(wireRules.pieceDeadline, () => {
      late = true
      controller.abort()
    })
    try {
      const response = await this.#options.fetch(`${node.url}/shoal/v1/blobs/${digest}/pieces/${list}`, {
        headers: { ...this.#options.headers(), ...head },
        signal: controller.signal,
        redirect: 'error',
      })
      if (response.status !== 200) throw await refusal(response, node)
      const { piece, length } = headOf(response, wanted, node)
      chosen(piece)
      const bytes = await response.bytes()
      if (bytes.length !== length) {
        throw new Failure('unavailable', `node ${node.id} sent ${bytes.length} of ${length} bytes of a piece`)
      }
      return { piece, bytes }
    } catch (error) {
      controller.abort()
      if (signal.aborted) throw new Failure('cancelled', 'given up while it was fetched', { cause: signal.reason })
      if (error instanceof Failure) throw error
      const what = late ? `took more than ${wireRules.pieceDeadline / 1000} s` : (error as Error).message
      throw new Failure('unavailable', `node ${node.id} at ${node.url}: ${what}`, { cause: error })
    } finally {
      cancelDeadline()
      signal.removeEventListener('abort', cancelled)
    }
  }
}

/** Named pieces stand in the path; a bitmap of unwanted ones in a header, where its length does no harm. */
function questionOf(wanted: WantedPieces): { list: string; head: Record<string, string> } {
  const mark = wanted.background ? { [headers.background]: '1' } : {}
  if ('pieces' in wanted) return { list: wanted.pieces.slice(0, wireRules.candidates).join(','), head: mark }
  const { unwanted, from } = wanted
  return { list: 'any', head: { ...mark, [headers.unwanted]: unwanted.toBase64(), [headers.from]: String(from) } }
}

/** @throws {Failure} when the head is not that of a piece that was asked for, or announces more than one can have */
function headOf(response: Response, wanted: WantedPieces, node: NodeCard): { piece: number; length: number } {
  const [piece = Number.NaN, length = Number.NaN, body] = [headers.piece, headers.length, 'content-length'].map(
    (name) => Number(response.headers.get(name) ?? Number.NaN),
  )
  const asked = 'pieces' in wanted ? wanted.pieces.includes(piece) : piece >= 0 && Number.isSafeInteger(piece)
  if (!asked || !(length >= 0 && length <= wireRules.pieceBytes)) {
    throw new Failure('corrupt', `node ${node.id} answered with something that is not a piece it was asked for`)
  }
  // Its file is shorter than it should be: a fault of its disk, not a lie.
  if (body !== length) throw new Failure('unavailable', `node ${node.id} has ${body} of ${length} bytes of a piece`)
  return { piece, length }
}

/** Why there is no piece. The body says more, but reading it is not worth the time: only its status matters here. */
async function refusal(response: Response, node: NodeCard): Promise<Failure> {
  await response.arrayBuffer().catch(() => {})
  if (response.status === 503) return new Failure('too-many', `node ${node.id} is busy`)
  if (response.status === 404) return new Failure('no-blob', `node ${node.id} does not hold the piece`)
  return new Failure('unavailable', `node ${node.id} answered ${response.status} instead of a piece`)
}
