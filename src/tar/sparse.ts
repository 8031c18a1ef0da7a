/**
 * Files with holes, in the four forms in which GNU tar writes them ("Storing Sparse Files"): a map of parts, and the
 * parts' bytes one after another. Old GNU keeps the map in the header and the blocks behind it; PAX 0.0 and 0.1 in
 * records; PAX 1.0 as decimal lines in front of the data.
 */
import type { Extent } from './entry.ts'
import { numberOf } from './header.ts'
import type { PaxRecord } from './pax.ts'
import { paxNumber } from './pax.ts'
import { refuse } from './problem.ts'

/** A part of a file that is there. */
export interface Part {
  readonly offset: number
  readonly length: number
}

/** Where old GNU headers and the blocks that extend them keep parts, and the mark that more follow. */
export const oldPlaces = {
  header: { parts: 386, count: 4, more: 482, size: 483 },
  extension: { parts: 0, count: 21, more: 504 },
} as const

export function oldParts(block: Uint8Array, place: { parts: number; count: number }, at: number): Part[] {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.length)
  const parts: Part[] = []
  for (let i = 0; i < place.count; i++) {
    const from = place.parts + 24 * i
    if (bytes[from] === 0) break
    parts.push(partOf(numberOf(bytes, from, 12), numberOf(bytes, from + 12, 12), at))
  }
  return parts
}

/** Of PAX 0.0 (pairs of records) and 0.1 (one record with commas); `undefined` when it has none. */
export function partsOfRecords(records: readonly PaxRecord[], at: number): Part[] | undefined {
  const map = records.findLast(([key]) => key === 'GNU.sparse.map')?.[1]
  const numbers =
    map === undefined
      ? records
          .filter(([key]) => key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes')
          .map(([, value]) => value)
      : map.split(',').filter((item) => item !== '')
  if (map === undefined && numbers.length === 0) return undefined
  return pairs(numbers, at)
}

/** Of PAX 1.0; `undefined` while the map goes on behind `text`. */
export function partsOfLines(text: string, at: number): Part[] | undefined {
  const first = text.indexOf('\n')
  if (first < 0) return undefined
  const count = paxNumber(text.slice(0, first))
  if (count === undefined || count < 0) refuse(at, 'the map of a sparse file has no count')
  const lines = text.slice(first + 1).split('\n')
  // Behind the last line break is the rest of a line, or padding.
  return lines.length - 1 < 2 * count ? undefined : pairs(lines.slice(0, 2 * count), at)
}

/** Where the parts lie, their bytes beginning at `at`. @throws {Failure} for parts that overlap or lie outside */
export function extentsOf(parts: readonly Part[], size: number, stored: number, at: number): Extent[] {
  const extents: Extent[] = []
  let place = at
  let end = 0
  for (const { offset, length } of parts) {
    if (offset < end || offset + length > size) refuse(at, 'the parts of a sparse file overlap or lie behind its end')
    end = offset + length
    if (length === 0) continue
    const last = extents.at(-1)
    // Parts without a hole between them are one.
    if (last && last.offset + last.length === offset) extents.splice(-1, 1, { ...last, length: last.length + length })
    else extents.push({ offset, at: place, length })
    place += length
  }
  if (place - at > stored) refuse(at, 'the parts of a sparse file are longer than what is stored of it')
  return extents
}

function pairs(numbers: readonly string[], at: number): Part[] {
  if (numbers.length % 2 !== 0) refuse(at, 'the map of a sparse file ends in half a part')
  return Array.from({ length: numbers.length / 2 }, (_, i) =>
    partOf(paxNumber(numbers[2 * i]!), paxNumber(numbers[2 * i + 1]!), at),
  )
}

function partOf(offset: number | undefined, length: number | undefined, at: number): Part {
  if (offset === undefined || length === undefined || offset < 0 || length < 0) {
    refuse(at, 'the map of a sparse file has something else than numbers')
  }
  return { offset, length }
}
