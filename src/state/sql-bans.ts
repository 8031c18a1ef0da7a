import type { NodeId } from '../cluster/node-info.ts'
import type { Ban } from '../store/blob-store.ts'
import { numberIn, type Sql, textIn } from './sql.ts'
import type { SharedBans } from './state.ts'

/** Bans that all who share the database see. */
export class SqlBans implements SharedBans {
  readonly #sql: Sql

  constructor(sql: Sql) {
    this.#sql = sql
  }

  async list(now: number): Promise<Ban[]> {
    const rows = await this.#sql.rows('SELECT node, reason, until FROM bans WHERE until > $1 ORDER BY node', [now])
    return rows.map((row) => ({
      node: textIn(row, 'node'),
      reason: textIn(row, 'reason'),
      until: numberIn(row, 'until'),
    }))
  }

  async put({ node, reason, until }: Ban): Promise<void> {
    await this.#sql.rows(
      `INSERT INTO bans (node, reason, until) VALUES ($1, $2, $3)
       ON CONFLICT (node) DO UPDATE SET reason = excluded.reason, until = excluded.until`,
      [node, reason, until],
    )
  }

  async remove(node: NodeId): Promise<boolean> {
    return (await this.#sql.rows('DELETE FROM bans WHERE node = $1 RETURNING node', [node])).length > 0
  }
}
