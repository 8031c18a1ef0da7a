/**
 * The state of one node, in a file of its own: the catalog beside it may lose its last moments, this may not. What a
 * statement has returned for is on the disk, which is waited for off the main thread.
 */
import { Database, SQLiteError } from 'bun:sqlite'
import { type Clock, systemClock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { type Log, silentLog } from '../telemetry/log.ts'
import { type Sync, WriteAheadLog } from '../write-ahead.ts'
import type { OpenSql } from './late.ts'
import { mendOf } from './mend.ts'
import { migrate } from './schema.ts'
import { type Dialect, type Row, type Sql, storable, type Value } from './sql.ts'
import { SqlState } from './sql-state.ts'
import type { State } from './state.ts'

export const sqlite: Dialect = {
  // Never a number twice, even when the last rows are gone.
  serial: 'INTEGER PRIMARY KEY AUTOINCREMENT',
  numberFrom: (table, first) => [
    `DELETE FROM sqlite_sequence WHERE name = '${table}' AND seq < ${first}`,
    `INSERT INTO sqlite_sequence (name, seq) SELECT '${table}', ${first - 1}
     WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = '${table}')`,
  ],
  text: 'TEXT',
  skipLocked: '',
  inTurn: undefined,
}

export interface SqliteOptions {
  readonly clock: Pick<Clock, 'now'>
  readonly log: Pick<Log, 'error'>
  /** Brings its files to the disk; fdatasync(2) by default. */
  readonly sync?: Sync
}

/**
 * `path` may be `:memory:`.
 * @throws {Failure} `internal` for a file that a newer shoal wrote, `unavailable` for one that cannot be read or written
 */
export async function openSqliteFile(path: string, options: SqliteOptions): Promise<OpenSql> {
  const sql = new SqliteSql(path, options)
  try {
    await migrate(sql, path)
    return sql
  } catch (error) {
    await sql.close()
    throw error
  }
}

/** A state of its own, for whoever needs one that is there at once. */
export async function openSqlite(path: string, log: Log = silentLog): Promise<State> {
  const sql = await openSqliteFile(path, { clock: systemClock, log })
  return new SqlState(
    sql,
    log,
    () => undefined,
    () => sql.close(),
  )
}

/**
 * Answers are there at once: whoever asks a thousand questions, one after the other, would keep the process from everything
 * else. So it may do something else after so many.
 */
const turnsAtOnce = 16
const breath = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Bytes after which the log is brought into the file. */
const longestLog = 4 * 1024 * 1024

/** A statement that changes nothing. */
const isQuestion = /^\s*SELECT\b/i

class SqliteSql implements OpenSql {
  readonly dialect = sqlite
  readonly #db: Database
  readonly #ahead: WriteAheadLog
  readonly #path: string
  /** The end of the line for the connection: a transaction has it to itself. */
  #turn: Promise<unknown> = Promise.resolve()
  #turns = 0
  #closed = false

  constructor(path: string, { clock, log, sync }: SqliteOptions) {
    this.#path = path
    this.#db = this.#guarded(() => new Database(path, { create: true, strict: true, safeIntegers: false }))
    try {
      this.#ahead = this.#guarded(() => {
        this.#db.exec('PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
        return new WriteAheadLog(this.#db, {
          longest: longestLog,
          clock,
          failed: (error) =>
            log.error('could not bring the log of the state into it; it grows until that works', {
              file: path,
              error: error instanceof Error ? error.message : String(error),
            }),
          sync,
        })
      })
    } catch (error) {
      this.#db.close()
      throw error
    }
  }

  rows(text: string, values: readonly Value[] = []): Promise<Row[]> {
    const asked = async () => {
      if (!isQuestion.test(text)) await this.#merged()
      return this.#run(text, values)
    }
    return this.#safe(this.#alone(asked))
  }

  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    const done = this.#alone(async () => {
      await this.#merged()
      this.#run('BEGIN IMMEDIATE')
      try {
        const inside: Sql = {
          dialect: sqlite,
          rows: async (text, values) => this.#run(text, values),
          transaction: (work) => work(inside),
        }
        const result = await work(inside)
        this.#run('COMMIT')
        return result
      } catch (error) {
        if (this.#db.inTransaction) this.#db.exec('ROLLBACK')
        throw error
      }
    })
    return this.#safe(done)
  }

  /** After what is under way. */
  close(): Promise<void> {
    return this.#alone(async () => {
      if (this.#closed) return
      this.#closed = true
      this.#ahead.close()
    })
  }

  /** Also who only reads waits until that outlives the machine which others wrote before, and who works on it. */
  async #safe<T>(done: Promise<T>): Promise<T> {
    const result = await done
    await this.#disk(() => this.#ahead.sync())
    // That is on the disk as it is: what becomes of its log is nothing to whoever asked.
    this.#ahead.shorten(() => this.#alone(() => this.#merge()))
    return result
  }

  /** Nothing is committed before a merge that the disk failed is done: see {@link WriteAheadLog.held}. */
  async #merged(): Promise<void> {
    if (this.#ahead.held) await this.#disk(() => this.#merge())
  }

  #merge(): Promise<void> {
    return this.#ahead.merge((work) => work())
  }

  /** @throws {Failure} `unavailable` */
  async #disk(work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      throw new Failure('unavailable', `cannot bring ${this.#path} to the disk: ${(error as Error).message}`, {
        cause: error,
      })
    }
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    this.#turns = (this.#turns + 1) % turnsAtOnce
    const before = this.#turns === 0 ? this.#turn.then(breath) : this.#turn
    const turn = before.then(work)
    this.#turn = turn.catch(() => {})
    return turn
  }

  #run(text: string, values: readonly Value[] = []): Row[] {
    if (this.#closed) throw new Failure('unavailable', `${this.#path} is closed`)
    if (!isQuestion.test(text)) this.#ahead.wrote()
    return this.#guarded(() =>
      this.#db.query<Row, Value[]>(text.replace(/\$(\d+)/g, '?$1')).all(...values.map(storable)),
    )
  }

  #guarded<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      if (!(error instanceof SQLiteError || isSystemError(error))) throw error
      throw new Failure('unavailable', `${this.#path}: ${error.message}${mendOf(this.#path, error)}`, { cause: error })
    }
  }
}

/** Of a call to the system, as "EACCES: permission denied, open '/var/lib/shoal/state.db'". */
function isSystemError(error: unknown): error is Error {
  return error instanceof Error && 'syscall' in error
}
