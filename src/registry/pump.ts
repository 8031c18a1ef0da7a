/**
 * Moves a blob's bytes to the engine. A layer is gigabytes, so this is where the node's CPU goes.
 *
 * The bytes are written straight into node's response: a ReadableStream in a Response loses its Content-Length under
 * Bun's own server, and would need a copy of every chunk. Measured (Bun 1.4.5, 1 GiB from the page cache to curl over
 * loopback): positioned asynchronous reads into one buffer of 512 KiB 1.6-2.2 GB/s and 0.45-0.6 CPU-seconds per GB;
 * synchronous reads the same within noise, but a cold disk then stops the whole node; 256 KiB costs a third more CPU;
 * reading ahead into a second buffer gains nothing, the kernel does it already; `Bun.file().slice()` a third of it.
 *
 * A response that has begun is either completed with every byte it promised, or its connection is destroyed: the
 * client sees a short body and tries again, and never takes wrong bytes for whole ones.
 */
import { open } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import type { Span } from '../store/blob-store.ts'

const chunkBytes = 512 * 1024

/**
 * The bytes of a span of a file. All chunks share one buffer: each is valid until the next is asked for.
 * @throws {Failure} `unavailable` if the file cannot be opened, `corrupt` if it is shorter than the span
 */
export async function* fileBytes(path: string, span: Span, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r').catch((cause: unknown) => {
    throw new Failure('unavailable', `the file of a blob that is in the store cannot be opened: ${path}`, { cause })
  })
  try {
    const buffer = Buffer.allocUnsafeSlow(Math.min(chunkBytes, span.end - span.start))
    for (let at = span.start; at < span.end; ) {
      signal.throwIfAborted()
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, span.end - at), at)
      if (bytesRead === 0) throw new Failure('corrupt', `the file of a blob ends at byte ${at}: ${path}`)
      at += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await file.close()
  }
}

export interface PumpInit {
  readonly clock: Clock
  /** A client that takes no byte for this long is cut, in ms. */
  readonly idleMs: number
}

/**
 * Writes `first` and what follows from `rest` to `out` and ends it. A buffer that `rest` uses again is safe: each
 * chunk has left this process, or was copied by the socket, before the next is asked for.
 * @throws {Failure} `cancelled` if the client left or took nothing for too long; what `rest` throws. `out` is then
 * destroyed.
 */
export async function pump(
  first: IteratorResult<Uint8Array, void>,
  rest: AsyncIterator<Uint8Array, void>,
  out: Writable,
  init: PumpInit,
): Promise<void> {
  // Writing to a client that has just left is an error event, and one that nobody hears would end the process.
  out.on('error', () => {})
  try {
    for (let next = first; !next.done; next = await rest.next()) {
      if (!out.write(next.value)) await drained(out, init)
    }
    out.end()
  } catch (error) {
    out.destroy()
    throw error
  } finally {
    await rest.return?.()
  }
}

function drained(out: Writable, { clock, idleMs }: PumpInit): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (failure?: Failure) => {
      cancel()
      out.off('drain', drain)
      out.off('close', leave)
      out.off('error', leave)
      if (failure) reject(failure)
      else resolve()
    }
    const drain = () => settle()
    const leave = () => settle(new Failure('cancelled', 'the client closed the connection'))
    const cancel = clock.after(idleMs, () =>
      settle(new Failure('cancelled', `the client took no byte for ${Math.round(idleMs / 1000)} seconds`)),
    )
    out.on('drain', drain)
    out.on('close', leave)
    out.on('error', leave)
    if (out.destroyed) leave()
  })
}

/** The same bytes as a stream, for a request that came without a socket. */
export function streamOf(
  first: IteratorResult<Uint8Array, void>,
  rest: AsyncIterator<Uint8Array, void>,
  done: (error?: unknown) => void,
): ReadableStream<Uint8Array> {
  let next: IteratorResult<Uint8Array, void> | undefined = first
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        next ??= await rest.next()
        if (next.done) {
          controller.close()
          done()
        } else {
          controller.enqueue(next.value.slice())
        }
        next = undefined
      } catch (error) {
        controller.error(error)
        done(error)
      }
    },
    async cancel(reason) {
      await rest.return?.()
      done(reason ?? new Failure('cancelled', 'the client closed the connection'))
    },
  })
}
