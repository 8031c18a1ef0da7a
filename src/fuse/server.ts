/**
 * A read-only FUSE file system of a few large files in one directory: the unpacked layers. Answers what its reading
 * threads pass on: names, attributes, and reads of bytes that have to be fetched first. Each of those is answered by its
 * deadline, with an error if need be: no process waits for ever.
 */
import { ptr } from 'bun:ffi'
import { type Clock, pause } from '../clock.ts'
import { LateReads } from './late-reads.ts'
import { errno, errnos, libc } from './libc.ts'
import {
  answer,
  attributesAnswer,
  entryAnswer,
  initAnswer,
  initIn,
  interruptIn,
  mostRead,
  nameIn,
  oldest,
  opcodes,
  openAnswer,
  type Request,
  readIn,
  requestIn,
  resendNotice,
  statfsAnswer,
} from './protocol.ts'
import { ReaderThread } from './reader-thread.ts'
import type { ServedFile } from './served.ts'

/** A file, as the server needs it. */
export interface FuseFile extends ServedFile {
  readonly name: string
  /**
   * Exactly these bytes, verified; rejects when they cannot be had before the signal aborts. With one that has aborted
   * before, what is here comes, and nothing else is waited for.
   */
  read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array>
}

export interface FuseServerInit {
  /** Of /dev/fuse, mounted or about to be; opened with O_NONBLOCK. */
  readonly fuse: number
  readonly clock: Clock
  readonly threads: number
  /** A read that has no bytes by then ends in EIO. */
  readonly readDeadlineMs: number
  /** Told of each read that failed, with the reason. */
  readonly failed?: (file: string, error: Error) => void
  /** Told of each reading thread that ended by itself, with the reason; another one takes its place. */
  readonly died?: (error: Error) => void
}

export interface FuseCounts {
  /** Reads that had to be fetched or verified first. */
  readonly slow: number
  readonly failed: number
  readonly waiting: number
}

export const rootNode = 1

/** A thread that cannot live is not started again and again at once. */
const startAgainMs = 1000
/** What is here comes within it, from a busy disk too. */
const hereMs = 1000
/** Between two looks at whether a file was closed. */
const lookEveryMs = 5

export class FuseServer {
  /** Resolves when the kernel has taken the file system away. */
  readonly gone: Promise<void>
  readonly #gone = Promise.withResolvers<void>()
  readonly #o: FuseServerInit
  readonly #byNode = new Map<number, FuseFile>()
  readonly #byName = new Map<string, FuseFile>()
  /** How often the kernel has each file open. */
  readonly #opened = new Map<number, number>()
  readonly #waiting = new Map<bigint, AbortController>()
  readonly #threads = new Set<ReaderThread>()
  #stopped = false
  readonly #late = new LateReads()
  readonly #counts = { slow: 0, failed: 0 }

  constructor(init: FuseServerInit) {
    this.#o = init
    this.gone = this.#gone.promise
  }

