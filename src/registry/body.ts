/** What a blob response consists of, decided before a byte is sent: RFC 9110 sections 15.3.7 and 14.6. */
import type { BlobStat } from '../content/content.ts'
import { Failure } from '../failure.ts'
import { hexOf } from '../oci/digest.ts'
import { contentRange, type Resolution, unsatisfiedRange } from '../oci/range.ts'
import type { Span } from '../store/blob-store.ts'

/** A span of the blob, with the part header of a multipart body before it. */
export interface BodyPart {
  readonly head?: Uint8Array
  readonly span: Span
}

export interface BodyPlan {
  readonly status: 200 | 206
  readonly contentType: string
  readonly contentRange?: string
  /** Exact bytes of the body, part headers included. */
  readonly length: number
  readonly parts: readonly BodyPart[]
  readonly tail?: Uint8Array
}

export const octetStream = 'application/octet-stream'

/** @throws {Failure} `bad-range` when no range lies inside the blob */
export function planBody(blob: BlobStat, resolution: Resolution): BodyPlan {
  const { size } = blob
  const contentType = safeType(blob.mediaType)
  if (resolution.kind === 'unsatisfiable') {
    const detail = { size, contentRange: unsatisfiedRange(size) }
    throw new Failure('bad-range', `no byte of the range is in the blob: it has ${size}`, { detail })
  }
  if (resolution.kind === 'whole') {
    return { status: 200, contentType, length: size, parts: size === 0 ? [] : [{ span: { start: 0, end: size } }] }
  }
  const [first, ...others] = resolution.ranges
  if (first && others.length === 0) {
    const length = first.end - first.start
    return { status: 206, contentType, contentRange: contentRange(first, size), length, parts: [{ span: first }] }
  }
  // The digest names the content, so content that contains this boundary would have to contain its own digest.
  const boundary = `shoal-${hexOf(blob.digest).slice(0, 40)}`
  const encoder = new TextEncoder()
  const parts = resolution.ranges.map((range) => ({
    head: encoder.encode(
      `\r\n--${boundary}\r\nContent-Type: ${contentType}\r\nContent-Range: ${contentRange(range, size)}\r\n\r\n`,
    ),
    span: range,
  }))
  const tail = encoder.encode(`\r\n--${boundary}--\r\n`)
  const length = parts.reduce((sum, part) => sum + part.head.length + part.span.end - part.span.start, tail.length)
  return { status: 206, contentType: `multipart/byteranges; boundary=${boundary}`, length, parts, tail }
}

/** A media type comes from a manifest that anybody may have written: what is not one is not repeated in a header. */
export function safeType(mediaType: string): string {
  return /^[A-Za-z0-9!#$&^_.+-]{1,127}\/[A-Za-z0-9!#$&^_.+-]{1,127}(?:; ?[a-z0-9-]+=[A-Za-z0-9._-]+)*$/.test(mediaType)
    ? mediaType
    : octetStream
}

/**
 * The bytes of a planned body, in order. A part's header comes out only once the first bytes of its span are there,
 * so whoever awaits the first chunk knows that the content began to arrive. A chunk is valid until the next is asked
 * for.
 * @throws {Failure} `corrupt` if `read` gives more or less than the span: the body must not end as if it were whole
 */
export async function* bytesOf(
  plan: BodyPlan,
  read: (span: Span) => AsyncIterable<Uint8Array>,
  count: (bytes: number) => void,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (const { span, head } of plan.parts) {
    let left = span.end - span.start
    let unsent = head
    for await (const chunk of read(span)) {
      if (chunk.length > left) throw new Failure('corrupt', `the blob gave more bytes than ${span.start}-${span.end}`)
      if (unsent) yield unsent
      unsent = undefined
      left -= chunk.length
      count(chunk.length)
      yield chunk
    }
    if (left > 0) throw new Failure('corrupt', `the blob ended ${left} bytes before byte ${span.end}`)
  }
  if (plan.tail) yield plan.tail
}
