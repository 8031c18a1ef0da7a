/**
 * Unpacks a layer as a whole and reads its tree on the way, for layers that have no index: those that cannot be
 * begun in their middle, those that nobody made one of, and all gzip ones on a host without libz.
 */
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip, createZstdDecompress } from 'node:zlib'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Compression } from '../zran/points.ts'
import { ZstdFrames } from '../zran/zstd-frames.ts'
import { refuseOthers, withKind } from './kind.ts'
import type { LayerIndex } from './layer-index.ts'
import type { MakeOptions } from './make.ts'
import { TreeReader } from './tree.ts'

export type WholeLayer = Omit<LayerIndex, 'points'>

/**
 * `write` is given the unpacked bytes in order, and is waited for.
 * @throws {Failure} `corrupt`, `unsupported`, `too-large`; and whatever `write` throws
 */
export async function unpackWhole(
  bytes: AsyncIterable<Uint8Array>,
  mediaType: string,
  write: (at: number, bytes: Uint8Array) => Promise<void> | void,
  { algorithm = 'sha256', mostBytes, progress }: MakeOptions = {},
): Promise<WholeLayer> {
  refuseOthers(mediaType)
  const { compression, stream } = await withKind(bytes)
  const hasher = new Bun.CryptoHasher(algorithm)
  const tree = new TreeReader(mostBytes)
  let compressedSize = 0
  let at = 0
  // The unpacker of zstd takes a stream that was cut off for one that is whole.
  const frames = new ZstdFrames({ begin: () => {}, part: () => {}, end: () => {} })
  const counted = async function* () {
    for await (const part of stream) {
      hasher.update(part)
      if (compression === 'zstd') frames.push(part)
      compressedSize += part.length
      progress?.(compressedSize)
      yield part
    }
    if (!frames.mayEnd) throw new Failure('corrupt', 'this is no whole zstd stream: it ends too early')
  }
  for await (const part of unpacked(counted(), compression)) {
    tree.push(part)
    await write(at, part)
    at += part.length
  }
  const layer = `${algorithm}:${hasher.digest('hex')}` as Digest
  return { layer, compression, compressedSize, ...tree.end() }
}

async function* unpacked(stream: AsyncIterable<Uint8Array>, compression: Compression): AsyncIterable<Uint8Array> {
  if (compression === 'none') return yield* stream
  const unpacker = compression === 'gzip' ? createGunzip() : createZstdDecompress()
  let given = 0
  const counted = async function* () {
    for await (const part of stream) {
      given += part.length
      yield part
    }
  }
  const fed = pipeline(Readable.from(counted(), { objectMode: false }), unpacker)
  // Whoever reads the unpacker hears of it.
  fed.catch(() => {})
  try {
    yield* unpacker as AsyncIterable<Uint8Array>
    await fed
    // Zeros behind the last member end it silently, as long as they come in one part with it. Go's gzip, which engines
    // unpack with, takes none.
    if (compression === 'gzip' && unpacker.bytesWritten < given) throw new Failure('corrupt', trailing)
  } catch (cause) {
    if (isEarlyEnd(cause)) throw new Failure('corrupt', trailing, { cause })
    if (cause instanceof Failure || !isOfZlib(cause)) throw cause
    throw new Failure('corrupt', `this is no whole ${compression} stream: ${cause.message}`, { cause })
  } finally {
    unpacker.destroy()
  }
}

/** As who makes indexes says it. */
const trailing = 'bytes that are no gzip follow the last gzip member'

/** The unpacker has ended, and there are bytes that it was to be given still. */
function isEarlyEnd(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE'
}

function isOfZlib(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && /^(Z_|ZSTD_)/.test(String(error.code))
}