  /** Begins to answer. What was added before is known to the threads from their first request on. */
  start(): void {
    for (let i = 0; i < this.#o.threads; i++) this.#startThread()
  }

  #startThread(): void {
    const thread = new ReaderThread(this.#o.fuse, (bytes) => this.#take(bytes))
    this.#threads.add(thread)
    for (const file of this.#byNode.values()) thread.tell({ add: servedOf(file) })
    void thread.ended.then((how) => {
      if (how === 'gone') this.#gone.resolve()
      else if (how !== 'stopped') this.#replace(thread, how)
    })
  }

  /** What a thread had taken when it died is nobody's, and FUSE has no deadline: the kernel is to send it again. */
  #replace(thread: ReaderThread, error: Error): void {
    if (this.#stopped) return
    this.#threads.delete(thread)
    this.#o.died?.(error)
    this.#o.clock.after(startAgainMs, () => {
      if (this.#stopped) return
      this.#startThread()
      this.resend()
    })
  }

  get counts(): FuseCounts {
    return { ...this.#counts, waiting: this.#waiting.size }
  }

  /**
   * From now on there is a file of this name. Its `fd` must stay open until {@link remove} resolved. `opened`: how often a
   * server before this one has left it open.
   */
  add(file: FuseFile, opened = this.opened(file.name)): void {
    this.#opened.set(file.node, opened)
    this.#byNode.set(file.node, file)
    this.#byName.set(file.name, file)
    for (const thread of this.#threads) thread.tell({ add: servedOf(file) })
  }

  /**
   * How often the kernel has the file open. A file system that has it as its device is one of these for as long as anybody
   * uses it: also out of sight, through a mount in another namespace or an overlay, for which umount(2) tells of no user.
   */
  opened(name: string): number {
    const node = this.#byName.get(name)?.node
    return (node !== undefined && this.#opened.get(node)) || 0
  }

  /** True when the kernel has it open no more; false when it still has after that time. */
  async closed(name: string, withinMs: number): Promise<boolean> {
    const { clock } = this.#o
    const end = clock.now() + withinMs
    while (this.opened(name) > 0 && clock.now() < end) await pause(clock, lookEveryMs)
    return this.opened(name) === 0
  }

  /** Resolves when no thread reads its descriptor any more. */
  async remove(name: string): Promise<void> {
    const file = this.#byName.get(name)
    if (!file) return
    this.#byName.delete(name)
    this.#byNode.delete(file.node)
    this.#opened.delete(file.node)
    await Promise.all([...this.#threads].map((thread) => thread.remove(file.node)))
  }

  /** After another process has read from the descriptor: what it took and did not answer comes again. */
  resend(): boolean {
    return this.#write(resendNotice())
  }

  /** Ends the threads; what they have taken and nobody has answered waits for the next reader's {@link resend}. */
  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all([...this.#threads].map((thread) => thread.stop()))
    for (const controller of this.#waiting.values()) controller.abort(new Error('the server ends'))
    this.#waiting.clear()
  }

  #take(bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const request = requestIn(view, bytes.length)
    if (!request) return
    const say = (error: number, body?: Uint8Array) => void this.#write(answer(request.unique, error, body))
    switch (request.opcode) {
      case opcodes.init: {
        const init = initIn(view)
        const known = init.major === oldest.major && init.minor >= oldest.minor
        return known ? say(0, initAnswer(init)) : say(errnos.EINVAL)
      }
      case opcodes.lookup: {
        const file = request.node === rootNode ? this.#byName.get(nameIn(bytes, bytes.length)) : undefined
        return file ? say(0, entryAnswer({ ...file, directory: false })) : say(errnos.ENOENT)
      }
      case opcodes.getattr: {
        if (request.node === rootNode) return say(0, attributesAnswer({ node: rootNode, size: 0, directory: true }))
        const file = this.#byNode.get(request.node)
        return file ? say(0, attributesAnswer({ ...file, directory: false })) : say(errnos.ENOENT)
      }
      case opcodes.open:
        return this.#byNode.has(request.node) ? this.#count(request, 1, openAnswer()) : say(errnos.ENOENT)
      case opcodes.read:
        return void this.#read(request, view, say)
      case opcodes.statfs:
        return say(0, statfsAnswer(this.#byNode.size))
      case opcodes.interrupt:
        return this.#waiting.get(interruptIn(view))?.abort(interrupted)
      case opcodes.forget:
      case opcodes.batchForget:
        return
      case opcodes.release:
        return this.#count(request, -1)
      case opcodes.flush:
      case opcodes.destroy:
        return say(0)
      default:
        return say(errnos.ENOSYS)
    }
  }

  /** Answers, and counts what the kernel took the answer of: anything else never was, or comes again. */
  #count({ node, unique }: Request, more: number, body?: Uint8Array): void {
    if (!this.#write(answer(unique, 0, body))) return
    const opened = this.#opened.get(node)
    if (opened !== undefined) this.#opened.set(node, Math.max(0, opened + more))
  }

  async #read(
    { node, unique }: Request,
    view: DataView,
    say: (error: number, body?: Uint8Array) => void,
  ): Promise<void> {
    const { clock, readDeadlineMs, failed } = this.#o
    const file = this.#byNode.get(node)
    if (!file) return say(errnos.EIO)
    const { offset, size } = readIn(view)
    const wanted = Math.max(0, Math.min(size, mostRead, file.size - offset))
    if (wanted === 0) return say(0)
    this.#counts.slow++
    const late = this.#late.has(node, offset, clock.now())
    const deadlineMs = late ? hereMs : readDeadlineMs
    const controller = new AbortController()
    const { signal } = controller
    this.#waiting.set(unique, controller)
    const cancel = clock.after(deadlineMs, () => {
      if (!late) this.#late.add(node, offset, wanted, clock.now())
      controller.abort(new Error(`no verified bytes within ${Math.round(deadlineMs / 1000)} s`))
    })
    try {
      // What is here is no later for what is missing beside it.
      const bytes = await Promise.race([file.read(offset, wanted, late ? tooLate : signal), abortOf(signal)])
      if (bytes.length !== wanted) throw new Error(`${bytes.length} bytes came instead of ${wanted}`)
      if (this.#waiting.has(unique)) say(0, bytes)
    } catch (error) {
      if (!this.#waiting.has(unique)) return
      if (signal.reason === interrupted) return say(errnos.EINTR)
      this.#counts.failed++
      failed?.(file.name, error instanceof Error ? error : new Error(String(error)))
      say(errnos.EIO)
    } finally {
      cancel()
      this.#waiting.delete(unique)
    }
  }

  /** False when the kernel does not take it: whoever asked is gone, or the file system is. */
  #write(bytes: Uint8Array): boolean {
    const { write } = libc()
    while (Number(write(this.#o.fuse, ptr(bytes), bytes.length)) < 0) {
      if (errno() !== errnos.EINTR) return false
    }
    return true
  }
}

const interrupted = new Error('interrupted')
const tooLate = AbortSignal.abort(new Error('not here, and bytes beside it have just not come in time'))

/** What threads can be told of it. */
function servedOf({ node, fd, size, block, bits, ctime }: FuseFile): ServedFile {
  return { node, fd, size, block, bits, ctime }
}

function abortOf(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
}
