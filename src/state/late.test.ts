import { expect, test } from 'bun:test'
import { readFileSync, statSync } from 'node:fs'
import { FakeClock } from '../../test/fakes/clock.ts'
import { stateFiles } from '../../test/fakes/state-files.ts'
import { silentLog } from '../telemetry/log.ts'
import { LateSql, type OpenSql } from './late.ts'
import { openSqliteFile, sqlite } from './sqlite.ts'

const file = stateFiles()
const deadlineMs = 15_000

/** This process's locks on a file, as the kernel knows them. */
function locksOn(path: string): number {
  const { ino } = statSync(path)
  const lines = readFileSync('/proc/locks', 'utf8').split('\n')
  return lines.filter((line) => line.includes(` ${process.pid} `) && line.includes(`:${ino} `)).length
}

test('a file on a slow disk is opened once: whoever waits too long is told, and it goes on when the disk does', async () => {
  const path = file()
  const clock = new FakeClock()
  const said: (string | undefined)[] = []
  const syncs: PromiseWithResolvers<void>[] = []
  let slow = false
  let opens = 0
  const sync = () => {
    syncs.push(Promise.withResolvers())
    if (!slow) syncs.at(-1)!.resolve()
    return syncs.at(-1)!.promise
  }
  const open = () => {
    opens++
    return openSqliteFile(path, { clock, log: silentLog, sync })
  }
  const changed = (trouble: string | undefined) => said.push(trouble)
  const sql = new LateSql({ name: path, dialect: sqlite, open, renew: false, clock, deadlineMs, changed })
  const ban = (node: string, reason: string) =>
    sql.rows('INSERT INTO bans (node, reason, until) VALUES ($1, $2, 1)', [node, reason])
  await ban('a', 'lied')
  const locks = locksOn(path)
  expect(locks).toBeGreaterThan(0)
  slow = true
  // Longer than the log may be: its merge waits for the disk, and whoever asks then waits for that.
  const written = ban('b', 'x'.repeat(5_000_000)).catch(() => {})
  await Bun.sleep(5)
  syncs.at(-1)!.resolve()
  await Bun.sleep(5)
  const late = Promise.all(['c', 'd'].map((node) => ban(node, 'lied').catch((error) => error.message)))
  await Bun.sleep(5)
  clock.advance(deadlineMs)
  expect(await late).toEqual(new Array(2).fill(`${path} did not answer within 15 s`))
  await written
  expect(sql.trouble).toContain('did not answer')
  slow = false
  for (const { resolve } of syncs) resolve()
  await ban('e', 'lied')
  expect([opens, sql.trouble, said.length]).toEqual([1, undefined, 2])
  expect(locksOn(path)).toBe(locks)
  const rows = await sql.rows('SELECT node FROM bans ORDER BY node')
  expect(rows.map(({ node }) => node)).toEqual([...'abcde'])
  await sql.close()
})

test('a server that is late is asked anew over another connection, and the one before is closed', async () => {
  const clock = new FakeClock()
  let [opens, closed] = [0, 0]
  const open = async (): Promise<OpenSql> => {
    const never = new Promise<never>(() => {})
    const answer = opens++ === 0 ? never : Promise.resolve([])
    const close = async () => {
      closed++
    }
    return { dialect: sqlite, rows: () => answer, transaction: () => never, close }
  }
  const sql = new LateSql({ name: 'db', dialect: sqlite, open, renew: true, clock, deadlineMs })
  const late = sql.rows('SELECT 1').catch((error) => error.message)
  await Bun.sleep(1)
  clock.advance(deadlineMs)
  expect(await late).toBe('db did not answer within 15 s')
  expect(await sql.rows('SELECT 1')).toEqual([])
  expect([opens, closed]).toEqual([2, 1])
  await sql.close()
})
