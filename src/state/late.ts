/**
 * A database that may be out of reach for now, at the start too. It is opened when somebody asks, by one at a time; what
 * fails is told to those who ask within the next moment without another try. A server that does not answer is given up:
 * with it goes the connection, so that the next question has a new one. A file is not: on a slow disk a second connection
 * would wait for the same disk, and stand beside the first one, which is still at work.
 */
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import type { Dialect, Row, Sql, Value } from './sql.ts'

export interface OpenSql extends Sql {
  close(): Promise<void>
}

/** A failure to open counts for so long, in ms. */
const quietMs = 1000

export interface LateOptions {
  /** For messages: no secrets in it. */
  readonly name: string
  readonly dialect: Dialect
  readonly open: () => Promise<OpenSql>
  /** What is late is closed and opened anew; else whoever waits for it is told alone. */
  readonly renew: boolean
  readonly clock: Clock
  /** A question, or a transaction, has this long to be answered, in ms. */
  readonly deadlineMs: number
  /** Out of reach, and there again: told once each. */
  readonly changed?: (trouble: string | undefined) => void
}

export class LateSql implements Sql {
  readonly dialect: Dialect
  readonly #o: LateOptions
  #opening: Promise<OpenSql> | undefined
  #failed: { readonly failure: Failure; readonly at: number } | undefined
  #trouble: string | undefined
  #closed = false

  constructor(options: LateOptions) {
    this.#o = options
    this.dialect = options.dialect
  }

  get trouble(): string | undefined {
    return this.#trouble
  }

  rows(text: string, values?: readonly Value[]): Promise<Row[]> {
    return this.#ask((sql) => sql.rows(text, values))
  }

  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    return this.#ask((sql) => sql.transaction(work))
  }

  async close(): Promise<void> {
    this.#closed = true
    const opening = this.#opening
    this.#opening = undefined
    await opening?.then((sql) => sql.close()).catch(() => {})
  }

  async #ask<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    const { name, renew, clock, deadlineMs } = this.#o
    if (this.#closed) throw new Failure('unavailable', `${name} is closed`)
    let cancel = () => {}
    let opening: Promise<OpenSql> | undefined
    const late = new Promise<never>((_, reject) => {
      const failure = new Failure('unavailable', `${name} did not answer within ${deadlineMs / 1000} s`)
      cancel = clock.after(deadlineMs, () => {
        reject(failure)
        if (opening && renew) this.#giveUp(opening)
      })
    })
    try {
      opening = this.#opened()
      const result = await Promise.race([opening.then(work), late])
      this.#say(undefined)
      return result
    } catch (error) {
      if (error instanceof Failure && error.code === 'unavailable') this.#say(error.message)
      throw error
    } finally {
      cancel()
    }
  }

  #opened(): Promise<OpenSql> {
    const { open, clock } = this.#o
    if (this.#opening) return this.#opening
    if (this.#failed && clock.now() - this.#failed.at < quietMs) return Promise.reject(this.#failed.failure)
    const opening = open()
    this.#opening = opening
    opening.catch((error) => {
      if (this.#opening === opening) this.#opening = undefined
      this.#failed = { failure: Failure.from(error), at: clock.now() }
    })
    return opening
  }

  #giveUp(opening: Promise<OpenSql>): void {
    if (this.#opening === opening) this.#opening = undefined
    opening.then((sql) => sql.close()).catch(() => {})
  }

  #say(trouble: string | undefined): void {
    const changed = (trouble === undefined) !== (this.#trouble === undefined)
    this.#trouble = trouble
    if (changed) this.#o.changed?.(trouble)
  }
}
