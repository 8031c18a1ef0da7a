/**
 * Open files of blobs, at most so many at once; the least recently used one that is idle is closed first. Positioned
 * reads and writes go to the thread pool (callback style: as cheap as FileHandle under Bun, 0.35 CPU-seconds per GB
 * written and 0.2 read, and an open stays synchronous, so that nothing can come between a check and its open).
 */
import { close, constants, fdatasync, fstat, fsync, ftruncate, openSync, read, write } from 'node:fs'

interface Open {
  readonly fd: number
  users: number
  /** Close when the last user is done. */
  dropped: boolean
}

export class OpenFiles {
  /** Tests have disks with bad sectors. */
  readonly read: typeof readAt
  readonly #most: number
  readonly #open = new Map<string, Open>()
  readonly #closing = new Set<Promise<void>>()

  constructor(most = 256, read = readAt) {
    this.#most = most
    this.read = read
  }

  get count(): number {
    return this.#open.size
  }

  /**
   * Runs `task` with the file open. `create`: makes it if it is not there; `foreign`: it is another program's, and only
   * read. Throws what open(2) says.
   */
  async use<T>(path: string, create: boolean, task: (fd: number) => Promise<T>, foreign = false): Promise<T> {
    const entry = this.#take(path, create, foreign)
    try {
      return await task(entry.fd)
    } finally {
      entry.users--
      if (entry.dropped && entry.users === 0) void this.#close(entry)
      else this.#trim()
    }
  }

  /** The path is about to mean another file, or none. Tasks that run go on with the old one. */
  drop(path: string): Promise<void> {
    const entry = this.#open.get(path)
    if (!entry) return Promise.resolve()
    this.#open.delete(path)
    entry.dropped = true
    // Closing the last descriptor of a removed file frees its blocks, which takes long for a big one: off this thread.
    return entry.users === 0 ? this.#close(entry) : Promise.resolve()
  }

  /** Resolves when all that nobody uses is closed, also what was to be closed before. */
  async dropAll(): Promise<void> {
    for (const path of [...this.#open.keys()]) void this.drop(path)
    await Promise.all(this.#closing)
  }

  #close({ fd }: Open): Promise<void> {
    const closed = closeOff(fd).finally(() => this.#closing.delete(closed))
    this.#closing.add(closed)
    return closed
  }

  #take(path: string, create: boolean, foreign: boolean): Open {
    const known = this.#open.get(path)
    if (known) this.#open.delete(path)
    const entry = known ?? {
      fd: openSync(path, (foreign ? constants.O_RDONLY : constants.O_RDWR) | (create ? constants.O_CREAT : 0), 0o600),
      users: 0,
      dropped: false,
    }
    this.#open.set(path, entry)
    entry.users++
    return entry
  }

  #trim(): void {
    if (this.#open.size <= this.#most) return
    for (const [path, entry] of this.#open) {
      if (entry.users === 0) void this.drop(path)
      if (this.#open.size <= this.#most) return
    }
  }
}

/** Never fails: all that close(2) can complain about was said by write and fsync. */
export function closeOff(fd: number): Promise<void> {
  return new Promise((resolve) => close(fd, () => resolve()))
}

/** Writes all of `bytes` at `position`. */
export async function writeAt(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += await new Promise<number>((resolve, reject) =>
      write(fd, bytes, done, bytes.length - done, position + done, (error, n) => (error ? reject(error) : resolve(n))),
    )
  }
}

/** What is after `position` is not there any more. */
export function cutAt(fd: number, position: number): Promise<void> {
  return new Promise((resolve, reject) => ftruncate(fd, position, (error) => (error ? reject(error) : resolve())))
}

/** Fills `into` from `position`; resolves to fewer bytes than its length at the end of the file only. */
export async function readAt(fd: number, into: Uint8Array, position: number): Promise<number> {
  let done = 0
  while (done < into.length) {
    const n = await new Promise<number>((resolve, reject) =>
      read(fd, into, done, into.length - done, position + done, (error, n) => (error ? reject(error) : resolve(n))),
    )
    if (n === 0) break
    done += n
  }
  return done
}

/** To the disk, contents alone. */
export function syncData(fd: number): Promise<null> {
  return new Promise((resolve, reject) => fdatasync(fd, (error) => (error ? reject(error) : resolve(null))))
}

/** To the disk, times included; resolves to the modification time in whole ms. */
export async function syncAll(fd: number): Promise<number> {
  await new Promise<void>((resolve, reject) => fsync(fd, (error) => (error ? reject(error) : resolve())))
  const stats = await new Promise<{ mtimeMs: number }>((resolve, reject) =>
    fstat(fd, (error, stats) => (error ? reject(error) : resolve(stats))),
  )
  return Math.floor(stats.mtimeMs)
}

/** What was renamed into the folder is there after a power cut. */
export async function syncDir(path: string): Promise<void> {
  const fd = openSync(path, constants.O_RDONLY)
  try {
    await new Promise<void>((resolve, reject) => fsync(fd, (error) => (error ? reject(error) : resolve())))
  } finally {
    await closeOff(fd)
  }
}
