/**
 * Reads a tar as it arrives, and says what is in it and where: nothing is kept but what one entry needs. Built for
 * layers: what is not understood is a Failure, because a tree of which something is missing is worse than none.
 *
 * Caps: a stranger's tar may claim whatever it likes, and whoever listens keeps entries in memory.
 */
import { type Before, entryOf, lastOf, typeOf } from './compose.ts'
import type { Extent, LayerEntry, TarSink } from './entry.ts'
import { blockBytes, decodeHeader, type Header, numberOf } from './header.ts'
import { paxNumber, paxRecords } from './pax.ts'
import { refuse, shown } from './problem.ts'
import { extentsOf, oldParts, oldPlaces, type Part, partsOfLines, partsOfRecords } from './sparse.ts'

export const tarLimits = {
  /** Names in one tar. */
  entries: 1_000_000,
  /** Names, link targets and extended attributes together. */
  textBytes: 128 * 2 ** 20,
  /** Parts of all sparse files together. */
  parts: 1_000_000,
  /** One long name, PAX header or map of a sparse file. */
  specialBytes: 2 ** 20,
}

export type TarLimits = typeof tarLimits

/** What the bytes that are being collected are. */
type Wanted = 'header' | 'pax' | 'name' | 'target' | 'old-map' | 'lines'

export class TarReader {
  readonly #sink: TarSink
  readonly #limits: TarLimits
  /** Bytes that were taken so far. */
  #at = 0
  #wanted: Wanted = 'header'
  /** What is being collected, and how much of it is there. */
  #held = new Uint8Array(blockBytes)
  #have = 0
  /** Bytes of the latest entry's data that are to come; then bytes to skip. */
  #data = 0
  #skip = 0
  #emptyBlocks = 0
  #before: Before = { pax: [] }
  /** The sparse file whose map is being read. */
  #sparse: { header: Header; size: number; parts: Part[]; text: string; lines: number } | undefined
  #entries = 0
  #textBytes = 0
  #parts = 0

  constructor(sink: TarSink, limits: TarLimits = tarLimits) {
    this.#sink = sink
    this.#limits = limits
  }

