/**
 * Tags and their history. A line stands for a run of statements that said the same: two neighbours never have the same
 * digest. When a statement comes late, the run it falls into is cut in two, so that the order in which statements are
 * heard makes no difference to what a tag points to. Of a run its ends are kept alone: after a cut, the tag came back at
 * the latest of its times that is known.
 */
import type { Digest } from '../oci/digest.ts'
import { formatRepository, type Repository, type Tag } from '../oci/reference.ts'
import { numberIn, type Row, type Sql, textIn } from './sql.ts'
import { noFile, type Repositories } from './sql-repositories.ts'
import type { Lasting, Page, TagChange, TagEntry, TagIndex } from './state.ts'

const columns = 'number, repository, tag, digest, media_type, size, at, seen_at, said_by, seen_by, newest'

export class SqlTags implements TagIndex {
  readonly #sql: Sql
  readonly #repositories: Repositories

  constructor(sql: Sql, repositories: Repositories) {
    this.#sql = sql
    this.#repositories = repositories
  }

  async get(repository: Repository, tag: Tag): Promise<TagEntry | undefined> {
    const line = await newestOf(this.#sql, [formatRepository(repository), tag])
    return line && entryOf(line)
  }

  async at(repository: Repository, tag: Tag, wall: number): Promise<TagEntry | undefined> {
    const [row] = await this.#sql.rows(
      `SELECT ${columns} FROM tag_lines WHERE repository = $1 AND tag = $2 AND at <= $3
       ORDER BY at DESC, said_by DESC, digest DESC LIMIT 1`,
      [formatRepository(repository), tag, wall],
    )
    return row && entryOf(lineOf(row))
  }

  async set(repository: Repository, tag: Tag, entry: TagEntry): Promise<void> {
    const name: Name = [formatRepository(repository), tag]
    await this.#inTurn(async (sql) => {
      await state(sql, name, entry)
      const { seenAt = entry.at } = entry
      if (seenAt > entry.at) await state(sql, name, { ...entry, at: seenAt })
    })
  }

  point(repository: Repository, tag: Tag, entry: TagEntry): Promise<TagEntry> {
    const name: Name = [formatRepository(repository), tag]
    return this.#inTurn(async (sql) => {
      const newest = await newestOf(sql, name)
      const at = newest ? Math.max(entry.at, newest.seenAt + 1) : entry.at
      await state(sql, name, { ...entry, at }, 'always')
      return entryOf((await newestOf(sql, name))!)
    })
  }

  async history(repository: Repository, tag: Tag, limit: number): Promise<TagEntry[]> {
    const rows = await this.#sql.rows(
      `SELECT ${columns} FROM tag_lines WHERE repository = $1 AND tag = $2
       ORDER BY at DESC, said_by DESC, digest DESC LIMIT $3`,
      [formatRepository(repository), tag, limit],
    )
    return rows.map((row) => entryOf(lineOf(row)))
  }

  async list(repository: Repository, { after = '', limit }: Page<string>): Promise<Tag[]> {
    const rows = await this.#sql.rows(
      `SELECT tag FROM tag_lines WHERE repository = $1 AND tag > $2 AND newest = 1 AND digest <> '' ORDER BY tag LIMIT $3`,
      [formatRepository(repository), after, limit],
    )
    return rows.map((row) => textIn(row, 'tag') as Tag)
  }

  repositories({ after = '', limit }: Page<string>): Promise<Repository[]> {
    return this.#repositories.page(
      limit,
      (last, limit) =>
        // From one name to the next, for each has rows by the thousand; so they come in order too.
        this.#sql.rows(
          `WITH RECURSIVE names (repository) AS (
             SELECT ${nextAfter('$1')} UNION ALL
             SELECT ${nextAfter('names.repository')} FROM names WHERE names.repository IS NOT NULL)
           SELECT repository FROM names WHERE repository IS NOT NULL LIMIT $2`,
          [last ? textIn(last, 'repository') : after, limit],
        ),
      (repository) => repository,
    )
  }

  changes(after: number, limit: number): Promise<TagChange[]> {
    return this.#repositories.page(
      limit,
      (last, limit) =>
        this.#sql.rows(`SELECT ${columns} FROM tag_lines WHERE number > $1 ORDER BY number LIMIT $2`, [
          last ? numberIn(last, 'number') : after,
          limit,
        ]),
      (repository, row) => {
        const line = lineOf(row)
        return { ...entryOf(line), repository, tag: line.tag, number: line.number }
      },
    )
  }

  async lastChange(): Promise<number> {
    const [row] = await this.#sql.rows('SELECT COALESCE(MAX(number), 0) AS number FROM tag_lines')
    return numberIn(row!, 'number')
  }

  async forget(before: number, lasting: (repository: Repository) => Lasting): Promise<void> {
    await this.#sql.rows(
      `DELETE FROM tag_lines WHERE newest = 0 AND at < $1 AND EXISTS (
         SELECT 1 FROM tag_lines next WHERE next.repository = tag_lines.repository AND next.tag = tag_lines.tag
         AND next.at < $1 AND (next.at, next.said_by, next.digest) > (tag_lines.at, tag_lines.said_by, tag_lines.digest))`,
      [before],
    )
    const unseen = await this.#sql.rows('SELECT DISTINCT repository FROM tag_lines WHERE newest = 1 AND seen_at < $1', [
      before,
    ])
    for (const [name, lasts] of this.#repositories.passing(unseen, lasting)) {
      const gone = lasts === 'tags' ? "AND digest = ''" : ''
      await this.#sql.rows(`DELETE FROM tag_lines WHERE repository = $1 AND newest = 1 AND seen_at < $2 ${gone}`, [
        name,
        before,
      ])
    }
  }

  /** Changes go one after the other, so that nobody who reads up to a number misses a lower one that is yet to come. */
  #inTurn<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    return this.#sql.transaction(async (sql) => {
      if (sql.dialect.inTurn) await sql.rows(sql.dialect.inTurn)
      return work(sql)
    })
  }
}

