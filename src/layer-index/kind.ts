/**
 * What packed a layer. Its first bytes say it, for media types lie: engines go by the bytes as well. Media types do say
 * what is no tar at all.
 */
import { Failure } from '../failure.ts'
import type { Compression } from '../zran/points.ts'

/** @throws {Failure} `unsupported` */
export function refuseOthers(mediaType: string): void {
  if (/\+encrypted\b/.test(mediaType))
    throw new Failure('unsupported', 'the layer is encrypted: it is fetched whole, and its engine decrypts it')
  if (mediaType !== '' && !/[./+-]tar\b|octet-stream/.test(mediaType))
    throw new Failure('unsupported', `"${mediaType.slice(0, 100)}" is no layer of a root file system`)
}

export const kindBytes = 4

/** @param first the first {@link kindBytes} of the layer, or all of it */
export function compressionOf(first: Uint8Array): Compression {
  if (first[0] === 0x1f && first[1] === 0x8b) return 'gzip'
  const zstd = first[1] === 0xb5 && first[2] === 0x2f && first[3] === 0xfd && first[0] === 0x28
  const skippable = first[1] === 0x2a && first[2] === 0x4d && first[3] === 0x18 && (first[0]! & 0xf0) === 0x50
  return zstd || skippable ? 'zstd' : 'none'
}

/** The stream again, its first part at least {@link kindBytes} long unless it is shorter as a whole. */
export async function withKind(
  stream: AsyncIterable<Uint8Array>,
): Promise<{ compression: Compression; stream: AsyncIterable<Uint8Array> }> {
  const iterator = stream[Symbol.asyncIterator]()
  let first = new Uint8Array(0)
  while (first.length < kindBytes) {
    const { done, value } = await iterator.next()
    if (done) break
    first = Buffer.concat([first, value])
  }
  return {
    compression: compressionOf(first),
    stream: (async function* () {
      try {
        if (first.length > 0) yield first
        for (;;) {
          const { done, value } = await iterator.next()
          if (done) return
          yield value
        }
      } finally {
        await iterator.return?.()
      }
    })(),
  }
}
