/** The records of a PAX extended header (POSIX pax, "pax Header Block"), byte for byte: values may be binary. */
import { refuse, shown } from './problem.ts'

/** In the order of the tar: GNU's first form of sparse files repeats its keys. */
export type PaxRecord = readonly [key: string, value: string]

/** @throws {Failure} for what is not well-formed */
export function paxRecords(bytes: Uint8Array, at: number): PaxRecord[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  const records: PaxRecord[] = []
  // What follows the last record may be filled with NULs.
  for (let i = 0; i < text.length && text[i] !== '\0'; ) {
    const space = text.indexOf(' ', i)
    const digits = space < 0 || space - i > 8 ? '' : text.slice(i, space)
    const end = /^[0-9]+$/.test(digits) ? i + Number(digits) : 0
    if (end <= space + 1 || end > text.length || text[end - 1] !== '\n') refuse(at, 'a PAX record has a wrong length')
    const equals = text.indexOf('=', space)
    if (equals < 0 || equals >= end || equals === space + 1) refuse(at, 'a PAX record has no key')
    const key = text.slice(space + 1, equals)
    if (key.includes('\0')) refuse(at, `a PAX record has the key ${shown(key)}`)
    records.push([key, text.slice(equals + 1, end - 1)])
    i = end
  }
  return records
}

/** `1234.5678`: seconds since 1970 and a fraction of which nine digits count. */
export function paxTime(value: string): { seconds: number; nanos: number } | undefined {
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(value)
  if (!match) return undefined
  const [, sign = '', whole = '', fraction = ''] = match
  const seconds = Number(whole)
  const nanos = Number(fraction.slice(0, 9).padEnd(9, '0'))
  if (sign === '') return { seconds, nanos }
  // Before 1970 the fraction leads further back.
  return nanos === 0 ? { seconds: 0 - seconds, nanos } : { seconds: -seconds - 1, nanos: 1e9 - nanos }
}

export function paxNumber(value: string): number | undefined {
  const number = /^-?[0-9]{1,16}$/.test(value) ? Number(value) : Number.NaN
  return Number.isSafeInteger(number) ? number : undefined
}
