/** The state of a node: which database, and what is said of it while it cannot be asked. */
import { join } from 'node:path'
import type { Clock } from '../clock.ts'
import type { NodeId } from '../cluster/node-info.ts'
import { formatStateUrl, type StateUrl } from '../config/state-url.ts'
import { Failure } from '../failure.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { takeOver } from './keeper.ts'
import { LateSql } from './late.ts'
import { openPostgres, postgres } from './postgres.ts'
import { SqlState } from './sql-state.ts'
import { openSqliteFile, sqlite } from './sqlite.ts'
import type { State } from './state.ts'

export interface StateOptions {
  /** Absent: a file in `dataDir`. */
  readonly url?: StateUrl
  readonly passwordFile?: string
  readonly caFile?: string
  readonly dataDir: string
  /** Whose file that is. */
  readonly node: NodeId
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<Metrics, 'stateUp'>
}

/** For messages: no secret is in it. */
export function whereStateIs({ url, dataDir }: Pick<StateOptions, 'url' | 'dataDir'>): string {
  return url ? formatStateUrl(url) : fileIn(dataDir)
}

function fileIn(dataDir: string): string {
  return join(dataDir, 'state.db')
}

/** More than a server takes for a statement, and a connection before. */
const deadlineMs = 15_000

/**
 * A database that is out of reach does not keep a node from starting: it serves pulls, and what needs the state says so.
 * @throws {Failure} `internal` when a newer shoal wrote it
 */
export async function openState(options: StateOptions): Promise<State> {
  const { url, dataDir, node, clock, log, metrics } = options
  const path = fileIn(dataDir)
  const name = whereStateIs(options)
  const sql = new LateSql({
    name,
    dialect: url ? postgres : sqlite,
    open: async () => (url ? openPostgres({ ...options, url }) : takeOver(await openSqliteFile(path, options), node)),
    renew: url !== undefined,
    clock,
    deadlineMs,
    changed: (trouble) => {
      metrics.stateUp.set(trouble === undefined ? 1 : 0)
      if (trouble === undefined) log.info('the state of the cluster is within reach again', { state: name })
      else {
        log.warn('the state of the cluster is out of reach; pulls go on without it', {
          state: name,
          error: trouble,
          mend: url ? 'see that the server runs, and that this host, user and password are let in' : `see to ${path}`,
        })
      }
    },
  })
  const state = new SqlState(
    sql,
    log,
    () => sql.trouble,
    () => sql.close(),
  )
  metrics.stateUp.set(1)
  try {
    await state.id()
  } catch (error) {
    if (Failure.from(error).code === 'unavailable') return state
    await state.close()
    throw error
  }
  return state
}
