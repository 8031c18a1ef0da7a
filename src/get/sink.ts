/** Where downloads are written: a file that has its name only once it is whole, or standard output. */
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Failure } from '../failure.ts'
import type { Sink } from './fill.ts'

const chunkBytes = 1024 * 1024

/** What is behind the name of a file that is not whole. */
export const partSuffix = '.part'

/** `<path>.part` until {@link finish}. What an earlier try left there is its beginning. */
export class FileSink implements Sink {
  readonly #path: string
  readonly #file: FileHandle
  #length: number

  private constructor(path: string, file: FileHandle, length: number) {
    this.#path = path
    this.#file = file
    this.#length = length
  }

  static async open(path: string): Promise<FileSink> {
    await mkdir(dirname(path), { recursive: true })
    // Not followed: a link that somebody put there would have another file written.
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW
    const file = await open(path + partSuffix, flags, 0o666)
    return new FileSink(path, file, (await file.stat()).size)
  }

  get length(): number {
    return this.#length
  }

  async *read(start: number, end: number): AsyncGenerator<Uint8Array> {
    const buffer = new Uint8Array(Math.min(chunkBytes, end - start))
    for (let at = start; at < end; ) {
      const { bytesRead } = await this.#file.read(buffer, 0, Math.min(buffer.length, end - at), at)
      if (bytesRead === 0) throw new Error(`${this.#path}${partSuffix} became shorter while it was read`)
      at += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
  }

  async cut(length: number): Promise<void> {
    await this.#file.truncate(length)
    this.#length = length
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const { bytesWritten } = await this.#file.write(bytes, at, bytes.length - at, this.#length)
      at += bytesWritten
      this.#length += bytesWritten
    }
  }

  /** It is whole: from now on it has its name. */
  async finish(): Promise<void> {
    await this.#file.sync()
    await rename(this.#path + partSuffix, this.#path)
  }

  /** Without {@link finish} the part stays, for the next try. */
  close(): Promise<void> {
    return this.#file.close()
  }
}

/** Bytes that are gone as soon as they are written. */
export class StreamSink implements Sink {
  readonly #write: (bytes: Uint8Array) => Promise<void>
  length = 0

  constructor(write: (bytes: Uint8Array) => Promise<void>) {
    this.#write = write
  }

  async *read(): AsyncGenerator<Uint8Array> {}

  cut(): Promise<void> {
    throw new Failure('corrupt', 'what was written to standard output is wrong and cannot be taken back')
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#write(bytes)
    this.length += bytes.length
  }
}
