/**
 * Whose database it is, where it is a file. One that was copied to another node, as with a host that was cloned with its disk,
 * is another database from then on: were it of the same name, the two would take each other for nodes that share it, and
 * copy nothing from each other; and jobs of the one would have the numbers of the other's.
 */
import type { NodeId } from '../cluster/node-info.ts'
import { firstJob } from './schema.ts'
import { numberIn, type Sql, textIn } from './sql.ts'

/** Once for a process, before anybody asks for its name. Files of releases that noted no node may have been copied as well. */
export async function keptBy(sql: Sql, node: NodeId): Promise<void> {
  await sql.transaction(async (sql) => {
    await sql.rows('CREATE TABLE IF NOT EXISTS keeper (node TEXT NOT NULL)')
    const [row] = await sql.rows('SELECT node FROM keeper')
    if (row && textIn(row, 'node') === node) return
    await sql.rows('DELETE FROM keeper')
    await sql.rows('INSERT INTO keeper (node) VALUES ($1)', [node])
    await sql.rows('UPDATE shoal SET id = $1', [crypto.randomUUID()])
    // Never back: its jobs of before keep their numbers.
    const [jobs] = await sql.rows("SELECT seq FROM sqlite_sequence WHERE name = 'jobs'")
    const first = 1000 * Math.ceil((jobs ? numberIn(jobs, 'seq') : 0) / 1000) + firstJob()
    for (const text of sql.dialect.numberFrom('jobs', first)) await sql.rows(text)
  })
}
