/**
 * The write-ahead log of an SQLite database, brought to the disk off this thread. By itself SQLite waits for the disk where
 * it is called: in WAL mode with the first commit after a start, and whenever the log is brought into the database. While
 * an image is being written that took a third of a second to a full one, in which the node answered nobody
 * (`strace -e fsync`). Here SQLite never waits, and the order that a power cut must not change is kept by whoever calls
 * {@link WriteAheadLog.merge}: the log is on the disk before the database is changed, the database before the log is cut.
 * The log is never begun anew in place, which is what SQLite would have to wait for: it is cut to nothing, so that no old
 * page of it can follow a new one.
 *
 * @see https://www.sqlite.org/wal.html#ckpt
 */
import { type Database, SQLiteError } from 'bun:sqlite'
import { closeSync, constants, fdatasync, fdatasyncSync, fstatSync, openSync } from 'node:fs'
import type { Clock } from './clock.ts'

/** To the disk, off this thread; tests look at the order. */
export type Sync = (fd: number) => Promise<void>

const fdatasyncOff: Sync = (fd) =>
  new Promise((resolve, reject) => fdatasync(fd, (error) => (error ? reject(error) : resolve())))

export interface WriteAheadOptions {
  /** Bytes after which {@link WriteAheadLog.shorten} does something. */
  readonly longest: number
  readonly clock: Pick<Clock, 'now'>
  /** Hears why the log could not be brought into the database: it is as good as it was, and grows until that works. */
  readonly failed: (error: unknown) => void
  readonly sync?: Sync | undefined
}

/** After a merge that failed, in ms. */
const retryMs = 5000

export class WriteAheadLog {
  readonly #db: Database
  readonly #o: WriteAheadOptions
  readonly #sync: Sync
  /** Open as long as the database is: closing any descriptor of its file would drop SQLite's locks on it. */
  #files: { readonly log: number; readonly database: number } | undefined
  /** Counts what was written, and how much of that is on the disk. */
  #wrote = 0
  #synced = 0
  #syncing: Promise<void> | undefined
  /** The merge under way; another object when that one is not it any more. */
  #merge: object | undefined
  /** The log is in the database, and that is not on the disk yet: what is committed now could overwrite the log. */
  #waits = false
  #shortening: Promise<void> | undefined
  #againAt = Number.NEGATIVE_INFINITY

  /**
   * `db` is in WAL mode, or in memory, where nothing is to be done. From now on it does not wait for the disk. There is one
   * of these for a file in a process. @throws {Error} what open(2) says; the database is to be closed then
   */
  constructor(db: Database, options: WriteAheadOptions) {
    this.#db = db
    this.#o = options
    this.#sync = options.sync ?? fdatasyncOff
    const path = fileOf(db)
    if (path === '') return
    const database = openSync(path, constants.O_RDWR)
    try {
      this.#files = { log: openSync(`${path}-wal`, constants.O_RDWR | constants.O_CREAT, 0o600), database }
    } catch (error) {
      // SQLite's locks go with it.
      closeSync(database)
      throw error
    }
    // A transaction that spilled could begin the log anew in the middle of a merge.
    db.exec('PRAGMA wal_autocheckpoint = 0; PRAGMA cache_spill = OFF; PRAGMA synchronous = OFF')
  }

  /** Bytes in the log. */
  get bytes(): number {
    return this.#files ? fstatSync(this.#files.log).size : 0
  }

  get merging(): boolean {
    return this.#merge !== undefined
  }

  /** The log is being brought in, or the disk failed in the middle of that: nothing may be committed until a merge succeeds. */
  get held(): boolean {
    return this.merging || this.#waits
  }

  /** Something was committed that {@link sync} has to wait for. */
  wrote(): void {
    this.#wrote++
  }

