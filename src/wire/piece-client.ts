/**
 * Fetches pieces. Reading a body whole costs a third less CPU than reading it in chunks, but only chunks show that a
 * slow parent is alive. So a parent that was quick the last time is read whole and given up when the piece takes too
 * long; any other is read in chunks, each a sign of life, and is given up only when it stalls.
 */
import { LRUCache } from 'lru-cache'
import pLimit from 'p-limit'
import type { Clock } from '../clock.ts'
import type { NodeCard, NodeId } from '../cluster/node-info.ts'
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
/** A parent that needed less for its last piece (ms) is quick. */
const quick = 1_000

export class PieceClient {
  readonly #options: PieceClientOptions
  readonly #slots = pLimit(wireRules.piecesInFlight)
  readonly #quick = new LRUCache<NodeId, true>({ max: 1024 })

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
    const startedAt = clock.now()
    let aliveAt = startedAt
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
      const { piece, length } = headOf(response, asked, node)
      chosen(piece)
      const alive = () => {
        aliveAt = clock.now()
      }
      const bytes = this.#quick.has(node.id) ? await response.bytes() : await readChunks(response, length, alive)
      if (bytes.length !== length) {
        throw new Failure('unavailable', `node ${node.id} sent ${bytes.length} of ${length} bytes of a piece`)
      }
      if (clock.now() - startedAt < quick) this.#quick.set(node.id, true)
      else this.#quick.delete(node.id)
      return { piece, bytes }
    } catch (error) {
      controller.abort()
      if (stalled) this.#quick.delete(node.id)
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

/** @throws {Failure} when the head is not that of a piece that was asked for, or announces more than one can have */
function headOf(response: Response, asked: readonly number[], node: NodeCard): { piece: number; length: number } {
  const [piece = Number.NaN, length = Number.NaN, body] = [headers.piece, headers.length, 'content-length'].map(
    (name) => Number(response.headers.get(name) ?? Number.NaN),
  )
  if (!asked.includes(piece) || !(length >= 0 && length <= wireRules.pieceBytes)) {
    throw new Failure('corrupt', `node ${node.id} answered with something that is not a piece it was asked for`)
  }
  // Its file is shorter than it should be: a fault of its disk, not a lie.
  if (body !== length) throw new Failure('unavailable', `node ${node.id} has ${body} of ${length} bytes of a piece`)
  return { piece, length }
}

async function readChunks(response: Response, length: number, alive: () => void): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  const reader = response.body?.getReader()
  let filled = 0
  for (;;) {
    const chunk = await reader?.read()
    if (!chunk?.value) break
    alive()
    bytes.set(chunk.value, filled)
    filled += chunk.value.length
  }
  return bytes.subarray(0, filled)
}

/** Why there is no piece. The body says more, but reading it is not worth the time: only its status matters here. */
async function refusal(response: Response, node: NodeCard): Promise<Failure> {
  await response.arrayBuffer().catch(() => {})
  if (response.status === 503) return new Failure('too-many', `node ${node.id} is busy`)
  if (response.status === 404) return new Failure('no-blob', `node ${node.id} does not hold the piece`)
  return new Failure('unavailable', `node ${node.id} answered ${response.status} instead of a piece`)
}
