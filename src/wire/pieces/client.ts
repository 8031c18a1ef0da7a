/**
 * Fetches pieces, each put together in memory that is used again. What it cannot see is whether a slow parent is alive; the
 * session with the parent tells that, and the swarm asks another one for a piece that is late.
 *
 * It speaks HTTP on sockets of its own: a fetch of the runtime costs another thread, a wait for that thread, and fresh
 * memory for every piece.
 */
import type { Clock } from '../../clock.ts'
import type { NodeCard } from '../../cluster/node-info.ts'
import { Failure } from '../../failure.ts'
import type { Meter } from '../../meter.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Gate } from '../../rate.ts'
import type { Metrics } from '../../telemetry/metrics.ts'
import { cardHeaders } from '../card.ts'
import type { Encryption } from '../encryption.ts'
import { headers, wireRules } from '../rules.ts'
import { Elsewhere, type PieceAnswer, type WantedPieces } from '../wire.ts'
import { type AnswerHead, AnswerReader } from './answer.ts'
import { type PieceBuffer, PieceBuffers } from './buffers.ts'
import { PieceLines } from './lines.ts'

export interface PieceClientOptions {
  /** Headers of every request to that node. */
  readonly headers: (node: NodeCard, target: string) => Record<string, string>
  readonly encryption: Pick<Encryption, 'trust' | 'forget'>
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
  readonly #lines: PieceLines
  readonly #buffers: PieceBuffers

  constructor(options: PieceClientOptions) {
    this.#options = options
    this.#lines = new PieceLines(options.clock)
    this.#buffers = new PieceBuffers(options.clock)
  }

  /** @throws {Failure} `too-many`, `no-blob`, `unavailable`, `corrupt` (an answer that makes no sense), `cancelled` */
  async fetch(
    node: NodeCard,
    digest: Digest,
    wanted: WantedPieces,
    signal: AbortSignal,
    chosen: (piece: number) => void,
    queued: (waits: boolean) => void = () => {},
    came: (bytes: Uint8Array, upTo: number) => void = () => {},
  ): Promise<PieceAnswer> {
    const { gate, received, metrics, clock } = this.#options
    const { bytes = usualPiece, background = false } = wanted
    const waits = gate.shut
    if (waits) queued(true)
    try {
      await gate.enter(bytes, { of: digest, background }, signal)
    } catch (cause) {
      throw new Failure('cancelled', 'given up before it was asked for', { cause })
    }
    if (waits) queued(false)
    let unused = bytes
    try {
      const told = (piece: number) => {
        // What is given up from now on may be here in part, and has used the link.
        unused = 0
        chosen(piece)
      }
      const answer = await this.#fetch(node, digest, wanted, signal, told, came)
      unused = bytes - answer.bytes.length
      received?.add(answer.bytes.length, clock.now())
      metrics?.peerReceivedBytes.inc(answer.bytes.length)
      return answer
    } finally {
      gate.leave(unused)
    }
  }

  close(): void {
    this.#lines.close()
    this.#buffers.close()
  }

  async #fetch(
    node: NodeCard,
    digest: Digest,
    wanted: WantedPieces,
    signal: AbortSignal,
    chosen: (piece: number) => void,
    came: (bytes: Uint8Array, upTo: number) => void,
  ): Promise<PieceAnswer> {
    let got: { piece: number; buffer: PieceBuffer } | undefined
    let refused: Failure | undefined
    const bodyFor = (head: AnswerHead) => {
      refused = refusal(head, node)
      if (refused) return undefined
      const { piece, length } = pieceOf(head, wanted, node)
      chosen(piece)
      got = { piece, buffer: this.#buffers.take(length) }
      return got.buffer.bytes
    }
    const reader = new AnswerReader(bodyFor, (upTo) => got && came(got.buffer.bytes, upTo))
    const trust = this.#options.encryption.trust(node)
    try {
      const tls = trust && (await trust)
      const request = () => requestFor(node, digest, wanted, this.#options.headers)
      await this.#lines.ask({ url: node.url, tls }, request, reader, signal)
    } catch (error) {
      got?.buffer.release()
      if (trust && error instanceof Failure && error.code === 'unavailable') this.#options.encryption.forget(node)
      throw error
    }
    if (refused) throw refused
    if (!got) throw new Failure('internal', 'an answer without a head')
    const { piece, buffer } = got
    return { piece, bytes: buffer.bytes, release: buffer.release }
  }
}

function requestFor(node: NodeCard, digest: Digest, wanted: WantedPieces, more: PieceClientOptions['headers']): string {
  const { list, head } = questionOf(wanted)
  const target = `/shoal/v1/blobs/${digest}/pieces/${list}`
  let text = `GET ${target} HTTP/1.1\r\nhost: ${new URL(node.url).host}\r\n`
  for (const [name, value] of Object.entries({ ...more(node, target), ...head })) text += `${name}: ${value}\r\n`
  return `${text}\r\n`
}

/** Named pieces stand in the path; a bitmap of unwanted ones in a header, where its length does no harm. */
function questionOf(wanted: WantedPieces): { list: string; head: Record<string, string> } {
  const mark = {
    ...(wanted.background && { [headers.background]: '1' }),
    ...(wanted.follow && { [headers.follow]: '1', ...cardHeaders(wanted.follow) }),
    ...(wanted.coming && { [headers.coming]: '1' }),
  }
  if ('pieces' in wanted) return { list: wanted.pieces.slice(0, wireRules.candidates).join(','), head: mark }
  const { unwanted, from } = wanted
  return { list: 'any', head: { ...mark, [headers.unwanted]: unwanted.toBase64(), [headers.from]: String(from) } }
}

/** @throws {Failure} when the head is not that of a piece that was asked for, or announces more than it can have */
function pieceOf(head: AnswerHead, wanted: WantedPieces, node: NodeCard): { piece: number; length: number } {
  const { piece, pieceLength: length, length: said, chunked } = head
  // What is passed on as it comes says what it has with each chunk, and is held to the piece's length.
  const body = chunked ? length : said
  const asked = piece !== undefined && (!('pieces' in wanted) || wanted.pieces.includes(piece))
  if (!asked || length === undefined || length > (wanted.bytes ?? wireRules.pieceBytes)) {
    throw new Failure('corrupt', `node ${node.id} answered with something that is not a piece it was asked for`)
  }
  // Its file is shorter than it should be: a fault of its disk, not a lie.
  if (body !== length) throw new Failure('unavailable', `node ${node.id} has ${body} of ${length} bytes of a piece`)
  return { piece, length }
}

/** Why there is no piece, if there is none. The body says more, but only the status matters here. */
function refusal({ status, piece, elsewhere }: AnswerHead, node: NodeCard): Failure | undefined {
  if (status === 200) return undefined
  if (status === 503 && piece !== undefined && elsewhere !== undefined) return new Elsewhere(piece, elsewhere)
  if (status === 503) return new Failure('too-many', `node ${node.id} is busy`)
  if (status === 404) return new Failure('no-blob', `node ${node.id} does not hold the piece`)
  return new Failure('unavailable', `node ${node.id} answered ${status} instead of a piece`)
}
