/** Unpacks a span of a layer from its point on, whatever packed it. */
import { Failure } from '../failure.ts'
import { GzipResume } from './gzip-resume.ts'
import { libz } from './libz.ts'
import { type Compression, type Points, packedWindow } from './points.ts'
import { standardSpacing } from './spacing.ts'
import type { Span } from './span.ts'
import type { Out } from './unpacker.ts'
import { unpackWindow } from './window.ts'
import { ZstdScan } from './zstd-scan.ts'

export interface Resumed extends Disposable {
  /**
   * The span's compressed bytes, in order, cut anywhere. They are used up when it returns.
   * @throws {Failure} `corrupt`
   */
  push(bytes: Uint8Array): void
}

/**
 * `out` is given the unpacked bytes from `span.at` to before `span.until`, in order, as they come out. They are its own
 * only until it returns, and nobody has checked them: compressed bytes that are wrong make wrong ones.
 * @throws {Failure} `corrupt`, or `unavailable` where {@link whyWhole} says why
 */
export function resume(layer: { compression: Compression; points: Points }, span: Span, out: Out): Resumed {
  const { compression, points } = layer
  if (compression === 'zstd') return new ZstdScan(out, standardSpacing, span.at)
  if (compression === 'gzip')
    return new GzipResume(span.at, points.bits[span.point]!, unpackWindow(packedWindow(points, span.point)), out)
  let at = span.at
  return {
    push(bytes) {
      if (bytes.length > 0) out(at, bytes)
      at += bytes.length
    },
    [Symbol.dispose]() {},
  }
}

/** Why layers packed like that come whole on this host, though there are indexes of them. */
export function whyWhole(compression: Compression, load: () => unknown = libz): string | undefined {
  if (compression !== 'gzip') return undefined
  try {
    load()
    return undefined
  } catch (error) {
    return Failure.from(error).message
  }
}
