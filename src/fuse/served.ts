/** What the server's thread and those that read the descriptor tell each other. */

/** A file as the reading threads know it: enough to answer for bytes that are verified. */
export interface ServedFile {
  readonly node: number
  /** Open for the whole process. */
  readonly fd: number
  readonly size: number
  /** See `ReadyMap`: one bit for each `block` bytes that may be answered from the file. */
  readonly block: number
  readonly bits: SharedArrayBuffer
  /** One 64-bit integer: the ctime of the file, in ns, that the bits hold for. */
  readonly ctime: SharedArrayBuffer
}

export type ToReader =
  | { readonly add: ServedFile }
  /** Answered with `removed` when no read of this thread uses the file any more. */
  | { readonly remove: number }
  | { readonly stop: true }

export type FromReader =
  | { readonly request: Uint8Array }
  | { readonly removed: number }
  /** The thread reads no more: it was told to, or the file system is gone. */
  | { readonly ended: 'stopped' | 'gone' }

/** Whether all of these bytes are verified. Pure. */
export function isReady(bits: Uint8Array, block: number, offset: number, length: number): boolean {
  if (length <= 0) return true
  const last = Math.floor((offset + length - 1) / block)
  for (let at = Math.floor(offset / block); at <= last; at++) {
    // Eight at once where they are all there.
    if ((at & 7) === 0 && at + 7 <= last && bits[at >> 3] === 0xff) {
      at += 7
      continue
    }
    if (((bits[at >> 3] ?? 0) & (1 << (at & 7))) === 0) return false
  }
  return true
}
