/** The tables, as steps from one version to the next, for both databases. Released steps are never edited: add one below. */
import { Failure } from '../failure.ts'
import { type Dialect, numberIn, type Sql } from './sql.ts'

const steps: readonly ((dialect: Dialect) => readonly string[])[] = [
  ({ serial, text }) => [
    // A run of statements that a tag points to one digest, '' for none: the first one
    // by `said_by` at `at`, the last one by `seen_by` at `seen_at`, wall ms.
    `CREATE TABLE tag_lines (
       number     ${serial},
       repository ${text} NOT NULL,
       tag        ${text} NOT NULL,
       digest     ${text} NOT NULL,
       media_type ${text} NOT NULL,
       size       BIGINT NOT NULL,
       at         BIGINT NOT NULL,
       seen_at    BIGINT NOT NULL,
       said_by    ${text} NOT NULL,
       seen_by    ${text} NOT NULL,
       newest     INTEGER NOT NULL
     )`,
    'CREATE UNIQUE INDEX tag_lines_in_order ON tag_lines (repository, tag, at, said_by, digest)',
    'CREATE UNIQUE INDEX tag_lines_newest ON tag_lines (repository, tag) WHERE newest = 1',
    `CREATE TABLE contents (
       repository    ${text} NOT NULL,
       digest        ${text} NOT NULL,
       kind          ${text} NOT NULL,
       media_type    ${text} NOT NULL,
       size          BIGINT NOT NULL,
       at            BIGINT NOT NULL,
       subject       ${text},
       artifact_type ${text},
       annotations   ${text},
       parts         ${text},
       removed       INTEGER NOT NULL,
       said_at       BIGINT NOT NULL,
       number        BIGINT NOT NULL,
       PRIMARY KEY (repository, digest)
     )`,
    'CREATE UNIQUE INDEX contents_by_number ON contents (number)',
    // Who takes the next number keeps others from it until he has committed: so numbers are seen in order.
    'CREATE TABLE content_number (last BIGINT NOT NULL)',
    'INSERT INTO content_number (last) VALUES (0)',
    'CREATE INDEX contents_by_digest ON contents (digest)',
    'CREATE INDEX contents_by_subject ON contents (repository, subject) WHERE subject IS NOT NULL',
    `CREATE TABLE jobs (
       id           ${serial},
       kind         ${text} NOT NULL,
       key          ${text} NOT NULL,
       state        ${text} NOT NULL,
       reason       ${text},
       body         ${text} NOT NULL,
       created_at   BIGINT NOT NULL,
       updated_at   BIGINT NOT NULL,
       owner        ${text},
       leased_until BIGINT
     )`,
    "CREATE UNIQUE INDEX jobs_under_way ON jobs (kind, key) WHERE state IN ('pending', 'running')",
    'CREATE INDEX jobs_by_kind ON jobs (kind, id)',
    `CREATE TABLE work (
       id            ${serial},
       kind          ${text} NOT NULL,
       key           ${text} NOT NULL,
       body          ${text} NOT NULL,
       added_at      BIGINT NOT NULL,
       due_at        BIGINT NOT NULL,
       tries         BIGINT NOT NULL,
       last_error    ${text},
       claimed_until BIGINT
     )`,
    'CREATE UNIQUE INDEX work_waiting ON work (kind, key) WHERE claimed_until IS NULL',
    'CREATE INDEX work_by_key ON work (kind, key, id)',
    'CREATE INDEX work_by_due ON work (kind, due_at, id)',
    `CREATE TABLE bans (node ${text} PRIMARY KEY, reason ${text} NOT NULL, until BIGINT NOT NULL)`,
  ],
  () => ['ALTER TABLE work ADD COLUMN claims BIGINT NOT NULL DEFAULT 0'],
  ({ numberFrom }) => numberFrom('jobs', firstJob()),
  () => ['CREATE INDEX contents_there ON contents (repository) WHERE removed = 0'],
]

/**
 * Each database begins somewhere else among numbers of nine digits, a multiple of a thousand (a file so much further on
 * with each node that it comes to). For a job is asked for by its number alone, at nodes that need not share a database:
 * two jobs of one number would be taken for each other.
 */
export function firstJob(): number {
  const [random] = crypto.getRandomValues(new Uint32Array(1))
  return 1000 * (100_000 + (random! % 900_000))
}

export const schemaVersion = steps.length

/**
 * Brings the tables up to date, in one transaction. Nodes that share the database do it one after the other.
 * @throws {Failure} `internal` when a newer shoal wrote them, `unavailable` when the database cannot be asked
 */
export async function migrate(sql: Sql, name: string): Promise<void> {
  await sql.transaction(async (sql) => {
    if (sql.dialect.inTurn) await sql.rows(sql.dialect.inTurn)
    await sql.rows(`CREATE TABLE IF NOT EXISTS shoal (version INTEGER NOT NULL, id ${sql.dialect.text} NOT NULL)`)
    const [row] = await sql.rows('SELECT version FROM shoal')
    const found = row ? numberIn(row, 'version') : 0
    if (!row) await sql.rows('INSERT INTO shoal (version, id) VALUES (0, $1)', [crypto.randomUUID()])
    if (found > schemaVersion) {
      throw new Failure(
        'internal',
        `${name} was written by a newer shoal (schema ${found}, this one knows ${schemaVersion}): ` +
          'start that version again, or give this node another --state',
      )
    }
    for (const step of steps.slice(found)) for (const text of step(sql.dialect)) await sql.rows(text)
    if (found < schemaVersion) await sql.rows('UPDATE shoal SET version = $1', [schemaVersion])
  })
}
