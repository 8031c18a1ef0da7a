/**
 * What of an unpacked layer belongs to no chunk, one after the other in a file of its own: nobody reads it, and nothing
 * verifies it, but with it the whole layer can be held against its digest once. Gone when that is done.
 */
import { closeSync, constants, openSync, rmSync } from 'node:fs'
import { type OpenFiles, readAt, writeAt } from '../../store/open-files.ts'
import { Intervals } from './intervals.ts'

/** Written at once. */
const batchBytes = 256 * 1024

export class GapFile {
  readonly #path: string
  readonly #length: number
  readonly #files: OpenFiles
  readonly #there: Intervals
  #dropped = false

  /** @param known what an earlier process wrote, as {@link GapFile.bounds} told it */
  constructor(path: string, length: number, files: OpenFiles, known: readonly number[]) {
    this.#path = path
    this.#length = length
    this.#files = files
    this.#there = new Intervals(known)
  }

  get bounds(): readonly number[] {
    return this.#there.bounds
  }
  get complete(): boolean {
    return !this.#dropped && this.#there.covers(this.#length)
  }

  writer(): GapWriter {
    return new GapWriter((at, bytes) => this.#write(at, bytes))
  }

  async read(at: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    if (length > 0) await this.#files.use(this.#path, false, (fd) => readAt(fd, bytes, at))
    return bytes
  }

  async rest(): Promise<void> {
    await this.#files.drop(this.#path)
  }

  async drop(): Promise<void> {
    this.#dropped = true
    await this.rest()
    rmSync(this.#path, { force: true })
  }

  async #write(at: number, bytes: Uint8Array): Promise<void> {
    if (this.#dropped) return
    try {
      closeSync(openSync(this.#path, constants.O_WRONLY | constants.O_CREAT, 0o600))
      await this.#files.use(this.#path, false, (fd) => writeAt(fd, bytes, at))
      this.#there.add(at, at + bytes.length)
    } catch {
      // A full disk: then the layer is not held against its digest. Each of its chunks was, against its own.
    }
  }
}

/** The gaps of one stream, which come in their order. */
export class GapWriter {
  readonly #write: (at: number, bytes: Uint8Array) => Promise<void>
  readonly #buffer = new Uint8Array(batchBytes)
  #start = 0
  #used = 0
  #written: Promise<void> = Promise.resolve()

  constructor(write: (at: number, bytes: Uint8Array) => Promise<void>) {
    this.#write = write
  }

  add(at: number, bytes: Uint8Array): void {
    let rest = bytes
    let to = at
    while (rest.length > 0) {
      if (this.#used === batchBytes || (this.#used > 0 && this.#start + this.#used !== to)) this.#flush()
      if (this.#used === 0) this.#start = to
      const part = rest.subarray(0, batchBytes - this.#used)
      this.#buffer.set(part, this.#used)
      this.#used += part.length
      to += part.length
      rest = rest.subarray(part.length)
    }
  }

  async end(): Promise<void> {
    this.#flush()
    await this.#written
  }

  #flush(): void {
    if (this.#used === 0) return
    const [at, bytes] = [this.#start, this.#buffer.slice(0, this.#used)]
    this.#used = 0
    this.#written = this.#written.then(() => this.#write(at, bytes))
  }
}
