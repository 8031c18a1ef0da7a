/**
 * The file of an unpacked layer: holes where nothing is yet, and between chunks for good. Knows whether somebody else has
 * touched it: its ctime is that of the last write from here, and nobody can set a ctime. Writes go one after the other,
 * for what comes between the looks before and behind one could not be told from it.
 */
import { closeSync, constants, openSync, statSync, truncateSync } from 'node:fs'
import { type OpenFiles, writeAt } from '../../store/open-files.ts'

/** There is no file, or not as long as it was made. */
const gone = -1n

export class DataFile {
  readonly path: string
  readonly size: number
  /** What {@link ctime} is, for threads that read the file by themselves. */
  readonly shared = new SharedArrayBuffer(8)
  readonly #times = new BigInt64Array(this.shared)
  readonly #files: OpenFiles
  readonly #touched: () => void
  #ctime: bigint
  #writing = false
  #queue: Promise<void> = Promise.resolve()

  /** @param touched is called when it turns out that somebody else has written to it: nothing of it is verified then */
  constructor(path: string, size: number, files: OpenFiles, touched: () => void) {
    this.path = path
    this.size = size
    this.#files = files
    this.#touched = touched
    this.#make()
    this.#ctime = this.#look()
    this.#tell()
  }

  /** When it was last changed, ns since 1970: by a write from here unless {@link untouched} says otherwise. */
  get ctime(): bigint {
    return this.#ctime
  }

  /**
   * False when what was verified has to be verified again; also for the while of a write from here, in which nobody can
   * tell.
   */
  untouched(): boolean {
    return !this.#writing && this.#check()
  }

  /** What lies behind the end of the file is zero. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    await this.#files.use(this.path, false, (fd) => this.#files.read(fd, bytes, offset))
    return bytes
  }

  /** `done` is called when the bytes are there and before anybody can ask whether they are. @throws what write(2) says */
  write(offset: number, bytes: Uint8Array, done: () => void): Promise<void> {
    const written = this.#queue.then(() => this.#write(offset, bytes, done))
    this.#queue = written.catch(() => {})
    return written
  }

  /** Closes the file until it is next used. */
  async rest(): Promise<void> {
    await this.#queue
    await this.#files.drop(this.path)
  }

  async #write(offset: number, bytes: Uint8Array, done: () => void): Promise<void> {
    this.#check()
    this.#writing = true
    try {
      await this.#files.use(this.path, false, (fd) => writeAt(fd, bytes, offset))
      done()
    } finally {
      this.#writing = false
      this.#ctime = this.#look()
      this.#tell()
    }
  }

  #check(): boolean {
    const ctime = this.#look()
    if (ctime === this.#ctime) return true
    this.#ctime = ctime
    if (ctime === gone) this.#make()
    this.#touched()
    this.#tell()
    return false
  }

  /** Shorter or longer than it should be, it was not written by this code. */
  #make(): void {
    if (this.#look() !== gone) return
    void this.#files.drop(this.path)
    closeSync(openSync(this.path, constants.O_RDWR | constants.O_CREAT, 0o600))
    truncateSync(this.path, this.size)
  }

  #look(): bigint {
    const stats = statSync(this.path, { bigint: true, throwIfNoEntry: false })
    return stats && stats.size === BigInt(this.size) ? stats.ctimeNs : gone
  }

  #tell(): void {
    Atomics.store(this.#times, 0, this.#ctime)
  }
}
