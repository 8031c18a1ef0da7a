/**
 * The answer to a request for a piece, read from a connection's bytes as they come, however they are cut. As much of
 * HTTP/1.1 (RFC 9112) as a peer port speaks, and strictly: what is odd is refused, not guessed at. Whoever sends it is not
 * trusted, so nothing is kept but a head of bounded length and the bytes of the body that somebody asked for. Pure.
 */
import type { NodeCard } from '../../cluster/node-info.ts'
import { Failure } from '../../failure.ts'
import { cardIn } from '../card.ts'
import { headers } from '../rules.ts'
import { ChunkReader } from './chunks.ts'

/** A peer port's heads have 200 bytes. */
export const headBytes = 4096
/** A refusal's body is read past, so that the connection can be used again; a longer one is not worth it. */
const refusalBytes = 16 * 1024

export interface AnswerHead {
  readonly status: number
  /** Bytes of the body; undefined where the head does not say. */
  readonly length: number | undefined
  /** What the head says of the piece; undefined where it does not. */
  readonly piece: number | undefined
  readonly pieceLength: number | undefined
  /** The body comes in chunks: its length is said nowhere in the head. */
  readonly chunked: boolean
  /** Who has it instead, where the head says so. */
  readonly elsewhere: NodeCard | undefined
}

const endOfHead = Buffer.from('\r\n\r\n')
const statusLine = /^HTTP\/1\.1 (\d{3})(?: |$)/
const headerLine = /^([!#$%&'*+.^_`|~\dA-Za-z-]+):[ \t]*(.*)$/
const wholeNumber = /^\d{1,10}$/
const known = new Set<string>([
  ...['content-length', 'transfer-encoding', 'connection'],
  ...[headers.piece, headers.length, headers.elsewhere, headers.url, headers.zone],
])

export class AnswerReader {
  readonly #bodyFor: (head: AnswerHead) => Uint8Array | undefined
  /** The head as far as it is here. */
  #head: Uint8Array | undefined
  #began = false
  #headDone = false
  /** Where the body goes; undefined when it is read past. */
  #body: Uint8Array | undefined
  #at = 0
  #length = 0
  #keep = false
  /** Set when the body comes in chunks. */
  #chunks: ChunkReader | undefined
  readonly #came: (upTo: number) => void

  /**
   * @param bodyFor called with the head; returns room for exactly its `length` bytes, or undefined to read past them; of a
   * body in chunks the room says how many there have to be. What it throws is thrown by {@link feed}.
   * @param came told how many bytes of the body are in that room, as they come
   */
  constructor(bodyFor: (head: AnswerHead) => Uint8Array | undefined, came: (upTo: number) => void = () => {}) {
    this.#bodyFor = bodyFor
    this.#came = came
  }

  /** Something of the answer has come. */
  get began(): boolean {
    return this.#began
  }
  /** The answer is whole, and the connection can carry another. */
  get keep(): boolean {
    return this.#keep
  }

  /**
   * True when the answer is whole. `chunk` is not kept.
   * @throws {Failure} `unavailable` when this is no answer of a peer port; the connection is of no more use then
   */
  feed(chunk: Uint8Array): boolean {
    this.#began = true
    const rest = this.#headDone ? chunk : this.#feedHead(chunk)
    if (rest === undefined) return false
    if (!this.#chunks) this.#take(rest)
    else if (this.#chunks.feed(rest, (part) => this.#take(part)) && this.#at < this.#length) {
      throw odd(`${this.#at} of ${this.#length} bytes of a piece`)
    }
    if (this.#body && rest.length > 0) this.#came(this.#at)
    return this.#chunks?.over ?? this.#at === this.#length
  }

  #take(bytes: Uint8Array): void {
    if (bytes.length > this.#length - this.#at) throw odd('more than it announced')
    this.#body?.set(bytes, this.#at)
    this.#at += bytes.length
  }

  /** The part of the body that came with the end of the head; undefined while that is still to come. */
  #feedHead(chunk: Uint8Array): Uint8Array | undefined {
    const before = this.#head?.length ?? 0
    const head = this.#head ? Buffer.concat([this.#head, chunk.subarray(0, headBytes - before)]) : view(chunk)
    const end = head.subarray(0, headBytes).indexOf(endOfHead)
    if (end < 0) {
      if (head.length >= headBytes) throw odd('a head that is too long')
      this.#head = Buffer.from(head)
      return undefined
    }
    this.#head = undefined
    this.#headDone = true
    const { keep, ...said } = parseHead(head.toString('latin1', 0, end))
    this.#body = this.#bodyFor(said)
    this.#length = said.length ?? 0
    if (said.chunked && this.#body) this.#chunks = new ChunkReader()
    if (this.#chunks) this.#length = this.#body!.length
    const short = said.length !== undefined && (this.#body !== undefined || said.length <= refusalBytes)
    const bounded = short || this.#chunks !== undefined
    this.#keep = keep && bounded
    // The rest of a refusal that is long, or of unknown length, goes down with the connection.
    if (!bounded) this.#length = 0
    const rest = chunk.subarray(end + endOfHead.length - before)
    return bounded ? rest : rest.subarray(0, 0)
  }
}

/** @throws {Failure} `unavailable` */
export function parseHead(text: string): AnswerHead & { readonly keep: boolean } {
  const [first = '', ...lines] = text.split('\r\n')
  const status = Number(statusLine.exec(first)?.[1] ?? 0)
  // Nobody asked for an interim answer, which would have another head behind it.
  if (status < 200) throw odd('something that is not HTTP')
  const said = new Map<string, string>()
  for (const line of lines) {
    const [, name, value] = headerLine.exec(line) ?? []
    if (name === undefined || value === undefined) throw odd('a head with a line that is no header')
    const key = name.toLowerCase()
    if (!known.has(key)) continue
    if (said.has(key)) throw odd(`two headers ${key}`)
    said.set(key, value.trim())
  }
  const number = (name: string): number | undefined => {
    const value = said.get(name)
    if (value === undefined) return undefined
    if (!wholeNumber.test(value)) throw odd(`a header ${name} that is no number`)
    return Number(value)
  }
  const length = number('content-length')
  const chunked = said.has('transfer-encoding')
  return {
    status,
    // A body in chunks says its length nowhere; with both headers, neither is to be believed (RFC 9112, 6.1).
    length: chunked ? undefined : length,
    chunked: chunked && length === undefined && said.get('transfer-encoding')?.toLowerCase() === 'chunked',
    elsewhere: elsewhereIn(said),
    piece: number(headers.piece),
    pieceLength: number(headers.length),
    keep: !said.has('connection') || said.get('connection')?.toLowerCase() === 'keep-alive',
  }
}

function elsewhereIn(said: ReadonlyMap<string, string>): NodeCard | undefined {
  const id = said.get(headers.elsewhere)
  if (id === undefined) return undefined
  const card = cardIn(id, (name) => said.get(name))
  if (!card) throw odd('a node that is none')
  return card
}

function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function odd(what: string): Failure {
  return new Failure('unavailable', `the answer has ${what}`)
}
