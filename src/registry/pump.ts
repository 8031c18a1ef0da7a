/**
 * Moves a blob's bytes to the engine. A layer is gigabytes, so this is where the node's CPU goes.
 *
 * The bytes are written straight into node's response: a ReadableStream in a Response loses its Content-Length under
 * Bun's own server, and would need a copy of every chunk.
 *
 * A response that has begun is either completed with every byte it promised, or its connection is destroyed: the
 * client sees a short body and tries again, and never takes wrong bytes for whole ones.
 */
import type { Writable } from 'node:stream'
import { Failure } from '../failure.ts'

/**
 * Writes `first` and what follows from `rest` to `out` and ends it. A buffer that `rest` uses again is safe: each
 * chunk has left this process, or was copied by the socket, before the next is asked for.
 * @throws {Failure} `cancelled` if the client left or was cut; what `rest` throws. `out` is then destroyed.
 */
export async function pump(
  first: IteratorResult<Uint8Array, void>,
  rest: AsyncIterator<Uint8Array, void>,
  out: Writable,
): Promise<void> {
  // Writing to a client that has just left is an error event, and one that nobody hears would end the process.
  out.on('error', () => {})
  try {
    for (let next = first; !next.done; next = await rest.next()) {
      if (out.write(next.value)) await breath()
      else await drained(out)
    }
    out.end()
  } catch (error) {
    out.destroy()
    throw error
  } finally {
    await rest.return?.()
  }
}

/** Others get their turn, also beside a client that takes whatever it is given at once. */
const breath = () => new Promise<void>((resolve) => setImmediate(resolve))

function drained(out: Writable): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (failure?: Failure) => {
      out.off('drain', drain)
      out.off('close', leave)
      out.off('error', leave)
      if (failure) reject(failure)
      else resolve()
    }
    const drain = () => settle()
    const leave = () => settle(new Failure('cancelled', 'the connection to the client is closed'))
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
