/**
 * Has calls about mounts carried out by child processes of the same binary, each within a deadline. A child takes calls
 * as lines as long as there are any, and ends soon after: starting one costs more than most mounts. One that hangs is
 * killed, and holds up nobody but who waits for it.
 */
import { join } from 'node:path'
import { type Clock, systemClock } from '../../clock.ts'
import { type Call, callCommand, type Outcome, outcomesSchema } from './calls.ts'

/** Mounts wait for the first reads of their file systems, and those for the node. */
const deadlineMs = 60_000
const idleMs = 2_000
const mostChildren = 8
/** Most calls take less than the start of a child: another one is started only when those that there are take so long. */
const patienceMs = 150
const endsWithinMs = 2000

/** What the children run: this very binary also when another has taken its place, or the source with the same runtime. */
export const ownCommand: readonly string[] = import.meta.url.includes('/$bunfs/')
  ? ['/proc/self/exe']
  : [process.execPath, join(import.meta.dir, '../../main.ts')]

/**
 * Where the calls go; a `fuse` descriptor is number 3 there. Outcomes end with the first mount that failed.
 * @throws when there is no answer
 */
export type Carry = (calls: readonly Call[], fuse?: number) => Promise<readonly Outcome[]>

export interface ChildrenInit {
  readonly clock?: Clock
  readonly deadlineMs?: number
  /** The program and its first arguments. */
  readonly command?: readonly string[]
}

export class Children {
  readonly #clock: Clock
  readonly #deadlineMs: number
  readonly #command: readonly string[]
  readonly #resting: { readonly child: Child; readonly cancel: () => void }[] = []
  /** Who waits for a child that has done its work, first come first served; given none, they start one in its place. */
  readonly #waiting: ((child: Child | undefined) => void)[] = []
  #working = 0
  /** Those that were given calls and have not answered. */
  readonly #busy = new Set<Child>()
  #closed = false

  constructor({ clock = systemClock, deadlineMs: deadline = deadlineMs, command = ownCommand }: ChildrenInit = {}) {
    this.#clock = clock
    this.#deadlineMs = deadline
    this.#command = command
  }

  /** Starts a child that is there for the first calls. */
  warm(): void {
    if (this.#working === 0 && this.#resting.length === 0) this.#rest(new Child(this.#command, undefined))
  }

  readonly carry: Carry = async (calls, fuse) => {
    this.#orClosed()
    // One that was started without the descriptor cannot be given it.
    const child = fuse === undefined ? await this.#free() : new Child(this.#command, fuse)
    this.#busy.add(child)
    try {
      this.#orClosed()
      const outcomes = await this.#within(child.answer(calls))
      if (fuse === undefined) this.#done(child)
      else child.end()
      return outcomes
    } catch (error) {
      child.kill()
      if (fuse === undefined) this.#done(undefined)
      throw error
    } finally {
      this.#busy.delete(child)
    }
  }

  /**
   * Resolves when all have ended: a program that this process becomes would know nothing of them, nor of what they do yet.
   * One that hangs past its kill is not waited for.
   */
  async close(): Promise<void> {
    this.#closed = true
    const resting = this.#resting.splice(0)
    for (const { cancel } of resting) cancel()
    await Promise.all([...resting.map(({ child }) => child), ...this.#busy].map((child) => child.ended()))
  }

  #orClosed(): void {
    if (this.#closed) throw new Error('nothing is mounted or unmounted any more: this program ends')
  }

  /** A child that has nothing to do. */
  async #free(): Promise<Child> {
    const rested = this.#resting.pop()
    rested?.cancel()
    if (!rested && this.#working > 0) return (await this.#nextDone()) ?? new Child(this.#command, undefined)
    this.#working++
    return rested?.child ?? new Child(this.#command, undefined)
  }

  /** The next child that has done its work; none when its place is free, or when that takes too long. */
  #nextDone(): Promise<Child | undefined> {
    const { promise, resolve } = Promise.withResolvers<Child | undefined>()
    const given = (child: Child | undefined) => {
      cancel()
      resolve(child)
    }
    const cancel = this.#clock.after(patienceMs, () => {
      if (this.#working >= mostChildren) return
      this.#waiting.splice(this.#waiting.indexOf(given), 1)
      this.#working++
      resolve(undefined)
    })
    this.#waiting.push(given)
    return promise
  }

  /** It has done its work, or it is gone. */
  #done(child: Child | undefined): void {
    const next = this.#waiting.shift()
    if (next) return next(child)
    this.#working--
    if (child) this.#rest(child)
  }

  #rest(child: Child): void {
    const entry = {
      child,
      cancel: this.#clock.after(idleMs, () => {
        this.#resting.splice(this.#resting.indexOf(entry), 1)
        child.end()
      }),
    }
    this.#resting.push(entry)
  }

  async #within<T>(answer: Promise<T>): Promise<T> {
    const late = Promise.withResolvers<never>()
    const cancel = this.#clock.after(this.#deadlineMs, () =>
      late.reject(
        new Error(`no answer about mounts within ${this.#deadlineMs / 1000} s: a file system that is part of it hangs`),
      ),
    )
    return Promise.race([answer, late.promise]).finally(cancel)
  }
}

/** One child, asked one thing at a time. */
class Child {
  readonly #process
  readonly #lines: AsyncGenerator<string>

  constructor(command: readonly string[], fuse: number | undefined) {
    this.#process = Bun.spawn([...command, callCommand], {
      stdio: ['pipe', 'pipe', 'inherit', ...(fuse === undefined ? [] : [fuse])],
      cwd: '/',
    })
    // Also when it hangs past its kill: nobody waits for it then.
    this.#process.unref()
    this.#lines = linesOf(this.#process.stdout)
  }

  async answer(calls: readonly Call[]): Promise<readonly Outcome[]> {
    try {
      this.#process.stdin.write(`${JSON.stringify(calls)}\n`)
      await this.#process.stdin.flush()
    } catch {
      // It has ended already; how, is said below.
    }
    const { value } = await this.#lines.next()
    if (typeof value === 'string') return outcomesSchema.parse(JSON.parse(value))
    throw new Error(`the child that mounts ended with ${await this.#process.exited}`)
  }

  end(): void {
    void this.#process.stdin.end()
  }

  async ended(): Promise<void> {
    this.end()
    const hung = Promise.withResolvers<void>()
    const timers = [setTimeout(() => this.kill(), endsWithinMs), setTimeout(hung.resolve, 2 * endsWithinMs)]
    await Promise.race([this.#process.exited, hung.promise])
    for (const timer of timers) clearTimeout(timer)
  }

  kill(): void {
    this.#process.kill('SIGKILL')
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true })
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      yield text.slice(0, end)
      text = text.slice(end + 1)
    }
  }
}
