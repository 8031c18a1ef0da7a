/**
 * The FUSE wire format, as far as a read-only file server needs it: what the kernel asks, and the bytes of the answers.
 * Layouts are those of include/uapi/linux/fuse.h, protocol 7.x, in the byte order of the machine (little-endian on all
 * that shoal is built for). Pure.
 */

export const opcodes = {
  lookup: 1,
  forget: 2,
  getattr: 3,
  open: 14,
  read: 15,
  statfs: 17,
  release: 18,
  flush: 25,
  init: 26,
  interrupt: 36,
  destroy: 38,
  batchForget: 42,
  statx: 52,
} as const

export const inHeader = 40
export const outHeader = 16
/** The kernel wants room for the largest request it may send; without writes none is larger. */
export const requestRoom = 64 * 1024
/** Of the kernel's own making: 256 pages. */
export const mostRead = 1024 * 1024

export interface Request {
  readonly length: number
  readonly opcode: number
  /** Eight bytes that the answer repeats; also the name of the request for {@link opcodes.interrupt}. */
  readonly unique: bigint
  readonly node: number
}

/** Undefined for what is no request: shorter than its header, or than it says of itself. */
export function requestIn(view: DataView, length: number): Request | undefined {
  if (length < inHeader || view.getUint32(0, true) !== length) return undefined
  return {
    length,
    opcode: view.getUint32(4, true),
    unique: view.getBigUint64(8, true),
    node: Number(view.getBigUint64(16, true)),
  }
}

export interface ReadRequest {
  readonly offset: number
  readonly size: number
}

export function readIn(view: DataView): ReadRequest {
  return { offset: Number(view.getBigUint64(inHeader + 8, true)), size: view.getUint32(inHeader + 16, true) }
}

/** The request that is to be given up. */
export function interruptIn(view: DataView): bigint {
  return view.getBigUint64(inHeader, true)
}

/** The name that is looked up. */
export function nameIn(bytes: Uint8Array, length: number): string {
  const end = bytes.indexOf(0, inHeader)
  return new TextDecoder().decode(bytes.subarray(inHeader, end < 0 || end > length ? length : end))
}

export interface Init {
  readonly major: number
  readonly minor: number
  readonly maxReadahead: number
  readonly flags: bigint
}

export function initIn(view: DataView): Init {
  const flags = view.getUint32(inHeader + 12, true)
  // flags2 came with 7.36, and is there when FUSE_INIT_EXT says so.
  const more = (flags & initFlags.ext) !== 0 ? view.getUint32(inHeader + 16, true) : 0
  return {
    major: view.getUint32(inHeader, true),
    minor: view.getUint32(inHeader + 4, true),
    maxReadahead: view.getUint32(inHeader + 8, true),
    flags: BigInt(flags >>> 0) | (BigInt(more) << 32n),
  }
}

const initFlags = { asyncRead: 1, parallelDirops: 1 << 18, maxPages: 1 << 22, ext: 1 << 30 } as const
/** The kernel can be told to send again what was asked and not answered (FUSE_HAS_RESEND, Linux 6.9). */
export const hasResend = 1n << 39n

const wanted = BigInt(initFlags.asyncRead | initFlags.parallelDirops | initFlags.maxPages | initFlags.ext) | hasResend

/** Of our own making: how many reads ahead may wait at once; the kernel's usual 12 keeps a network idle. */
const background = 256

/** 7.31 is what the kernels of 5.4 speak; older ones are refused. */
export const oldest = { major: 7, minor: 31 } as const
const spoken = 40

export function initAnswer(asked: Init): Uint8Array {
  const view = new DataView(new ArrayBuffer(64))
  const flags = asked.flags & wanted
  view.setUint32(0, oldest.major, true)
  view.setUint32(4, Math.min(spoken, asked.minor), true)
  view.setUint32(8, Math.min(asked.maxReadahead, 4 * mostRead), true)
  view.setUint32(12, Number(flags & 0xffffffffn), true)
  view.setUint16(16, background, true)
  view.setUint16(18, (background * 3) / 4, true)
  view.setUint32(20, 4096, true)
  view.setUint32(24, 1, true)
  view.setUint16(28, mostRead / 4096, true)
  view.setUint32(32, Number(flags >> 32n), true)
  return bytesOf(view)
}

export interface Attributes {
  readonly node: number
  readonly size: number
  readonly directory: boolean
}

const regular = 0o100400
const directory = 0o040500
/** What we say stays: a day. Files never change and go only when nothing has them open. */
const validSeconds = 86_400n

function putAttributes(view: DataView, at: number, { node, size, directory: isDirectory }: Attributes): void {
  view.setBigUint64(at, BigInt(node), true)
  view.setBigUint64(at + 8, BigInt(size), true)
  view.setBigUint64(at + 16, BigInt(Math.ceil(size / 512)), true)
  view.setUint32(at + 60, isDirectory ? directory : regular, true)
  view.setUint32(at + 64, isDirectory ? 2 : 1, true)
  view.setUint32(at + 80, 4096, true)
}

export function entryAnswer(attributes: Attributes): Uint8Array {
  const view = new DataView(new ArrayBuffer(128))
  view.setBigUint64(0, BigInt(attributes.node), true)
  // No entry is kept: the file of a layer that went and came back is another.
  view.setBigUint64(24, validSeconds, true)
  putAttributes(view, 40, attributes)
  return bytesOf(view)
}

export function attributesAnswer(attributes: Attributes): Uint8Array {
  const view = new DataView(new ArrayBuffer(104))
  view.setBigUint64(0, validSeconds, true)
  putAttributes(view, 16, attributes)
  return bytesOf(view)
}

const keepCache = 1 << 1

export function openAnswer(): Uint8Array {
  const view = new DataView(new ArrayBuffer(16))
  view.setUint32(8, keepCache, true)
  return bytesOf(view)
}

export function statfsAnswer(files: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(80))
  view.setBigUint64(24, BigInt(files), true)
  view.setUint32(40, 4096, true)
  view.setUint32(44, 255, true)
  view.setUint32(48, 4096, true)
  return bytesOf(view)
}

/** A whole answer; `error` is a positive errno, 0 for none. */
export function answer(unique: bigint, error: number, body: Uint8Array = new Uint8Array()): Uint8Array {
  const bytes = new Uint8Array(outHeader + body.length)
  putAnswerHeader(new DataView(bytes.buffer), unique, error, body.length)
  bytes.set(body, outHeader)
  return bytes
}

export function putAnswerHeader(view: DataView, unique: bigint, error: number, length: number): void {
  view.setUint32(0, outHeader + length, true)
  view.setInt32(4, -error, true)
  view.setBigUint64(8, unique, true)
}

const notifyResend = 7

/** Asks the kernel to send again what was read from the descriptor and not answered. */
export function resendNotice(): Uint8Array {
  const view = new DataView(new ArrayBuffer(outHeader))
  view.setUint32(0, outHeader, true)
  view.setInt32(4, notifyResend, true)
  return bytesOf(view)
}

function bytesOf(view: DataView): Uint8Array {
  return new Uint8Array(view.buffer)
}
