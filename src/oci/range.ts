/**
 * Range requests in bytes, RFC 9110 section 14: parsed before the blob's size is known, resolved after.
 *
 * Own code instead of the `range-parser` package: that one answers 416 to `-n` where n is longer than the content
 * (section 14.1.2: the whole content is meant), refuses empty list elements (5.6.1.2: to be skipped), and turns a
 * reversed range into 416 where an invalid header is to be ignored.
 */
import { Failure } from '../failure.ts'

declare const brand: unique symbol
/** Bytes `start` to `end`, `end` exclusive, not empty, inside the content. Built by {@link resolveRanges} only. */
export interface ByteRange {
  readonly start: number
  readonly end: number
  readonly [brand]: 'ByteRange'
}

/** One range as it was asked for: `first-last` with an inclusive or open end, or the last `suffix` bytes. */
export type RangeSpec = { readonly first: number; readonly last?: number } | { readonly suffix: number }

export type Resolution =
  | { readonly kind: 'whole' }
  | { readonly kind: 'ranges'; readonly ranges: readonly ByteRange[] }
  | { readonly kind: 'unsatisfiable' }

/** More ranges than a lazy client asks for at once; each costs a part header and a disk read. */
export const mostRanges = 256

/**
 * What a `Range` header asks for; `undefined` when there is none, or one that is to be ignored: another unit, or not
 * well-formed.
 * @throws {Failure} `bad-request` for more than {@link mostRanges} ranges
 */
export function parseRanges(header: string | undefined): readonly RangeSpec[] | undefined {
  const set = /^bytes=(.*)$/i.exec(header ?? '')?.[1]
  if (set === undefined) return undefined
  const items = set
    .split(',')
    .map((item) => item.replace(/^[ \t]+|[ \t]+$/g, ''))
    .filter((item) => item !== '')
  const specs = items.map(parseSpec)
  if (specs.length === 0 || !specs.every((spec) => spec !== undefined)) return undefined
  if (specs.length > mostRanges) {
    throw new Failure('bad-request', `${specs.length} ranges in one request: at most ${mostRanges} are served`)
  }
  return specs
}

/**
 * The ranges of content of `size` bytes that are meant, in the order asked for; those outside it are left out.
 * @throws {Failure} `bad-request` if together they are longer than the content: they overlap to make work
 */
export function resolveRanges(specs: readonly RangeSpec[] | undefined, size: number): Resolution {
  if (!specs) return { kind: 'whole' }
  // The end of nothing is all of it, and no Content-Range can say so.
  if (size === 0 && specs.some((spec) => 'suffix' in spec && spec.suffix > 0)) return { kind: 'whole' }
  const ranges = specs.map((spec) => resolve(spec, size)).filter((range) => range.start < range.end)
  if (ranges.length === 0) return { kind: 'unsatisfiable' }
  if (ranges.reduce((sum, range) => sum + range.end - range.start, 0) > size) {
    throw new Failure('bad-request', `the ranges overlap: together they are longer than the ${size} bytes there are`)
  }
  return { kind: 'ranges', ranges }
}

/** `bytes 0-9/100` */
export function contentRange(range: ByteRange, size: number): string {
  return `bytes ${range.start}-${range.end - 1}/${size}`
}

/** What a 416 carries. */
export function unsatisfiedRange(size: number): string {
  return `bytes */${size}`
}

function parseSpec(item: string): RangeSpec | undefined {
  const match = /^(\d*)-(\d*)$/.exec(item)
  if (!match) return undefined
  const [, from = '', to = ''] = match
  if (from === '') return to === '' ? undefined : { suffix: position(to) }
  if (to === '') return { first: position(from) }
  const spec = { first: position(from), last: position(to) }
  return spec.first <= spec.last ? spec : undefined
}

/** Positions past what a number holds exactly are past the end of anything. */
function position(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER)
}

function resolve(spec: RangeSpec, size: number): ByteRange {
  if ('suffix' in spec) return { start: Math.max(0, size - spec.suffix), end: size } as ByteRange
  return { start: spec.first, end: Math.min(size, (spec.last ?? Number.MAX_SAFE_INTEGER - 1) + 1) } as ByteRange
}
