/** What is kept for good, in a database that speaks SQL. */
import type { Log } from '../telemetry/log.ts'
import { type Sql, textIn } from './sql.ts'
import { SqlBans } from './sql-bans.ts'
import { SqlContents } from './sql-contents.ts'
import { SqlJobs } from './sql-jobs.ts'
import { Repositories } from './sql-repositories.ts'
import { SqlTags } from './sql-tags.ts'
import { SqlWork } from './sql-work.ts'
import type { State } from './state.ts'

export class SqlState implements State {
  readonly tags: SqlTags
  readonly contents: SqlContents
  readonly jobs: SqlJobs
  readonly work: SqlWork
  readonly bans: SqlBans
  readonly #sql: Sql
  readonly #trouble: () => string | undefined
  readonly #close: () => Promise<void>
  #id: string | undefined

  constructor(sql: Sql, log: Log, trouble: () => string | undefined, close: () => Promise<void>) {
    const repositories = new Repositories(log)
    this.#sql = sql
    this.#trouble = trouble
    this.#close = close
    this.tags = new SqlTags(sql, repositories)
    this.contents = new SqlContents(sql, repositories)
    this.jobs = new SqlJobs(sql)
    this.work = new SqlWork(sql)
    this.bans = new SqlBans(sql)
  }

  get trouble(): string | undefined {
    return this.#trouble()
  }

  async id(): Promise<string> {
    this.#id ??= textIn((await this.#sql.rows('SELECT id FROM shoal'))[0]!, 'id')
    return this.#id
  }

  close(): Promise<void> {
    return this.#close()
  }
}
