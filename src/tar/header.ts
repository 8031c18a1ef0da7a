/**
 * The 512-byte block that begins an entry: POSIX ustar, GNU, and the old form without a magic.
 *
 * Own code instead of the `tar-stream` and `tar` packages: they give names as text, which loses bytes that are not
 * UTF-8, and know nothing of GNU's sparse files; tar-stream keeps its decoder to itself. Where tars disagree, this
 * reads as Go's archive/tar does, because that is what the engines unpack with.
 */
import { refuse } from './problem.ts'

export const blockBytes = 512

export interface Header {
  readonly name: string
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Bytes that follow, before padding. */
  readonly size: number
  readonly seconds: number
  /** The character, `\0` for the oldest form of a file. */
  readonly flag: string
  readonly linkname: string
  readonly form: 'ustar' | 'gnu' | 'old'
  readonly major: number
  readonly minor: number
}

/** `undefined` for an empty block. @throws {Failure} for what is no header */
export function decodeHeader(bytes: Uint8Array, at: number): Header | undefined {
  const block = Buffer.from(bytes.buffer, bytes.byteOffset, blockBytes)
  const sums = sumsOf(block)
  if (sums.unsigned === emptySum && block.every((byte) => byte === 0)) return undefined
  const sum = octal(block, 148, 8)
  if (sum !== sums.unsigned && sum !== sums.signed) refuse(at, 'a header has a wrong checksum')
  const form = formOf(block)
  const flag = String.fromCharCode(block[156]!)
  const isDevice = flag === '3' || flag === '4'
  const number = (from: number, length: number, what: string) =>
    numberOf(block, from, length) ?? refuse(at, `a header has a ${what} that is no number`)
  return {
    name: nameOf(block, form),
    mode: number(100, 8, 'mode') & 0o7777,
    uid: number(108, 8, 'user'),
    gid: number(116, 8, 'group'),
    size: number(124, 12, 'size'),
    seconds: number(136, 12, 'time'),
    flag,
    linkname: textOf(block, 157, 100),
    form,
    major: isDevice && form !== 'old' ? number(329, 8, 'device') : 0,
    minor: isDevice && form !== 'old' ? number(337, 8, 'device') : 0,
  }
}

/** Octal digits, or base 256 where the first bit is set (GNU's, for what octal cannot say); `undefined` for neither. */
export function numberOf(block: Buffer, from: number, length: number): number | undefined {
  if (block[from]! & 0x80) return base256(block, from, length)
  return octal(block, from, length)
}

export function textOf(block: Buffer, from: number, length: number): string {
  const end = block.indexOf(0, from)
  return block.toString('latin1', from, end < 0 ? from + length : Math.min(end, from + length))
}

/** The sum of a block of zeros: its own field counts as spaces. */
const emptySum = 8 * 32

/** Some old tars took bytes for signed. */
function sumsOf(block: Buffer): { unsigned: number; signed: number } {
  let unsigned = emptySum
  let high = 0
  for (let i = 0; i < blockBytes; i++) {
    if (i === 148) i = 156
    const byte = block[i]!
    unsigned += byte
    high += byte >> 7
  }
  return { unsigned, signed: unsigned - 256 * high }
}

function formOf(block: Buffer): Header['form'] {
  const magic = block.toString('latin1', 257, 265)
  if (magic === 'ustar  \0') return 'gnu'
  return magic.startsWith('ustar\0') ? 'ustar' : 'old'
}

function nameOf(block: Buffer, form: Header['form']): string {
  const name = textOf(block, 0, 100)
  const prefix = prefixOf(block, form)
  return prefix === '' ? name : `${prefix}/${name}`
}

function prefixOf(block: Buffer, form: Header['form']): string {
  if (form === 'old') return ''
  if (form === 'ustar') {
    // The "star" form keeps times behind a shorter prefix.
    const isStar = block.toString('latin1', 508, 512) === 'tar\0'
    return textOf(block, 345, isStar ? 131 : 155)
  }
  // GNU has two times there. Go before 1.8 wrote some long names as if it had a prefix (golang.org/issue/12594), and
  // every Go since then takes for one what is no time.
  const areTimes = [345, 357].every((from) => block[from] === 0 || numberOf(block, from, 12) !== undefined)
  const prefix = areTimes ? '' : textOf(block, 345, 155)
  return isAscii(prefix) ? prefix : ''
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= 0x80) return false
  return true
}

function octal(block: Buffer, from: number, length: number): number | undefined {
  let i = from
  let end = from + length
  while (i < end && (block[i] === 0x20 || block[i] === 0)) i++
  const nul = block.indexOf(0, i)
  if (nul >= 0 && nul < end) end = nul
  while (end > i && block[end - 1] === 0x20) end--
  let value = 0
  for (; i < end; i++) {
    const digit = block[i]! - 0x30
    if (digit < 0 || digit > 7) return undefined
    value = value * 8 + digit
  }
  return value
}

/** Two's complement, the highest bit taken for the mark; what a number cannot hold exactly is none. */
function base256(block: Buffer, from: number, length: number): number | undefined {
  const isNegative = (block[from]! & 0x40) !== 0
  let value = BigInt(block[from]! & 0x3f)
  for (let i = from + 1; i < from + length; i++) value = (value << 8n) | BigInt(block[i]!)
  if (isNegative) value -= 1n << BigInt(8 * length - 2)
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : undefined
}
