/**
 * Repositories as rows have them: `registry/name`, or the URL of a file. A row that has neither (a database that was
 * changed by hand, one that a newer shoal wrote to) is left out, and said so once: the others count all the same.
 */
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import { fileAt, isOrigin } from '../oci/file.ts'
import { type Repository, repositoryOf } from '../oci/reference.ts'
import type { Log } from '../telemetry/log.ts'
import { type Row, textIn } from './sql.ts'
import type { Lasting } from './state.ts'

/** A registry has no slash in it, and no scheme in front. @throws {Failure} `bad-name`, `bad-request` */
function parse(text: string): Repository {
  if (isOrigin(text)) return fileAt(text)
  const slash = text.indexOf('/')
  return repositoryOf(text.slice(0, Math.max(0, slash)), text.slice(slash + 1))
}

/** Of rows of repositories of registries: files have no list, no catalog and no rule. */
export const noFile = "repository NOT LIKE '%://%'"

const mostSaid = 1000
const longestSaid = 160

export class Repositories {
  readonly #log: Pick<Log, 'warn'>
  readonly #said = lru<string, true>(mostSaid)

  constructor(log: Pick<Log, 'warn'>) {
    this.#log = log
  }

  /** Undefined for what is none. */
  in(row: Row): Repository | undefined {
    const text = textIn(row, 'repository')
    try {
      return parse(text)
    } catch (error) {
      if (!this.#said.has(text)) {
        this.#log.warn('a row of the state names no repository and is left out', {
          row: text.slice(0, longestSaid),
          error: Failure.from(error).message,
        })
      }
      this.#said.set(text, true)
      return undefined
    }
  }

  /** The names in these rows of which not all lasts, with what does. What names no repository stays: no rule knows it. */
  *passing(
    rows: readonly Row[],
    lasting: (repository: Repository) => Lasting,
  ): Generator<readonly [name: string, lasts: Exclude<Lasting, 'all'>]> {
    for (const row of rows) {
      const repository = this.in(row)
      const lasts = repository ? lasting(repository) : 'all'
      if (lasts !== 'all') yield [textIn(row, 'repository'), lasts]
    }
  }

  /**
   * Up to `limit` things made of rows with a repository, in the order of the rows; fewer only where there are no more.
   * `read`: so many rows after that one.
   */
  async page<T>(
    limit: number,
    read: (last: Row | undefined, limit: number) => Promise<Row[]>,
    make: (repository: Repository, row: Row) => T,
  ): Promise<T[]> {
    const found: T[] = []
    for (let last: Row | undefined; found.length < limit; ) {
      const wanted = limit - found.length
      const rows = await read(last, wanted)
      for (const row of rows) {
        const repository = this.in(row)
        if (repository) found.push(make(repository, row))
      }
      if (rows.length < wanted) break
      last = rows.at(-1)
    }
    return found
  }
}
