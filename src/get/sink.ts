/**
 * Where downloads are written: a file that has its name only once it is whole; or standard output, a device or a FIFO,
 * which take bytes in their order and have no beginning to go on from.
 */
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readlink, realpath, rename, rm, stat } from 'node:fs/promises'
import { dirname, isAbsolute } from 'node:path'
import { Failure } from '../failure.ts'
import type { Sink } from './fill.ts'

/** A sink until its end. */
export interface Output extends Sink {
  /** It is whole. */
  finish(): Promise<void>
  /** Always, and last. */
  close(): Promise<void>
}

/** What is at the path decides: a device or a FIFO is written to, and anything else is a file that is to be replaced. */
export async function outputAt(path: string): Promise<Output> {
  const there = await unlessAbsent(stat(path))
  return there && takesStream(there) ? StreamSink.to(path) : FileSink.open(await ledTo(path))
}

/** True of devices and FIFOs: bytes go there, and nothing can take their place. */
export function takesStream(there: { isFile(): boolean; isDirectory(): boolean }): boolean {
  return !there.isFile() && !there.isDirectory()
}

const chunkBytes = 1024 * 1024

/** What is behind the name of a file that is not whole. */
export const partSuffix = '.part'

/** `<path>.part` until {@link finish}. What an earlier try left there is its beginning. */
export class FileSink implements Output {
  readonly #path: string
  readonly #file: FileHandle
  #length: number
  #whole = false

  private constructor(path: string, file: FileHandle, length: number) {
    this.#path = path
    this.#file = file
    this.#length = length
  }

  static async open(path: string): Promise<FileSink> {
    await mkdir(dirname(path), { recursive: true })
    // Not followed: a link that somebody put there would have another file written.
    const flags = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW
    const file = await of(path, open(path + partSuffix, flags, 0o666))
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
    await of(this.#path, this.#file.truncate(length))
    this.#length = length
  }

  async write(bytes: Uint8Array): Promise<void> {
    await of(this.#path, writeAll(this.#file, bytes, this.#length))
    this.#length += bytes.length
  }

  /** It is whole: from now on it has its name. */
  async finish(): Promise<void> {
    await of(this.#path, this.#file.sync())
    await of(this.#path, rename(this.#path + partSuffix, this.#path))
    this.#whole = true
  }

  /** Without {@link finish} the part stays, for the next try, if there is anything in it. */
  async close(): Promise<void> {
    await this.#file.close()
    if (!this.#whole && this.#length === 0) await rm(this.#path + partSuffix, { force: true })
  }
}

/** Bytes that are gone as soon as they are written. */
export class StreamSink implements Output {
  readonly #write: (bytes: Uint8Array) => Promise<void>
  readonly #file: FileHandle | undefined
  length = 0

  constructor(write: (bytes: Uint8Array) => Promise<void>, file?: FileHandle) {
    this.#write = write
    this.#file = file
  }

  /** Waits for somebody who reads, where that is a FIFO. */
  static async to(path: string): Promise<StreamSink> {
    const file = await open(path, constants.O_WRONLY)
    return new StreamSink((bytes) => of(path, writeAll(file, bytes, null)), file)
  }

  async *read(): AsyncGenerator<Uint8Array> {}

  async cut(): Promise<void> {
    throw new Failure('corrupt', 'what was written is wrong and cannot be taken back')
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#write(bytes)
    this.length += bytes.length
  }

  /** A disk may say only now that it has not taken it. */
  async finish(): Promise<void> {
    if ((await this.#file?.stat())?.isBlockDevice()) await this.#file?.sync()
  }

  async close(): Promise<void> {
    await this.#file?.close()
  }
}

/** What the system says is about the file that was asked for, and not about the name that it has until it is whole. */
function of<T>(path: string, doing: Promise<T>): Promise<T> {
  return doing.catch((error: Error) => {
    throw Object.assign(error, { path })
  })
}

/** @param position null where there are none */
async function writeAll(file: FileHandle, bytes: Uint8Array, position: number | null): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const from = position === null ? null : position + at
    at += (await file.write(bytes, at, bytes.length - at, from)).bytesWritten
  }
}

/** The file that links lead to, which need not be there yet. Whoever may not follow them has failed at `stat` before. */
async function ledTo(path: string): Promise<string> {
  const real = await unlessAbsent(realpath(path))
  if (real !== undefined) return real
  const next = await readlink(path).catch(() => undefined)
  if (next === undefined) return path
  // Not joined: `..` behind a link to a folder is that folder's parent.
  return ledTo(isAbsolute(next) ? next : `${dirname(path)}/${next}`)
}

export function unlessAbsent<T>(looking: Promise<T>): Promise<T | undefined> {
  return looking.catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
}
