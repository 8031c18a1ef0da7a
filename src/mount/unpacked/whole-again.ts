/**
 * A layer that was unpacked whole, and of which something was found to be damaged: it cannot be begun in its middle, so it
 * is unpacked once more, beside its file, from which others read.
 */
import { Failure } from '../../failure.ts'
import { type OpenFiles, readAt } from '../../store/open-files.ts'
import { isChunk } from './chunk-cutter.ts'
import { untilAborted } from './fetching.ts'
import type { Holdings } from './holdings.ts'
import type { Keeping } from './keeping.ts'

/** Unpacks the layer whole to a file that is there while `use` runs. @throws {Failure} @throws the signal's reason */
export type Refill = (use: (path: string) => Promise<void>, signal: AbortSignal) => Promise<void>

export class WholeAgain {
  /** Where it comes from. */
  refill: Refill | undefined
  readonly #holdings: Holdings
  readonly #keeping: Keeping
  readonly #files: OpenFiles
  #refilling: Promise<void> | undefined
  #ended = new AbortController()

  constructor(holdings: Holdings, keeping: Keeping, files: OpenFiles) {
    this.#holdings = holdings
    this.#keeping = keeping
    this.#files = files
  }

  /** What is missing comes with it. @throws {Failure} */
  async chunk(chunk: number, signal: AbortSignal): Promise<Uint8Array | undefined> {
    this.#refilling ??= this.#restore().finally(() => {
      this.#refilling = undefined
    })
    await untilAborted(this.#refilling, signal)
    return this.#keeping.peek(chunk)
  }

  /** Nobody mounts the layer any more. Resolves when nothing of it comes any more. */
  async rest(): Promise<void> {
    const ended = this.#ended
    this.#ended = new AbortController()
    ended.abort(new Failure('cancelled', 'the layer is not mounted any more'))
    await this.#refilling?.catch(() => {})
  }

  async #restore(): Promise<void> {
    const { table } = this.#holdings
    const missing = [...Array(table.count).keys()].filter((chunk) => !this.#holdings.has(chunk))
    await this.refill?.(async (path) => {
      const batch = this.#keeping.batch()
      for (const chunk of missing) {
        const bytes = await this.#files.use(path, false, async (fd) => {
          const bytes = new Uint8Array(table.length(chunk))
          await readAt(fd, bytes, table.start(chunk))
          return bytes
        })
        if (!isChunk(table, chunk, bytes)) throw new Failure('corrupt', `${path} was damaged as soon as it was written`)
        batch.add(chunk, bytes)
        await batch.room()
      }
      await batch.end()
    }, this.#ended.signal)
  }
}
