/** Work that is owed: for a kind and key one piece at most waits, and one is under way. */
import { isPast, longestWaitMs, numberIn, optionalNumber, optionalText, type Row, type Sql, textIn } from './sql.ts'
import type { Claim, Work, WorkQueue } from './state.ts'

const columns = 'id, kind, key, body, added_at, due_at, tries, last_error, claims'
/** The claim counts still. */
const isHeld = 'id = $1 AND claims = $2 AND claimed_until IS NOT NULL'

export class SqlWork implements WorkQueue {
  readonly #sql: Sql

  constructor(sql: Sql) {
    this.#sql = sql
  }

  async add(work: { kind: string; key: string; body: unknown; at: number; dueAt?: number }): Promise<void> {
    const { kind, key, body, at, dueAt = at } = work
    await this.#sql.rows(
      `INSERT INTO work (kind, key, body, added_at, due_at, tries) VALUES ($1, $2, $3, $4, $5, 0)
       ON CONFLICT (kind, key) WHERE claimed_until IS NULL DO UPDATE SET body = excluded.body,
         added_at = excluded.added_at, due_at = excluded.due_at, tries = 0, last_error = NULL`,
      [kind, key, JSON.stringify(body), at, dueAt],
    )
  }

  async claim(kind: string, now: number, leaseMs: number): Promise<Work | undefined> {
    const [row] = await this.#sql.rows(
      `UPDATE work SET claimed_until = $3, claims = claims + 1 WHERE id = (
         SELECT id FROM work WHERE kind = $1 AND ${isPast('due_at', '$2', '$4')}
         AND (claimed_until IS NULL OR ${isPast('claimed_until', '$2', '$4')})
         AND NOT EXISTS (
           SELECT 1 FROM work older WHERE older.kind = work.kind AND older.key = work.key AND older.id < work.id)
         ORDER BY due_at, id LIMIT 1 ${this.#sql.dialect.skipLocked})
       RETURNING ${columns}`,
      [kind, now, now + leaseMs, now + longestWaitMs],
    )
    return row && workOf(row)
  }

  async extend({ id, claims }: Claim, until: number): Promise<boolean> {
    const rows = await this.#sql.rows(`UPDATE work SET claimed_until = $3 WHERE ${isHeld} RETURNING id`, [
      id,
      claims,
      until,
    ])
    return rows.length > 0
  }

  async done({ id, claims }: Claim): Promise<boolean> {
    const rows = await this.#sql.rows(`DELETE FROM work WHERE ${isHeld} RETURNING id`, [id, claims])
    return rows.length > 0
  }

  async retry({ id, claims }: Claim, dueAt: number, error: string): Promise<boolean> {
    return this.#sql.transaction(async (sql) => {
      if (sql.dialect.inTurn) await sql.rows(sql.dialect.inTurn)
      const replaced = await sql.rows(
        `DELETE FROM work WHERE ${isHeld} AND EXISTS (
           SELECT 1 FROM work newer WHERE newer.kind = work.kind AND newer.key = work.key AND newer.id > work.id)
         RETURNING id`,
        [id, claims],
      )
      if (replaced.length > 0) return true
      const put = await sql.rows(
        `UPDATE work SET claimed_until = NULL, due_at = $3, tries = tries + 1, last_error = $4 WHERE ${isHeld}
         RETURNING id`,
        [id, claims, dueAt, error],
      )
      return put.length > 0
    })
  }

  async list(kind: string, limit: number): Promise<Work[]> {
    const rows = await this.#sql.rows(`SELECT ${columns} FROM work WHERE kind = $1 ORDER BY added_at, id LIMIT $2`, [
      kind,
      limit,
    ])
    return rows.map(workOf)
  }

  async keys(kind: string): Promise<string[]> {
    const rows = await this.#sql.rows('SELECT DISTINCT key FROM work WHERE kind = $1', [kind])
    return rows.map((row) => textIn(row, 'key'))
  }

  async count(kind: string): Promise<{ waiting: number; oldestAt?: number }> {
    const [row] = await this.#sql.rows(
      'SELECT COUNT(*) AS waiting, MIN(added_at) AS oldest_at FROM work WHERE kind = $1',
      [kind],
    )
    const oldestAt = row && optionalNumber(row, 'oldest_at')
    return { waiting: row ? numberIn(row, 'waiting') : 0, ...(oldestAt === undefined ? {} : { oldestAt }) }
  }
}

function workOf(row: Row): Work {
  const lastError = optionalText(row, 'last_error')
  return {
    id: numberIn(row, 'id'),
    kind: textIn(row, 'kind'),
    key: textIn(row, 'key'),
    body: JSON.parse(textIn(row, 'body')),
    addedAt: numberIn(row, 'added_at'),
    dueAt: numberIn(row, 'due_at'),
    tries: numberIn(row, 'tries'),
    claims: numberIn(row, 'claims'),
    ...(lastError === undefined ? {} : { lastError }),
  }
}
