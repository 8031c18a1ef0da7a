/** A reading thread, seen from the server: what it is told, what it tells, and its end. */
import { ptr } from 'bun:ffi'
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import { errno, libc, systemError } from './libc.ts'
import type { ReaderData } from './reader.ts'
import type { FromReader, ToReader } from './served.ts'

const nonBlocking = 0o4000
const closeOnExec = 0o2000000

/** In the binary all is one file at its root, and threads are where they are below src; see scripts/build. */
const place = import.meta.url.includes('/$bunfs/') ? './fuse/reader.ts' : './reader.ts'

export class ReaderThread {
  /** How: it was told to, or the kernel has taken the file system away. Of itself it ends by an error alone. */
  readonly ended: Promise<'stopped' | 'gone' | Error>
  readonly #worker: Worker
  readonly #port: MessagePort
  readonly #wake: number
  readonly #removing = new Map<number, () => void>()
  #ended = false
  readonly #end = Promise.withResolvers<'stopped' | 'gone' | Error>()

  constructor(fuse: number, take: (request: Uint8Array) => void) {
    this.#wake = libc().eventfd(0, nonBlocking | closeOnExec)
    if (this.#wake < 0) throw systemError(errno(), 'eventfd')
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    this.ended = this.#end.promise
    port1.on('message', (message: FromReader) => {
      if ('request' in message) return take(message.request)
      if ('removed' in message) return this.#removed(message.removed)
      this.#over(message.ended)
    })
    const data: ReaderData = { fuse, wake: this.#wake, port: port2 }
    this.#worker = new Worker(new URL(place, import.meta.url), { workerData: data, transferList: [port2] })
    this.#worker.on('error', (error) => this.#over(error instanceof Error ? error : new Error(String(error))))
    this.#worker.on('exit', () => this.#over(new Error('it has ended, and nobody told it to')))
  }

  tell(message: ToReader): void {
    if (this.#ended) return
    this.#port.postMessage(message)
    const one = new Uint8Array(new BigUint64Array([1n]).buffer)
    libc().write(this.#wake, ptr(one), one.length)
  }

  remove(node: number): Promise<void> {
    if (this.#ended) return Promise.resolve()
    return new Promise((resolve) => {
      this.#removing.set(node, resolve)
      this.tell({ remove: node })
    })
  }

  async stop(): Promise<void> {
    this.tell({ stop: true })
    await this.ended
    await this.#worker.terminate()
  }

  #removed(node: number): void {
    this.#removing.get(node)?.()
    this.#removing.delete(node)
  }

  #over(how: 'stopped' | 'gone' | Error): void {
    if (this.#ended) return
    this.#ended = true
    for (const node of [...this.#removing.keys()]) this.#removed(node)
    this.#port.close()
    libc().close(this.#wake)
    this.#end.resolve(how)
  }
}