/** The first repository of a registry after `name` that has a tag or content; NULL after the last one. */
function nextAfter(name: string): string {
  const first = (from: string) =>
    `SELECT MIN(repository) AS repository FROM ${from} AND repository > ${name} AND ${noFile}`
  return `(SELECT MIN(repository) FROM (
    ${first("tag_lines WHERE newest = 1 AND digest <> ''")} UNION ALL ${first('contents WHERE removed = 0')}) either)`
}

type Name = readonly [repository: string, tag: string]

interface Line {
  readonly number: number
  readonly tag: Tag
  readonly digest: string
  readonly mediaType: string
  readonly size: number
  readonly at: number
  readonly seenAt: number
  readonly by: string
  readonly seenBy: string
  readonly newest: boolean
}

/**
 * One statement: from `at` on the tag points to that. Where it did already, copies hear of it once a day, so that they do
 * not take the tag for forgotten; or `always`, for rules look at when a tag was set last.
 */
async function state(sql: Sql, name: Name, entry: TagEntry, heard: 'daily' | 'always' = 'daily'): Promise<void> {
  const said = { ...entry, digest: entry.digest ?? '', seenAt: entry.at, seenBy: entry.by }
  const place = [...name, said.at, said.by, said.digest]
  const [before] = await linesOf(sql, 'AND (at, said_by, digest) <= ($3, $4, $5)', 'DESC', place)
  const end = before && { ...before, at: before.seenAt, by: before.seenBy }
  if (before?.digest === said.digest) {
    if (!isAfter(said, end!)) return
    if (heard === 'daily' && sameDay(said.at, before.seenAt)) return seen(sql, before.number, said)
    await sql.rows('DELETE FROM tag_lines WHERE number = $1', [before.number])
    return insert(sql, name, { ...before, seenAt: said.at, seenBy: said.by })
  }
  const [next] = await linesOf(sql, 'AND (at, said_by, digest) > ($3, $4, $5)', 'ASC', place)
  if (before && isAfter(end!, said)) {
    // What was there before was seen again after this: so the tag came back to it.
    await seen(sql, before.number, before)
    await ended(sql, before.number)
    await insert(sql, name, { ...said, newest: false })
    await insert(sql, name, end!)
  } else if (next?.digest === said.digest) {
    await sql.rows('DELETE FROM tag_lines WHERE number = $1', [next.number])
    await insert(sql, name, { ...next, at: said.at, by: said.by })
  } else {
    if (before && !next) await ended(sql, before.number)
    await insert(sql, name, { ...said, newest: !next })
  }
}

const dayMs = 86_400_000

function sameDay(a: number, b: number): boolean {
  return Math.floor(a / dayMs) === Math.floor(b / dayMs)
}

async function seen(sql: Sql, number: number, { at, by }: Pick<Line, 'at' | 'by'>): Promise<void> {
  await sql.rows('UPDATE tag_lines SET seen_at = $2, seen_by = $3 WHERE number = $1', [number, at, by])
}

async function ended(sql: Sql, number: number): Promise<void> {
  await sql.rows('UPDATE tag_lines SET newest = 0 WHERE number = $1', [number])
}

function isAfter(a: Pick<Line, 'at' | 'by' | 'digest'>, b: Pick<Line, 'at' | 'by' | 'digest'>): boolean {
  if (a.at !== b.at) return a.at > b.at
  return a.by === b.by ? a.digest > b.digest : a.by > b.by
}

async function linesOf(sql: Sql, where: string, order: 'ASC' | 'DESC', values: (string | number)[]): Promise<Line[]> {
  const rows = await sql.rows(
    `SELECT ${columns} FROM tag_lines WHERE repository = $1 AND tag = $2 ${where}
     ORDER BY at ${order}, said_by ${order}, digest ${order} LIMIT 1`,
    values,
  )
  return rows.map(lineOf)
}

async function newestOf(sql: Sql, name: Name): Promise<Line | undefined> {
  const [row] = await sql.rows(
    `SELECT ${columns} FROM tag_lines WHERE repository = $1 AND tag = $2 AND newest = 1`,
    name,
  )
  return row && lineOf(row)
}

async function insert(sql: Sql, [repository, tag]: Name, line: Omit<Line, 'number' | 'tag'>): Promise<void> {
  const { digest, mediaType, size, at, seenAt, by, seenBy, newest } = line
  await sql.rows(
    `INSERT INTO tag_lines (repository, tag, digest, media_type, size, at, seen_at, said_by, seen_by, newest)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [repository, tag, digest, mediaType, size, at, seenAt, by, seenBy, newest ? 1 : 0],
  )
}

function lineOf(row: Row): Line {
  return {
    number: numberIn(row, 'number'),
    tag: textIn(row, 'tag') as Tag,
    digest: textIn(row, 'digest'),
    mediaType: textIn(row, 'media_type'),
    size: numberIn(row, 'size'),
    at: numberIn(row, 'at'),
    seenAt: numberIn(row, 'seen_at'),
    by: textIn(row, 'said_by'),
    seenBy: textIn(row, 'seen_by'),
    newest: numberIn(row, 'newest') === 1,
  }
}

function entryOf({ digest, mediaType, size, at, seenAt, by }: Line): TagEntry {
  return { ...(digest === '' ? {} : { digest: digest as Digest }), mediaType, size, at, seenAt, by }
}
