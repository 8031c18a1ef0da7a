/**
 * Whose database it is, where it is a file. One that was copied to another node, as with a host that was cloned with its disk,
 * is another database from then on: were it of the same name, the two would take each other for nodes that share it, and
 * copy nothing from each other; and jobs of the one would have the numbers of the other's.
 */
import type { NodeId } from '../cluster/node-info.ts'
import type { OpenSql } from './late.ts'
import { firstJob } from './schema.ts'
import { numberIn, type Sql, textIn } from './sql.ts'

/**
 * What a process does with the file when it has opened it, before anybody asks: it is this node's, and what had been claimed
 * may be claimed again at once, for nobody else works with it: whoever did was the process before, which was killed with
 * that in its hands. Closes the file where that fails. @throws {Failure} `unavailable`
 */
export async function takeOver(file: OpenSql, node: NodeId): Promise<OpenSql> {
  try {
    await file.transaction(async (sql) => {
      await keptBy(sql, node)
      await sql.rows('UPDATE work SET claimed_until = 0 WHERE claimed_until IS NOT NULL')
    })
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Files of releases that noted no node may have been copied as well. */
async function keptBy(sql: Sql, node: NodeId): Promise<void> {
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
}
