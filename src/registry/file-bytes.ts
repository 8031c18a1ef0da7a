/**
 * The bytes of a file on their way to a client. What is in the page cache is read on this thread, and the rest on the
 * thread pool, where a slow disk stops nobody: a hop to another thread and back costs more than the copy it is for.
 *
 * Nobody tells beforehand which it will be, so it is tried: a read that came quickly is followed by another like it, the
 * kernel reading ahead; after one that took long the next ones go to the pool. Measured (Bun
 * 1.4.5, 1 GB from the page cache to curl over loopback, GB/s and CPU-seconds per GB): in chunks of 512 KiB on this
 * thread 1.9-2.7 and 0.38, through the pool 1.3-1.8 and 0.56; of 256 KiB 1.3 and 0.67; docker-registry, which uses
 * sendfile, 1.5 and 0.67.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import type { BlobReader, WholeFile } from '../content/content.ts'
import { Failure } from '../failure.ts'
import type { Span } from '../store/blob-store.ts'
import { readAt } from '../store/open-files.ts'
import { isUnreadable } from '../store/unreadable.ts'

const chunkBytes = 512 * 1024
/** Below this the work for each chunk is more than that for its bytes. */
const leastBytes = 64 * 1024
/** What the chunks of all files that are being sent may take together, before they get shorter. */
const memoryBytes = 64 * 1024 * 1024
/** The first chunk is short, for somebody waits for the first byte. */
const firstBytes = 64 * 1024
/** A copy from memory takes a tenth of a millisecond; who waited for longer than this has waited for a disk. */
const slowMs = 3
/** How many reads go to the pool after a slow one, before another is tried on this thread. */
const careful = 32

/** Most bytes of chunks that are kept for the files to come, and when none is being sent. */
const spareBytes = 8 * 1024 * 1024
const restBytes = 2 * 1024 * 1024

/**
 * Files that are being sent at a time: a thousand clients that take nothing must not hold a thousand long chunks. Their
 * memory is used again: a fresh chunk for each of a thousand small blobs is garbage that stays until a collection, which
 * an idle node has no reason for.
 */
export class Sending {
  #open = 0
  readonly #spare = new Map<number, Buffer[]>()
  #spareBytes = 0

  get open(): number {
    return this.#open
  }

  /** The result is called when it is over. */
  begin(): () => void {
    this.#open++
    let over = false
    return () => {
      if (over) return
      over = true
      this.#open--
      if (this.#open === 0 && this.#spareBytes > restBytes) this.#forget()
    }
  }

  /** How long the chunks of one more file may be: a power of two, so that others can use them later. */
  get chunkBytes(): number {
    const share = memoryBytes / Math.max(1, this.#open)
    return Math.max(leastBytes, Math.min(chunkBytes, 2 ** Math.floor(Math.log2(share))))
  }

  /** Memory for a chunk, with anything in it. */
  take(length: number): Buffer {
    const kept = this.#spare.get(length)?.pop()
    if (!kept) return Buffer.allocUnsafeSlow(length)
    this.#spareBytes -= length
    return kept
  }

  /** Nobody looks at it any more. */
  give(chunk: Buffer): void {
    if (chunk.length < leastBytes || this.#spareBytes + chunk.length > spareBytes) return
    this.#spareBytes += chunk.length
    const kept = this.#spare.get(chunk.length)
    if (kept) kept.push(chunk)
    else this.#spare.set(chunk.length, [chunk])
  }

  #forget(): void {
    this.#spare.clear()
    this.#spareBytes = 0
  }
}

/**
 * The bytes of a span of a blob whose file may be sent. When the file changes on the way, what is left is read with care;
 * a chunk that was read at that moment has not gone out.
 */
export async function* wholeBytes(
  { path, sound }: WholeFile,
  reader: Pick<BlobReader, 'read'>,
  span: Span,
  signal: AbortSignal,
  sending?: Sending,
): AsyncGenerator<Uint8Array> {
  let at = span.start
  try {
    for await (const chunk of fileBytes(path, span, signal, sending)) {
      if (!sound(at) || !sound(at + chunk.length - 1)) break
      yield chunk
      at += chunk.length
    }
  } catch (error) {
    // What the disk cannot read comes from elsewhere, as what is wrong does.
    if (signal.aborted || (sound(at) && !isUnreadable(error))) throw error
  }
  if (at < span.end) yield* reader.read({ start: at, end: span.end }, signal)
}

/**
 * The bytes of a span of a file. All chunks share one buffer: each is valid until the next is asked for.
 * @throws {Failure} `unavailable` if the file cannot be opened, `corrupt` if it is shorter than the span
 */
export async function* fileBytes(
  path: string,
  span: Span,
  signal: AbortSignal,
  sending = new Sending(),
): AsyncGenerator<Uint8Array> {
  const fd = opened(path)
  const over = sending.begin()
  try {
    const most = sending.chunkBytes
    // Shorter than that: what is left of a file rarely has a length that another one has.
    const buffer = sending.take(span.end - span.start < leastBytes ? span.end - span.start : most)
    let untilQuick = 1
    for (let at = span.start; at < span.end; ) {
      signal.throwIfAborted()
      const length = Math.min(at === span.start ? firstBytes : most, span.end - at)
      const chunk = buffer.subarray(0, length)
      const begun = performance.now()
      const read = untilQuick > 0 ? await readAt(fd, chunk, at) : readSync(fd, chunk, 0, length, at)
      const slow = performance.now() - begun > slowMs
      untilQuick = slow && untilQuick === 0 ? careful : Math.max(0, untilQuick - 1)
      if (read === 0) throw new Failure('corrupt', `the file of a blob ends at byte ${at}: ${path}`)
      at += read
      yield chunk.subarray(0, read)
    }
    // Not of one that is broken off: its last chunk may still be on the way to a client that has left.
    sending.give(buffer)
  } finally {
    over()
    closeSync(fd)
  }
}

/** An open is as cheap as asking another thread for it; the store opens its files so as well. */
function opened(path: string): number {
  try {
    return openSync(path, 'r')
  } catch (cause) {
    throw new Failure('unavailable', `the file of a blob that is in the store cannot be opened: ${path}`, { cause })
  }
}
