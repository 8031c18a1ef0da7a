/** The state that several nodes share, in PostgreSQL, through Bun's own client. It connects again by itself. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SQL } from 'bun'
import { formatStateUrl, type StateUrl } from '../config/state-url.ts'
import { Failure } from '../failure.ts'
import type { OpenSql } from './late.ts'
import { migrate } from './schema.ts'
import { type Dialect, type Row, type Sql, storable, type Value } from './sql.ts'

/** Of all shoals that use the database; any number that no other program is likely to take. */
const lockNumber = 4_880_248_101

export const postgres: Dialect = {
  serial: 'BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY',
  numberFrom: (table, first) => [
    `SELECT setval(pg_get_serial_sequence('${table}', 'id'), GREATEST(${first}, (SELECT COALESCE(MAX(id), 0) + 1 FROM ${table})), false)`,
  ],
  text: 'TEXT COLLATE "C"',
  skipLocked: 'FOR UPDATE SKIP LOCKED',
  inTurn: `SELECT pg_advisory_xact_lock(${lockNumber})`,
}

export interface PostgresOptions {
  readonly url: StateUrl
  /** Read for each connection, so that a changed password is taken up. */
  readonly passwordFile?: string
  /** PEM certificates that the server's is checked against, its name too. */
  readonly caFile?: string
}

/** Nobody waits longer for the server than that; it ends what takes longer. */
const statementMs = 10_000
const connectSeconds = 5
/** Of one node: there may be dozens, and a server has a hundred by default. */
const connections = 4

/** @throws {Failure} `unavailable`; `internal` when a newer shoal made the tables */
export async function openPostgres({ url, passwordFile, caFile }: PostgresOptions): Promise<OpenSql> {
  const name = formatStateUrl(url)
  const { host, port, user, database, sslMode } = url
  const client = new SQL({
    adapter: 'postgres',
    ...(host.startsWith('/') ? { path: join(host, `.s.PGSQL.${port}`) } : { hostname: host, port }),
    username: user,
    database,
    // Never what the environment has of passwords and modes for other programs.
    password: passwordFile === undefined ? '' : () => readFileSync(passwordFile, 'utf8').trim(),
    tls: caFile === undefined ? (sslMode ?? 'prefer') : { ca: Bun.file(caFile) },
    max: connections,
    connectionTimeout: connectSeconds,
    connection: {
      application_name: 'shoal',
      statement_timeout: statementMs,
      idle_in_transaction_session_timeout: statementMs,
    },
  })
  const sql: OpenSql = {
    dialect: postgres,
    rows: (text, values) => asked(name, () => client.unsafe(text, values?.map(storable))),
    transaction: (work) => asked(name, () => client.begin((tx) => work(within(name, tx)))),
    close: () => client.close({ timeout: 1 }),
  }
  try {
    await migrate(sql, name)
    return sql
  } catch (error) {
    await sql.close()
    throw error
  }
}

function within(name: string, tx: Pick<SQL, 'unsafe'>): Sql {
  const inside: Sql = {
    dialect: postgres,
    rows: (text, values?: readonly Value[]): Promise<Row[]> =>
      asked(name, () => tx.unsafe(text, values?.map(storable))),
    transaction: (work) => work(inside),
  }
  return inside
}

async function asked<T>(name: string, ask: () => PromiseLike<T>): Promise<T> {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof SQL.SQLError)) throw error
    throw failureOf(name, error)
  }
}

/** What the server says of the question itself is our mistake; all else is that it cannot be asked now, or by this node. */
const ours = /^(?:22|23|42)/

function failureOf(name: string, error: InstanceType<typeof SQL.SQLError>): Failure {
  const state = 'errno' in error && typeof error.errno === 'string' ? error.errno : ''
  // 42501: this user may not.
  const code = ours.test(state) && state !== '42501' ? 'internal' : 'unavailable'
  return new Failure(code, `${name}: ${error.message}`, { cause: error })
}