  /** Resolves when all that was committed before outlives the machine. @throws what fdatasync(2) says */
  async sync(): Promise<void> {
    const files = this.#files
    if (!files) return
    for (const upTo = this.#wrote; this.#synced < upTo; ) {
      const reaches = this.#wrote
      this.#syncing ??= this.#sync(files.log)
        .then(() => {
          this.#synced = reaches
        })
        .finally(() => {
          this.#syncing = undefined
        })
      try {
        await this.#syncing
      } catch (error) {
        // Closing has brought it to the disk.
        if (!this.#files) return
        throw error
      }
    }
  }

  /**
   * Has the log merged where it has become long: one merge at a time, and a while after one that failed. For after each
   * commit. `merge`: {@link merge}, as soon as that may run.
   */
  shorten(merge: () => Promise<void>): void {
    const { longest, clock, failed } = this.#o
    if (this.#shortening || (this.bytes <= longest && !this.#waits) || clock.now() < this.#againAt) return
    this.#shortening = merge()
      .catch((error: unknown) => {
        this.#againAt = clock.now() + retryMs
        failed(error)
      })
      .finally(() => {
        this.#shortening = undefined
      })
  }

  /** Resolves when no {@link shorten} is under way. */
  get shortened(): Promise<void> {
    return this.#shortening ?? Promise.resolve()
  }

  /**
   * Brings the log into the database and empties it. Nothing may be committed while it is {@link held}, but
   * after {@link mergeNow}; `apart` is to run what it is given outside of any transaction.
   * @throws what the disk says; the log is as good as it was
   */
  async merge(apart: (work: () => void) => void): Promise<void> {
    const files = this.#files
    if (!files || this.#merge) return
    const merge = {}
    this.#merge = merge
    try {
      await this.#sync(files.log)
      if (this.#merge === merge) apart(() => this.#bringIn())
      if (this.#merge === merge) await this.#sync(files.database)
      if (this.#merge === merge) apart(() => this.#cut())
    } catch (error) {
      // Else somebody has done it, or closed the database, while this waited.
      if (this.#merge === merge) throw error
    } finally {
      if (this.#merge === merge) this.#merge = undefined
    }
  }

  /** The same on this thread, which waits for the disk; outside of any transaction. */
  mergeNow(): void {
    const files = this.#files
    if (!files) return
    this.#merge = undefined
    fdatasyncSync(files.log)
    this.#bringIn()
    fdatasyncSync(files.database)
    this.#cut()
  }

  /** Closes the database too; outside of any transaction. */
  close(): void {
    const files = this.#files
    this.#files = undefined
    this.#merge = undefined
    try {
      // Closing brings the log in and removes it, in an order that is SQLite's business again. What a merge has brought in
      // is not looked at once more.
      if (files && this.#waits) fdatasyncSync(files.database)
      if (files) this.#db.exec('PRAGMA synchronous = FULL')
    } finally {
      this.#db.close()
      if (files) for (const fd of Object.values(files)) closeSync(fd)
    }
  }

  #bringIn(): void {
    this.#checkpoint('PASSIVE')
    this.#waits = true
  }

  #cut(): void {
    this.#waits = false
    // What another program read from, or wrote, is brought in only now: for that, SQLite has to wait. So it has where that
    // program reads on, for then the log will be begun anew in place.
    this.#db.exec('PRAGMA synchronous = NORMAL')
    if (this.#checkpoint('TRUNCATE')) this.#db.exec('PRAGMA synchronous = OFF')
  }

  /** False when somebody else is at it: nobody waits for them. */
  #checkpoint(how: 'PASSIVE' | 'TRUNCATE'): boolean {
    const before = this.#db.query<{ timeout: number }, []>('PRAGMA busy_timeout').get()?.timeout ?? 0
    this.#db.exec('PRAGMA busy_timeout = 0')
    try {
      return this.#db.query<{ busy: number }, []>(`PRAGMA wal_checkpoint(${how})`).get()?.busy === 0
    } catch (error) {
      if (error instanceof SQLiteError && error.code?.startsWith('SQLITE_BUSY')) return false
      throw error
    } finally {
      this.#db.exec(`PRAGMA busy_timeout = ${before}`)
    }
  }
}

/** The file itself, where the name it was opened by is a link: the log is beside that. Empty for a database in memory. */
function fileOf(db: Database): string {
  return db.query<{ file: string }, []>("SELECT file FROM pragma_database_list WHERE name = 'main'").get()?.file ?? ''
}
