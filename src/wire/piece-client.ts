/**
 * Fetches pieces. The body is read into one buffer of its announced length, and each chunk counts as a sign of life:
 * a parent that stalls is given up, one that is slow is not.
 */
import pLimit from 'p-limit'
import type { Clock } from '../clock.ts'
import type { NodeCard } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Limit } from '../rate.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { headers, wireRules } from './rules.ts'
import type { PieceAnswer } from './wire.ts'

export interface PieceClientOptions {
  readonly fetch: Bun.FetchSession['fetch']
  /** Headers of every request. */
  readonly headers: () => Record<string, string>
  readonly download: Limit | undefined
  readonly clock: Clock
  readonly metrics: Metrics | undefined
}

/** How much a piece is taken to weigh before its length is known. */
const usualPiece = 512 * 1024

export class PieceClient {
  readonly #options: PieceClientOptions
  readonly #slots = pLimit(wireRules.piecesInFlight)

  constructor(options: PieceClientOptions) {
    this.#options = options
  }

  /** @throws {Failure} `too-many`, `no-blob`, `unavailable`, `corrupt` (an answer that makes no sense), `cancelled` */
  fetch(
    node: NodeCard,
    digest: Digest,
    candidates: readonly number[],
    signal: AbortSignal,
    chosen: (piece: number) => void,
  ): Promise<PieceAnswer> {
    return this.#slots(async () => {
      // Waiting before the request, for a parent's upload slot must not be held by our own limit.
      await this.#options.download?.(usualPiece)
      if (signal.aborted) {
        void this.#options.download?.(-usualPiece)
        throw new Failure('cancelled', 'given up before it was asked for', { cause: signal.reason })
      }
      let received = 0
      try {
        const answer = await this.#fetch(node, digest, candidates, signal, chosen)
        received = answer.bytes.length
        return answer
      } finally {
        void this.#options.download?.(received - usualPiece)
        this.#options.metrics?.peerReceivedBytes.inc(received)
      }
    })
  }

  async #fetch(
    node: NodeCard,
    digest: Digest,
    candidates: readonly number[],
    signal: AbortSignal,
    chosen: (piece: number) => void,
  ): Promise<PieceAnswer> {
    const { clock } = this.#options
    const asked = candidates.slice(0, wireRules.candidates)
    const controller = new AbortController()
    let aliveAt = clock.now()
    let stalled = false
    const cancelled = () => controller.abort(signal.reason)
    signal.addEventListener('abort', cancelled, { once: true })
    // One timer a piece rather than one a chunk: it looks how long ago the last chunk came.
    const watch = (): (() => void) =>
      clock.after(aliveAt + wireRules.pieceStall - clock.now(), () => {
        if (clock.now() - aliveAt < wireRules.pieceStall) cancelWatch = watch()
        else {
          stalled = true
          controller.abort()
        }
      })
    let cancelWatch = watch()
    try {
      const response = await this.#options.fetch(`${node.url}/shoal/v1/blobs/${digest}/pieces/${asked.join(',')}`, {
        headers: this.#options.headers(),
        signal: controller.signal,
        redirect: 'error',
      })
      aliveAt = clock.now()
      if (response.status !== 200) throw await refusal(response, node)
      return await readPiece(response, asked, node, chosen, () => {
        aliveAt = clock.now()
      })
    } catch (error) {
      controller.abort()
      if (signal.aborted) throw new Failure('cancelled', 'given up while it was fetched', { cause: signal.reason })
      if (error instanceof Failure) throw error
      const what = stalled ? `sent nothing for ${wireRules.pieceStall / 1000} s` : (error as Error).message
      throw new Failure('unavailable', `node ${node.id} at ${node.url}: ${what}`, { cause: error })
    } finally {
      cancelWatch()
      signal.removeEventListener('abort', cancelled)
    }
  }
}

async function readPiece(
  response: Response,
  asked: readonly number[],
  node: NodeCard,
  chosen: (piece: number) => void,
  alive: () => void,
): Promise<PieceAnswer> {
  const piece = Number(response.headers.get(headers.piece) ?? Number.NaN)
  const length = Number(response.headers.get(headers.length) ?? Number.NaN)
  if (!asked.includes(piece) || !(length >= 0 && length <= wireRules.pieceBytes) || !response.body) {
    throw new Failure('corrupt', `node ${node.id} answered with something that is not a piece it was asked for`)
  }
  chosen(piece)
  const bytes = new Uint8Array(length)
  let filled = 0
  for await (const chunk of response.body) {
    alive()
    if (filled + chunk.length > length) break
    bytes.set(chunk, filled)
    filled += chunk.length
  }
  if (filled !== length) {
    throw new Failure('unavailable', `node ${node.id} sent ${filled} of ${length} bytes of a piece`)
  }
  return { piece, bytes }
}

/** Why there is no piece. The body says more, but reading it is not worth the time: only its status matters here. */
async function refusal(response: Response, node: NodeCard): Promise<Failure> {
  await response.arrayBuffer().catch(() => {})
  if (response.status === 503) return new Failure('too-many', `node ${node.id} is busy`)
  if (response.status === 404) return new Failure('no-blob', `node ${node.id} does not hold the piece`)
  return new Failure('unavailable', `node ${node.id} answered ${response.status} instead of a piece`)
}
