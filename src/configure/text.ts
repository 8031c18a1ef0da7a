/** Texts that are edited in place: what surrounds an edit keeps its byte order mark and its line ends. */
import { Refusal } from './plan.ts'

export interface Text {
  /** The byte order mark, or nothing. */
  readonly mark: string
  readonly body: string
  /** How its lines end, most of them. */
  readonly eol: '\n' | '\r\n'
}

export function textOf(whole: string): Text {
  const mark = whole.startsWith('\uFEFF') ? '\uFEFF' : ''
  const body = whole.slice(mark.length)
  const lines = body.split('\n').length - 1
  const crlf = body.split('\r\n').length - 1
  return { mark, body, eol: crlf * 2 > lines ? '\r\n' : '\n' }
}

/** @throws {Refusal} what is not UTF-8 could not be written back as it was */
export function decode(bytes: Uint8Array, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new Refusal(`${path} is not UTF-8 text, so it is left alone; save it as UTF-8, and run this again`)
  }
}

export function spliced(text: string, start: number, end: number, put: string): string {
  return text.slice(0, start) + put + text.slice(end)
}

export function lineOf(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}

/** Where the line begins that `offset` is on. */
export function lineStart(text: string, offset: number): number {
  return text.lastIndexOf('\n', offset - 1) + 1
}

/** Where the next line begins, or the end. */
export function lineEnd(text: string, offset: number): number {
  const at = text.indexOf('\n', offset)
  return at < 0 ? text.length : at + 1
}
