/** Reads a part of a blob as the registry port does for a range: what it asks for, and nothing else. */
import type { Location } from '../../src/source/source.ts'
import type { Span } from '../../src/store/blob-store.ts'
import { readArriving } from '../../src/swarm/reader.ts'
import type { SwarmNode } from './swarm-node.ts'

export interface PartReader {
  bytes: Uint8Array | undefined
  outcome: unknown
  /** Virtual ms from the request to the last byte. */
  tookMs: number | undefined
  over: boolean
}

export interface PartOptions {
  /** All of the blob is wanted as well. */
  readonly whole?: boolean
  /** Bytes after it that are fetched too. */
  readonly ahead?: number
  /** Nobody waits for it. */
  readonly patient?: boolean
  readonly signal?: AbortSignal
  /** Of the blob, where a manifest has told. */
  readonly size?: number
}

export function readPart(
  node: SwarmNode,
  location: Location,
  span: Span,
  { whole = false, ahead = 0, patient = false, signal = new AbortController().signal, size }: PartOptions = {},
): PartReader {
  const reader: PartReader = { bytes: undefined, outcome: undefined, tookMs: undefined, over: false }
  const began = node.clock.now()
  const transfer = node.swarm.fetch(location, size, !whole)
  const run = async () => {
    const blob = await transfer.begun
    const chunks: Uint8Array[] = []
    for await (const bytes of readArriving(transfer, blob, span, signal, { part: true, patient, ahead }))
      chunks.push(bytes.slice())
    reader.bytes = Buffer.concat(chunks)
    reader.tookMs = node.clock.now() - began
  }
  run()
    .catch((error) => {
      reader.outcome = error
    })
    .finally(() => {
      reader.over = true
    })
  return reader
}
