/**
 * A node as the mounter sees it, for what the mounter does with its answers: exact ranges of layers, their indexes, what
 * starts read first. `bend` makes it misbehave.
 */
import { gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'
import { encodeIndex } from '../../src/layer-index/encode.ts'
import { type Chunks, chunkBytes, type LayerIndex } from '../../src/layer-index/layer-index.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { GzipScan } from '../../src/zran/gzip-scan.ts'
import { noPoints } from '../../src/zran/points.ts'

/** A layer whose files' data lie as in a tar: a header before each, and padding behind. */
export interface SampleLayer {
  readonly index: LayerIndex
  readonly indexBytes: Uint8Array
  /** Compressed. */
  readonly bytes: Uint8Array
  readonly unpacked: Uint8Array
  /** As a mount shows it: zero where no file is. */
  readonly shown: Uint8Array
}

/** Compressible, and the same for the same seed. */
export function text(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let state = (seed * 2654435761 + 1) >>> 0
  for (let i = 0; i < length; i++) {
    if (i % 7 === 0) state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    bytes[i] = 97 + ((state >>> 24) % 16)
  }
  return bytes
}

export function sampleLayer(files: readonly Uint8Array[], compression: 'gzip' | 'none' = 'gzip'): SampleLayer {
  const blocks: Uint8Array[] = []
  const starts: number[] = []
  const lengths: number[] = []
  const digests: Uint8Array[] = []
  let at = 0
  const shownAt: [number, Uint8Array][] = []
  for (const file of files) {
    const header = new Uint8Array(512).fill(72)
    const padding = new Uint8Array((512 - (file.length % 512)) % 512)
    shownAt.push([at + 512, file])
    for (let offset = 0; offset < file.length; offset += chunkBytes) {
      const chunk = file.subarray(offset, offset + chunkBytes)
      starts.push(at + 512 + offset)
      lengths.push(chunk.length)
      digests.push(Bun.SHA256.hash(chunk) as Uint8Array)
    }
    blocks.push(header, file, padding)
    at += 512 + file.length + padding.length
  }
  blocks.push(new Uint8Array(1024))
  const unpacked = new Uint8Array(Buffer.concat(blocks))
  const shown = new Uint8Array(unpacked.length)
  for (const [start, file] of shownAt) shown.set(file, start)
  const bytes = compression === 'gzip' ? new Uint8Array(gzipSync(unpacked)) : unpacked
  const chunks: Chunks = {
    count: starts.length,
    starts: Float64Array.from(starts),
    lengths: Uint32Array.from(lengths),
    digests: new Uint8Array(Buffer.concat(digests)),
  }
  const index: LayerIndex = {
    layer: digestOf(bytes),
    diffId: digestOf(unpacked),
    compression,
    compressedSize: bytes.length,
    size: unpacked.length,
    metadata: Buffer.from('an EROFS image'),
    chunks,
    points: compression === 'gzip' ? pointsOf(bytes) : noPoints,
  }
  return { index, indexBytes: encodeIndex(index), bytes, unpacked, shown }
}

/** A real one, of files `f0`, `f1`, ... */
export async function sampleTar(files: readonly Uint8Array[]): Promise<Uint8Array> {
  const tar = pack()
  files.forEach((bytes, i) => {
    tar.entry({ name: `f${i}`, mode: 0o644 }, Buffer.from(bytes))
  })
  tar.finalize()
  return new Uint8Array(Buffer.concat(await Array.fromAsync(tar as AsyncIterable<Uint8Array>)))
}

function pointsOf(bytes: Uint8Array) {
  using scan = new GzipScan(() => {}, { compressed: 32 * 1024, unpacked: 256 * 1024 })
  scan.push(bytes)
  return scan.end()
}

export interface Asked {
  readonly digest: string
  readonly from: number
  /** Exclusive. */
  readonly to: number
  readonly prefetch: string | null
  readonly fresh: boolean
  readonly priority: string | null
}

/** Another answer than the right one, or undefined. */
export type Bend = (asked: Asked, right: Uint8Array) => Response | Promise<Response | undefined> | undefined

export class LazyNode {
  readonly asked: Asked[] = []
  readonly told: number[][] = []
  reads: number[] = []
  bend: Bend = () => undefined
  /** Other answers to a request for an index, used up from the front. */
  readonly indexAnswers: Response[] = []
  /** What requests for an index said of caches. */
  readonly indexAsked: (string | null)[] = []
  readonly #layers = new Map<Digest, SampleLayer>()
  readonly #server: Bun.Server<undefined>

  constructor(layers: readonly SampleLayer[]) {
    for (const layer of layers) this.#layers.set(layer.index.layer, layer)
    this.#server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: (request) => this.#answer(request) })
  }

  get registry(): string {
    return this.#server.url.origin
  }

  /** Compressed bytes that were asked for. */
  get bytes(): number {
    return this.asked.reduce((sum, { from, to }) => sum + to - from, 0)
  }

  async stop(): Promise<void> {
    await this.#server.stop(true)
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url)
    const match = /\/(?:blobs|_shoal\/lazy)\/((?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))(?:\/(index|reads))?$/.exec(
      pathname,
    )
    const layer = match && this.#layers.get(match[1] as Digest)
    if (!match || !layer) return refusal(404, 'it is not here')
    if (match[2] === 'index') {
      this.indexAsked.push(request.headers.get('cache-control'))
      const other = this.indexAnswers.shift()
      if (other) return other
      const headers = { 'shoal-index-digest': digestOf(layer.indexBytes) }
      return new Response(layer.indexBytes, { headers })
    }
    if (match[2] === 'reads' && request.method === 'PUT') {
      this.told.push((await request.json()) as number[])
      return new Response(null, { status: 204 })
    }
    if (match[2] === 'reads') return Response.json(this.reads)
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get('range') ?? '')
    if (!range) return new Response(layer.bytes)
    const [from, to] = [Number(range[1]), Number(range[2]) + 1]
    const asked = {
      digest: match[1]!,
      from,
      to,
      prefetch: request.headers.get('shoal-prefetch'),
      fresh: request.headers.get('cache-control') === 'no-cache',
      priority: request.headers.get('priority'),
    }
    this.asked.push(asked)
    const right = layer.bytes.subarray(from, to)
    const headers = { 'content-range': `bytes ${from}-${to - 1}/${layer.bytes.length}` }
    return (await this.bend(asked, right)) ?? new Response(right, { status: 206, headers })
  }
}

export function refusal(status: number, message: string): Response {
  return Response.json({ errors: [{ code: 'UNAVAILABLE', message }] }, { status })
}
