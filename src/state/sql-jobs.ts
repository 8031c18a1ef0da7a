/** Jobs: one of a kind and key is under way at a time, and one node at a time runs it. */
import type { NodeId } from '../cluster/node-info.ts'
import {
  isPast,
  longestWaitMs,
  numberIn,
  optionalNumber,
  optionalText,
  type Row,
  type Sql,
  textIn,
  type Value,
} from './sql.ts'
import type { Job, JobState, Jobs } from './state.ts'

const columns = 'id, kind, key, state, reason, body, created_at, updated_at, owner, leased_until'
const underWay = "state IN ('pending', 'running')"

export class SqlJobs implements Jobs {
  readonly #sql: Sql

  constructor(sql: Sql) {
    this.#sql = sql
  }

  async add(job: Parameters<Jobs['add']>[0]): Promise<{ job: Job; created: boolean }> {
    const { kind, key, body, at, held } = job
    // Between the two questions the one there was may have ended: then it is to be added after all.
    for (;;) {
      const [made] = await this.#sql.rows(
        `INSERT INTO jobs (kind, key, state, body, created_at, updated_at, owner, leased_until)
         VALUES ($1, $2, 'pending', $3, $4, $4, $5, $6)
         ON CONFLICT (kind, key) WHERE ${underWay} DO NOTHING RETURNING ${columns}`,
        [kind, key, JSON.stringify(body), at, held?.owner ?? null, held?.until ?? null],
      )
      if (made) return { job: jobOf(made), created: true }
      const [found] = await this.#those(`kind = $1 AND key = $2 AND ${underWay}`, [kind, key])
      if (found) return { job: found, created: false }
    }
  }

  async find(id: number): Promise<Job | undefined> {
    return (await this.#those('id = $1', [id]))[0]
  }

  list(kind: string, limit: number): Promise<Job[]> {
    return this.#those('kind = $1 ORDER BY id DESC LIMIT $2', [kind, limit])
  }

  async claim(kind: string, owner: NodeId, now: number, leaseMs: number): Promise<Job | undefined> {
    const [row] = await this.#sql.rows(
      `UPDATE jobs SET owner = $2, leased_until = $4 WHERE id = (
         SELECT id FROM jobs WHERE kind = $1 AND ${underWay}
         AND (leased_until IS NULL OR ${isPast('leased_until', '$3', '$5')})
         ORDER BY id LIMIT 1 ${this.#sql.dialect.skipLocked})
       RETURNING ${columns}`,
      [kind, owner, now, now + leaseMs, now + longestWaitMs],
    )
    return row && jobOf(row)
  }

  async update(
    id: number,
    owner: NodeId,
    change: Partial<Pick<Job, 'state' | 'reason' | 'body' | 'leasedUntil'>> & { updatedAt: number },
  ): Promise<boolean> {
    const { state, reason, body, leasedUntil, updatedAt } = change
    const rows = await this.#sql.rows(
      `UPDATE jobs SET updated_at = $3, state = COALESCE($4, state), reason = COALESCE($5, reason),
         body = COALESCE($6, body), leased_until = COALESCE($7, leased_until)
       WHERE id = $1 AND owner = $2 AND ${underWay} RETURNING id`,
      [
        id,
        owner,
        updatedAt,
        state ?? null,
        reason ?? null,
        body === undefined ? null : JSON.stringify(body),
        leasedUntil ?? null,
      ],
    )
    return rows.length > 0
  }

  async cancel(id: number, now: number): Promise<boolean> {
    const rows = await this.#sql.rows(
      `UPDATE jobs SET state = 'cancelled', updated_at = $2 WHERE id = $1 AND ${underWay} RETURNING id`,
      [id, now],
    )
    return rows.length > 0
  }

  async forget(before: number): Promise<void> {
    await this.#sql.rows(`DELETE FROM jobs WHERE NOT ${underWay} AND updated_at < $1`, [before])
  }

  async #those(where: string, values: readonly Value[]): Promise<Job[]> {
    return (await this.#sql.rows(`SELECT ${columns} FROM jobs WHERE ${where}`, values)).map(jobOf)
  }
}

function jobOf(row: Row): Job {
  const [reason, owner] = [optionalText(row, 'reason'), optionalText(row, 'owner')]
  const leasedUntil = optionalNumber(row, 'leased_until')
  return {
    id: numberIn(row, 'id'),
    kind: textIn(row, 'kind'),
    key: textIn(row, 'key'),
    state: textIn(row, 'state') as JobState,
    body: JSON.parse(textIn(row, 'body')),
    createdAt: numberIn(row, 'created_at'),
    updatedAt: numberIn(row, 'updated_at'),
    ...(reason === undefined ? {} : { reason }),
    ...(owner === undefined ? {} : { owner }),
    ...(leasedUntil === undefined ? {} : { leasedUntil }),
  }
}
