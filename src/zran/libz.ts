/**
 * The host's zlib, through bun:ffi. `node:zlib` can neither stop at a deflate block nor begin in the middle of a stream,
 * and Bun keeps the functions of the zlib within it to itself.
 */
import { dlopen, type Pointer, ptr } from 'bun:ffi'
import { Failure } from '../failure.ts'

const functions = {
  inflateInit2_: { args: ['ptr', 'int', 'cstring', 'int'], returns: 'int' },
  inflate: { args: ['ptr', 'int'], returns: 'int' },
  inflateReset2: { args: ['ptr', 'int'], returns: 'int' },
  inflatePrime: { args: ['ptr', 'int', 'int'], returns: 'int' },
  inflateSetDictionary: { args: ['ptr', 'ptr', 'u32'], returns: 'int' },
  inflateEnd: { args: ['ptr'], returns: 'int' },
} as const

const open = (name: string) => dlopen(name, functions).symbols
export type Libz = ReturnType<typeof open>

let loaded: Libz | undefined

/** @throws {Failure} `unavailable` on a host that has no zlib: another one may have it */
export function libz(name = 'libz.so.1'): Libz {
  if (loaded && name === 'libz.so.1') return loaded
  try {
    const symbols = open(name)
    loaded ??= symbols
    return symbols
  } catch (cause) {
    throw new Failure(
      'unavailable',
      `gzip layers are neither indexed nor read from their middle on this host, for it has no ${name} (Debian: apt install zlib1g; Alpine: apk add zlib)`,
      { cause },
    )
  }
}

/** `z_stream` of zlib.h on 64-bit Linux: three pointers and five integers of the caller's, and what zlib keeps. */
const streamBytes = 112
const field = { nextIn: 0, availableIn: 8, nextOut: 24, availableOut: 32, message: 48, dataType: 88 } as const

export const wrapping = { raw: -15, gzip: 15 + 16 } as const
export const until = { full: 0, block: 5 } as const
export const outcome = { ok: 0, end: 1, stuck: -5 } as const

/** One inflate stream of libz. Nothing of it is freed before {@link Stream.close}. */
export class Stream implements Disposable {
  readonly #libz: Libz
  readonly #state = new DataView(new ArrayBuffer(streamBytes))
  readonly #address: Pointer
  #input: Uint8Array = new Uint8Array(0)
  #output: Uint8Array = new Uint8Array(0)
  #open = true

  constructor(wrapped: number, symbols: Libz = libz()) {
    this.#libz = symbols
    this.#address = ptr(this.#state)
    const code = symbols.inflateInit2_(this.#address, wrapped, version, streamBytes)
    if (code !== outcome.ok) throw new Failure('internal', `libz cannot begin to inflate (${code})`)
  }

  /** What is read next. The bytes must stay as they are until they are read. */
  set input(bytes: Uint8Array) {
    this.#input = bytes
    this.#state.setBigUint64(field.nextIn, BigInt(bytes.length === 0 ? 0 : ptr(bytes)), true)
    this.#state.setUint32(field.availableIn, bytes.length, true)
  }

  /** Where output goes next. */
  set output(room: Uint8Array) {
    this.#output = room
    this.#state.setBigUint64(field.nextOut, BigInt(room.length === 0 ? 0 : ptr(room)), true)
    this.#state.setUint32(field.availableOut, room.length, true)
  }

  /** Bytes of the input that were read. */
  get read(): number {
    return this.#input.length - this.#state.getUint32(field.availableIn, true)
  }

  /** Bytes of the output that were written. */
  get written(): number {
    return this.#output.length - this.#state.getUint32(field.availableOut, true)
  }

  /** At the beginning of a deflate block, or behind the last one. Tells only after `inflate(until.block)`. */
  get betweenBlocks(): boolean {
    return (this.#dataType & 128) !== 0
  }

  get inLastBlock(): boolean {
    return (this.#dataType & 64) !== 0
  }

  /** How many bits of the last byte read are not used yet. */
  get unusedBits(): number {
    return this.#dataType & 7
  }

  /** @throws {Failure} `corrupt` */
  inflate(flush: number): number {
    const code = this.#libz.inflate(this.#address, flush)
    if (code === outcome.ok || code === outcome.end || code === outcome.stuck) return code
    throw new Failure('corrupt', `this is no whole gzip stream: ${reasons[code] ?? `libz says ${code}`}`)
  }

  /** Begins anew. */
  reset(wrapped: number): void {
    this.#libz.inflateReset2(this.#address, wrapped)
  }

  /** Raw streams only, before anything was read: the stream begins with these bits, and may refer to this window. */
  begin(bits: number, value: number, window: Uint8Array): void {
    if (bits > 0) this.#libz.inflatePrime(this.#address, bits, value)
    if (window.length > 0) this.#libz.inflateSetDictionary(this.#address, ptr(window), window.length)
  }

  close(): void {
    if (this.#open) this.#libz.inflateEnd(this.#address)
    this.#open = false
  }

  [Symbol.dispose](): void {
    this.close()
  }

  get #dataType(): number {
    return this.#state.getInt32(field.dataType, true)
  }
}

/** zlib takes any version that begins with the same digit. */
const version = Buffer.from('1.2.11\0')

const reasons: Readonly<Record<number, string>> = {
  2: 'it wants a dictionary',
  [-2]: 'libz was called wrongly',
  [-3]: 'its data are damaged',
  [-4]: 'there is no memory left',
}
