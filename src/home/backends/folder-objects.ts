/**
 * Objects as files below a directory, which seeds may share (NFS): each is written beside, synced, and renamed to where
 * it belongs, so that it is there whole or not at all.
 */
import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Clock } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import type { ObjectLists, Objects, ObjectWrites, OpenObject, Written } from './objects.ts'

const chunkBytes = 1024 * 1024
/** What was being written, and will not be, when its writer ended. */
const leftoverMs = 24 * 60 * 60_000
const incoming = '.incoming'
const onlyRead = '; where it is only to be read, ?write=no at the end of its URL says so'

export class FolderObjects implements Objects, ObjectLists, ObjectWrites {
  readonly name: string
  readonly lists = this
  readonly writes?: ObjectWrites
  readonly #dir: string
  readonly #clock: Clock
  #swept: Promise<void> | undefined

  /** @param writable false: it is only read, whatever the directory allows */
  constructor(dir: string, clock: Clock, writable = true) {
    this.name = `file://${dir}`
    if (writable) this.writes = this
    this.#dir = dir
    this.#clock = clock
  }

  async size(path: string, signal?: AbortSignal): Promise<number | undefined> {
    stopIf(signal)
    const found = await this.#try(path, () => stat(join(this.#dir, path)))
    return found?.isFile() ? found.size : undefined
  }

  async open(path: string, start: number, signal?: AbortSignal): Promise<OpenObject | undefined> {
    const size = await this.size(path, signal)
    return size === undefined ? undefined : { size, body: this.#body(path, start, size, signal) }
  }

  async list(folder: string, after: string, limit: number, signal?: AbortSignal): Promise<string[]> {
    stopIf(signal)
    const entries = await this.#try(folder, () => readdir(join(this.#dir, folder), { withFileTypes: true }))
    const names = (entries ?? []).filter((entry) => entry.isFile()).map(({ name }) => name)
    return names
      .filter((name) => name > after)
      .sort()
      .slice(0, limit)
  }

  async put(path: string, content: Written, signal?: AbortSignal): Promise<void> {
    stopIf(signal)
    await this.#makeRoom()
    const target = join(this.#dir, path)
    const beside = join(this.#dir, incoming, crypto.randomUUID())
    try {
      await this.#write(beside, content, signal)
      const made = await mkdir(dirname(target), { recursive: true })
      await rename(beside, target)
      // Folders that are new are entries of others, which are to be on disk as well.
      const top = made === undefined ? dirname(target) : dirname(made)
      for (let folder = dirname(target); ; folder = dirname(folder)) {
        await syncFolder(folder)
        if (folder === top) break
      }
    } catch (error) {
      await unlink(beside).catch(() => undefined)
      throw this.#failure(path, error, onlyRead)
    }
  }

  async remove(path: string, signal?: AbortSignal): Promise<void> {
    stopIf(signal)
    await this.#try(path, () => unlink(join(this.#dir, path)))
  }

  async #write(beside: string, content: Written, signal: AbortSignal | undefined): Promise<void> {
    const file = await open(beside, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o640)
    try {
      let at = 0
      for await (const chunk of content.read(0)) {
        stopIf(signal)
        for (let done = 0; done < chunk.length; ) {
          done += (await file.write(chunk, done, chunk.length - done)).bytesWritten
        }
        at += chunk.length
      }
      if (at !== content.size) throw new Failure('corrupt', `${at} bytes came of ${content.size}`)
      await file.sync()
    } finally {
      await file.close()
    }
  }

  async *#body(
    path: string,
    start: number,
    size: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    let file: FileHandle | undefined
    try {
      file = await open(join(this.#dir, path), constants.O_RDONLY)
      for (let at = start; at < size; ) {
        stopIf(signal)
        const bytes = new Uint8Array(Math.min(chunkBytes, size - at))
        const { bytesRead } = await file.read(bytes, 0, bytes.length, at)
        if (bytesRead === 0) throw new Failure('corrupt', `${this.name}: ${path} became shorter while it was read`)
        at += bytesRead
        yield bytes.subarray(0, bytesRead)
      }
    } catch (error) {
      throw this.#failure(path, error)
    } finally {
      await file?.close()
    }
  }

  /** For each write: another file system may be there by now, or be gone. */
  async #makeRoom(): Promise<void> {
    try {
      // Not recursive: where the directory itself is missing, a file system may not be mounted.
      await mkdir(join(this.#dir, incoming)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error
      })
      this.#swept ??= this.#sweep()
      await this.#swept
    } catch (error) {
      this.#swept = undefined
      throw this.#failure(incoming, error, onlyRead)
    }
  }

  /** Once: of what nobody writes any more. */
  async #sweep(): Promise<void> {
    const room = join(this.#dir, incoming)
    for (const name of await readdir(room)) {
      const { mtimeMs = Number.POSITIVE_INFINITY } = (await stat(join(room, name)).catch(() => undefined)) ?? {}
      if (this.#clock.wall() - mtimeMs > leftoverMs) await rm(join(room, name), { force: true })
    }
  }

  async #try<T>(path: string, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work()
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
      throw this.#failure(path, error)
    }
  }

  #failure(path: string, error: unknown, remedy = ''): Failure {
    if (error instanceof Failure) return error
    const { code = 'unknown error' } = error as NodeJS.ErrnoException
    const about = `${this.name}: ${path}`
    if (code === 'ENOSPC' || code === 'EDQUOT') return new Failure('no-space', `${about}: there is no room (${code})`)
    if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
      return new Failure(
        'denied',
        `${about}: this process may not (${code}); check owner and mode of the directory, and how it is mounted${remedy}`,
      )
    }
    return new Failure('unavailable', `${about} cannot be used now (${code})`)
  }
}

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, constants.O_RDONLY)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

/** @throws {Failure} `cancelled` */
function stopIf(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new Failure('cancelled', 'the request to the backend was given up by whoever made it')
}