  /** @throws {Failure} and is of no more use then */
  push(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; ) i += this.#take(bytes, i)
  }

  /** Says that nothing follows. @throws {Failure} when something is missing */
  end(): void {
    // Writers leave out the empty blocks at the end, and even the last padding.
    if (this.#data > 0 || this.#have > 0 || this.#wanted !== 'header')
      refuse(this.#at, 'it ends in the middle of an entry')
  }

  #take(bytes: Uint8Array, from: number): number {
    const there = bytes.length - from
    if (this.#emptyBlocks === 2) return this.#advance(there)
    if (this.#data > 0) {
      const length = Math.min(this.#data, there)
      this.#sink.data(this.#at, bytes.subarray(from, from + length))
      this.#data -= length
      return this.#advance(length)
    }
    if (this.#skip > 0) {
      const length = Math.min(this.#skip, there)
      this.#skip -= length
      return this.#advance(length)
    }
    const missing = this.#held.length - this.#have
    if (this.#have === 0 && there >= missing) {
      this.#advance(missing)
      this.#understand(bytes.subarray(from, from + missing))
      return missing
    }
    const length = Math.min(missing, there)
    this.#held.set(bytes.subarray(from, from + length), this.#have)
    this.#have += length
    this.#advance(length)
    if (this.#have === this.#held.length) {
      this.#have = 0
      this.#understand(this.#held)
    }
    return length
  }

  #advance(length: number): number {
    this.#at += length
    return length
  }

  /** Collects that many bytes next, and what fills their last block is skipped. */
  #want(wanted: Wanted, length: number): void {
    this.#wanted = wanted
    if (this.#held.length !== length) this.#held = new Uint8Array(length)
  }

  #understand(bytes: Uint8Array): void {
    const wanted = this.#wanted
    if (wanted === 'header') return this.#header(bytes)
    if (wanted === 'old-map') return this.#oldMap(bytes, oldPlaces.extension)
    if (wanted === 'lines') return this.#lines(bytes)
    // The last header of a kind counts, as in Go.
    if (wanted === 'pax') this.#before.pax = paxRecords(bytes, this.#at)
    else this.#before[wanted] = untilNul(bytes)
    this.#skip = paddingOf(bytes.length)
    this.#want('header', blockBytes)
  }

  #header(block: Uint8Array): void {
    const header = decodeHeader(block, this.#at - blockBytes)
    if (!header) {
      this.#emptyBlocks++
      return
    }
    if (this.#emptyBlocks > 0) refuse(this.#at, 'an empty block is followed by another entry')
    if (header.size < 0) refuse(this.#at, 'a header has a negative size')
    if (header.flag === 'x') return this.#special('pax', header)
    if (header.flag === 'L') return this.#special('name', header)
    if (header.flag === 'K') return this.#special('target', header)
    // Engines ignore records for all entries, and a volume's label is none.
    if (header.flag === 'g' || header.flag === 'V') {
      this.#skip = header.size + paddingOf(header.size)
      return
    }
    if (header.flag === 'S') {
      const size = numberOf(Buffer.from(block), oldPlaces.header.size, 12)
      if (size === undefined || size < 0) refuse(this.#at, 'a sparse file has no size')
      this.#sparse = { header, size, parts: [], text: '', lines: 0 }
      return this.#oldMap(block, oldPlaces.header)
    }
    this.#entry(header)
  }

  #special(wanted: 'pax' | 'name' | 'target', { size }: Header): void {
    if (size > this.#limits.specialBytes) {
      refuse(this.#at, `a name or PAX header of ${size} bytes: at most ${this.#limits.specialBytes} are read`)
    }
    if (size === 0) {
      if (wanted === 'pax') this.#before.pax = []
      return
    }
    this.#want(wanted, size)
  }

  /** Parts in the header of an old GNU sparse file and in the blocks behind it. */
  #oldMap(block: Uint8Array, place: { parts: number; count: number; more: number }): void {
    const sparse = this.#sparse!
    sparse.parts.push(...oldParts(block, place, this.#at))
    if (sparse.parts.length > this.#limits.specialBytes / 24) refuse(this.#at, 'the map of a sparse file is too long')
    if (block[place.more] !== 0) return this.#want('old-map', blockBytes)
    this.#want('header', blockBytes)
    this.#sparse = undefined
    this.#emit(sparse.header, this.#stored(sparse.header), sparse)
  }

  /** The map of a PAX 1.0 sparse file: lines in front of its data, of which the first says how many follow. */
  #lines(block: Uint8Array): void {
    const sparse = this.#sparse!
    const text = latin1(block)
    sparse.text += text
    for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) sparse.lines++
    const parts = sparse.lines < linesOf(sparse.text) ? undefined : partsOfLines(sparse.text, this.#at)
    if (parts) {
      const stored = this.#stored(sparse.header)
      if (stored < sparse.text.length) refuse(this.#at, 'the map of a sparse file is longer than what is stored of it')
      this.#want('header', blockBytes)
      this.#sparse = undefined
      return this.#emit(sparse.header, stored - sparse.text.length, { ...sparse, parts })
    }
    if (sparse.text.length >= this.#limits.specialBytes) refuse(this.#at, 'the map of a sparse file is too long')
  }

  /** An entry whose header, with all that stands before it, is there. */
  #entry(header: Header): void {
    const { pax } = this.#before
    const stored = this.#stored(header)
    const named = lastOf(pax, 'GNU.sparse.realsize') ?? lastOf(pax, 'GNU.sparse.size')
    if (named === undefined || typeOf(header, this.#before) !== 'file') return this.#emit(header, stored)
    const size = paxNumber(named)
    if (size === undefined || size < 0) refuse(this.#at, 'a sparse file has no size')
    if (lastOf(pax, 'GNU.sparse.major') === '1' && lastOf(pax, 'GNU.sparse.minor') === '0') {
      this.#sparse = { header, size, parts: [], text: '', lines: 0 }
      return this.#want('lines', blockBytes)
    }
    const parts = partsOfRecords(pax, this.#at)
    this.#emit(header, stored, parts && { parts, size })
  }

  /** Bytes that follow the header. Links, folders and devices have none, whatever their headers claim. */
  #stored(header: Header): number {
    const type = typeOf(header, this.#before)
    if (type === undefined) refuse(this.#at, `${shown(header.name)} is of the unknown kind ${shown(header.flag)}`)
    if (type !== 'file' && header.flag !== 'D') return 0
    const text = lastOf(this.#before.pax, 'size')
    const size = text === undefined ? header.size : paxNumber(text)
    if (size === undefined || size < 0) refuse(this.#at, 'an entry has a size that is no number')
    return size
  }

  #emit(header: Header, stored: number, sparse?: { parts: readonly Part[]; size: number }): void {
    const extents: readonly Extent[] = sparse
      ? extentsOf(sparse.parts, sparse.size, stored, this.#at)
      : stored > 0
        ? [{ offset: 0, at: this.#at, length: stored }]
        : []
    const entry = entryOf(header, this.#before, sparse?.size ?? stored, extents, this.#at)
    this.#before = { pax: [] }
    this.#count(entry)
    this.#data = entry.extents.reduce((sum, { length }) => sum + length, 0)
    // The map of a sparse file fills whole blocks, so that it changes nothing about the padding.
    this.#skip = stored - this.#data + paddingOf(stored)
    this.#sink.entry(entry)
  }

  #count({ path, target, xattrs, extents }: LayerEntry): void {
    this.#entries++
    this.#parts += extents.length > 1 ? extents.length : 0
    this.#textBytes += path.length + target.length
    for (const [name, value] of xattrs) this.#textBytes += name.length + value.length
    const { entries, parts, textBytes } = this.#limits
    if (this.#entries > entries) refuse(this.#at, `it has more than ${entries} entries`)
    if (this.#parts > parts) refuse(this.#at, `its sparse files have more than ${parts} parts`)
    if (this.#textBytes > textBytes) refuse(this.#at, `its names and attributes are longer than ${textBytes} bytes`)
  }
}

/** How many lines there are to be; that the first is no number is said by who reads them. */
function linesOf(text: string): number {
  const first = text.indexOf('\n')
  if (first < 0) return 1
  return 1 + 2 * (paxNumber(text.slice(0, first)) ?? 0)
}

function untilNul(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return latin1(end < 0 ? bytes : bytes.subarray(0, end))
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
}

function paddingOf(length: number): number {
  return (blockBytes - (length % blockBytes)) % blockBytes
}
