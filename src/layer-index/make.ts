/** Makes the index of a layer in one pass over its bytes: they are unpacked, digested and read as a tar as they come. */
import type { Algorithm, Digest } from '../oci/digest.ts'
import { GzipScan } from '../zran/gzip-scan.ts'
import type { Compression } from '../zran/points.ts'
import { type Out, PlainScan, type Unpacker } from '../zran/unpacker.ts'
import { ZstdScan } from '../zran/zstd-scan.ts'
import { refuseOthers, withKind } from './kind.ts'
import type { LayerIndex } from './layer-index.ts'
import { TreeReader } from './tree.ts'

export interface MakeOptions {
  /** Of the layer's name. */
  readonly algorithm?: Algorithm
  /** Of the unpacked layer; a longer one is refused. */
  readonly mostBytes?: number
  /** Told of compressed bytes as they are read. */
  readonly progress?: (done: number) => void
}

/**
 * The index is a function of the layer's bytes: whatever else is given says only what is refused.
 * @throws {Failure} `unsupported` and `too-large` when the layer cannot be indexed, `corrupt` when it is no layer
 */
export async function makeIndex(
  bytes: AsyncIterable<Uint8Array>,
  mediaType: string,
  { algorithm = 'sha256', mostBytes, progress }: MakeOptions = {},
): Promise<LayerIndex> {
  refuseOthers(mediaType)
  const { compression, stream } = await withKind(bytes)
  const tree = new TreeReader(mostBytes)
  using unpacker = unpackerOf(compression, (_, unpacked) => tree.push(unpacked))
  const hasher = new Bun.CryptoHasher(algorithm)
  let compressedSize = 0
  for await (const part of stream) {
    hasher.update(part)
    unpacker.push(part)
    compressedSize += part.length
    progress?.(compressedSize)
  }
  const points = unpacker.end()
  const layer = `${algorithm}:${hasher.digest('hex')}` as Digest
  return { layer, compression, compressedSize, points, ...tree.end() }
}

function unpackerOf(compression: Compression, out: Out): Unpacker {
  if (compression === 'gzip') return new GzipScan(out)
  if (compression === 'zstd') return new ZstdScan(out)
  return new PlainScan(out)
}
