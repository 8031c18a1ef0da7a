import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { chmodSync, chownSync, mkdirSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describeState } from '../../test/conformance/state.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { RecordedLog } from '../../test/fakes/registry-source.ts'
import { stateFiles } from '../../test/fakes/state-files.ts'
import { nobody } from '../../test/fakes/stranger.ts'
import { systemClock } from '../clock.ts'
import { digestOf } from '../oci/digest.ts'
import { parseTag } from '../oci/reference.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { openState } from './open-state.ts'
import type { Sql } from './sql.ts'
import { openSqlite, openSqliteFile } from './sqlite.ts'

const file = stateFiles()

describeState(
  'SQLite',
  async () => {
    const path = file()
    return { open: () => openSqlite(path), drop: async () => {} }
  },
  { shared: false },
)

test('lives in memory too', async () => {
  const state = await openSqlite(':memory:')
  await state.bans.put({ node: 'n1', reason: 'lied', until: 100 })
  expect(await state.bans.list(0)).toHaveLength(1)
  await state.close()
})

describe('the disk', () => {
  const slowSql = async () => {
    const path = file()
    const syncs: PromiseWithResolvers<void>[] = []
    let slow = false
    const sync = () => {
      syncs.push(Promise.withResolvers())
      if (!slow) syncs.at(-1)!.resolve()
      return syncs.at(-1)!.promise
    }
    const sql = await openSqliteFile(path, { clock: systemClock, log: silentLog, sync })
    slow = true
    syncs.length = 0
    const ban = (node: string) =>
      sql.rows('INSERT INTO bans (node, reason, until) VALUES ($1, $2, $3)', [node, 'lied', 1])
    return { path, sql, syncs, ban, hurry: () => (slow = false) }
  }
  const nodes = (sql: Sql) => sql.rows('SELECT node FROM bans').then((rows) => rows.map(({ node }) => node))

  test('has what was written before that returns, and before anybody hears of it', async () => {
    const { sql, syncs, ban } = await slowSql()
    const done: string[] = []
    const written = ban('a').then(() => done.push('written'))
    await Bun.sleep(1)
    const heard = nodes(sql).then((all) => done.push(`heard ${all}`))
    await Bun.sleep(1)
    expect([syncs.length, done]).toEqual([1, []])
    syncs[0]!.resolve()
    await Promise.all([written, heard])
    expect(done).toEqual(['written', 'heard a'])
    expect(await nodes(sql)).toEqual(['a'])
    expect(syncs).toHaveLength(1)
    await sql.close()
  })

  test('is waited for by those who write at once, together', async () => {
    const { sql, syncs, ban } = await slowSql()
    const first = ban('a')
    await Bun.sleep(1)
    const others = Promise.all([...'bcdef'].map(ban))
    await Bun.sleep(1)
    syncs[0]!.resolve()
    await first
    await Bun.sleep(1)
    expect(syncs).toHaveLength(2)
    syncs[1]!.resolve()
    await others
    expect(syncs).toHaveLength(2)
    await sql.close()
  })

  test('that fails is told to who writes', async () => {
    const { path, sql, syncs, ban } = await slowSql()
    const written = ban('a')
    await Bun.sleep(1)
    syncs[0]!.reject(new Error('EIO: i/o error, fdatasync'))
    await expect(written).rejects.toThrow(`cannot bring ${path} to the disk: EIO: i/o error, fdatasync`)
    await sql.close()
  })

  test('gets the log into the file when that is long', async () => {
    const { path, sql, hurry } = await slowSql()
    hurry()
    const long = 'x'.repeat(1_000_000)
    for (const node of 'abcdefgh')
      await sql.rows('INSERT INTO bans (node, reason, until) VALUES ($1, $2, 1)', [node, long])
    expect(statSync(path).size).toBeGreaterThan(3_000_000)
    expect(statSync(`${path}-wal`).size).toBeLessThan(5_000_000)
    await sql.close()
  })

  test('gets a long log once, however many made it so at once', async () => {
    let syncs = 0
    const sync = () => {
      syncs++
      return Bun.sleep(20)
    }
    const sql = await openSqliteFile(file(), { clock: systemClock, log: silentLog, sync })
    const write = (node: string, length: number) =>
      sql.rows('INSERT INTO bans (node, reason, until) VALUES ($1, $2, 1)', [node, 'x'.repeat(length)])
    await write('long', 4_000_000)
    syncs = 0
    await Promise.all(Array.from({ length: 40 }, (_, i) => write(`${i}`, 20_000)))
    await nodes(sql)
    // Theirs, and two of the merge.
    expect(syncs).toBeWithin(3, 6)
    await sql.close()
  })

  test('that fails after the log was brought in keeps writers out until it takes that, and readers not', async () => {
    const path = file()
    let failures = 2
    const sync = async (fd: number) => {
      if (readlinkSync(`/proc/self/fd/${fd}`) === path && failures-- > 0) throw new Error('EIO: i/o error, fdatasync')
    }
    const sql = await openSqliteFile(path, { clock: new FakeClock(), log: silentLog, sync })
    const write = (node: string, length: number) =>
      sql.rows('INSERT INTO bans (node, reason, until) VALUES ($1, $2, 1)', [node, 'x'.repeat(length)])
    await write('a', 5_000_000)
    const message = await write('b', 1).catch((error) => error.message)
    expect(message).toBe(`cannot bring ${path} to the disk: EIO: i/o error, fdatasync`)
    expect(await nodes(sql)).toEqual(['a'])
    await sql.transaction((sql) => sql.rows(`INSERT INTO bans (node, reason, until) VALUES ('c', '', 1)`))
    expect(await nodes(sql)).toEqual(['a', 'c'])
    await sql.close()
  })

  test('that does not take the log is told in the log of the node, and keeps nobody from the state', async () => {
    const path = file()
    const [clock, log] = [new FakeClock(), new RecordedLog()]
    let broken = true
    const sync = async (fd: number) => {
      if (broken && readlinkSync(`/proc/self/fd/${fd}`) === path) throw new Error('ENOSPC: no space left on device')
    }
    const sql = await openSqliteFile(path, { clock, log, sync })
    const write = (node: string, length: number) =>
      sql.rows('INSERT INTO bans (node, reason, until) VALUES ($1, $2, 1)', [node, 'x'.repeat(length)])
    await write('a', 5_000_000)
    expect(await nodes(sql)).toEqual(['a'])
    expect(await nodes(sql)).toEqual(['a'])
    expect(log.lines).toHaveLength(1)
    expect(log.lines[0]).toStartWith('could not bring the log of the state into it; it grows until that works')
    broken = false
    expect(await nodes(sql)).toEqual(['a'])
    expect(statSync(`${path}-wal`).size).toBeGreaterThan(4_000_000)
    clock.advance(5000)
    await nodes(sql)
    await nodes(sql)
    expect(statSync(`${path}-wal`).size).toBe(0)
    await sql.close()
  })
})

test('many questions one after the other keep the process from nothing else', async () => {
  const state = await openSqlite(':memory:')
  let others = 0
  const other = () => {
    others++
    next = setImmediate(other)
  }
  let next = setImmediate(other)
  try {
    for (let i = 0; i < 200; i++) await state.bans.list(0)
    expect(others).toBeGreaterThan(5)
  } finally {
    clearImmediate(next)
    await state.close()
  }
})

test('jobs of two files have no number in common, also where one has jobs from before that was so', async () => {
  const [path, other] = [file(), file()]
  const job = (key: string) => ({ kind: 'preheat', key, body: 1, at: 1 })
  await (await openSqlite(path)).close()
  const db = new Database(path)
  db.exec("DELETE FROM sqlite_sequence WHERE name = 'jobs'; UPDATE shoal SET version = 2; DROP INDEX contents_there")
  db.exec(
    `INSERT INTO jobs (kind, key, state, body, created_at, updated_at) VALUES ('preheat', 'old', 'done', '1', 1, 1)`,
  )
  db.close()
  const states = [await openSqlite(path), await openSqlite(other)]
  const [one, two] = await Promise.all(states.map(async ({ jobs }) => (await jobs.add(job('k'))).job.id))
  expect(await states[0]!.jobs.find(1)).toMatchObject({ key: 'old' })
  expect(Math.min(one!, two!)).toBeGreaterThanOrEqual(100_000_000)
  expect(Math.abs(one! - two!)).toBeGreaterThanOrEqual(1000)
  // Not anew with each start.
  await states[0]!.close()
  const again = await openSqlite(path)
  expect((await again.jobs.add(job('next'))).job.id).toBe(one! + 1)
  await Promise.all([again.close(), states[1]!.close()])
})

test('a file of a newer shoal is left alone, and the message says what to do', async () => {
  const path = file()
  await (await openSqlite(path)).close()
  const db = new Database(path)
  db.exec('UPDATE shoal SET version = 99')
  db.close()
  const failure = await openSqlite(path).catch((error) => error)
  expect([failure.code, failure.message]).toEqual(['internal', expect.stringContaining('newer shoal (schema 99')])
})

test('a damaged file is unavailable, and the message says what to do; a new one in its place then serves', async () => {
  const path = file()
  writeFileSync(path, 'not a database, by any means\n'.repeat(100))
  const failure = await openSqlite(path).catch((error) => error)
  const mend = `; end the node, move ${path}* away`
  expect([failure.code, failure.message]).toEqual(['unavailable', expect.stringContaining(mend)])
  for (const name of readdirSync(dirname(path))) rmSync(join(dirname(path), name))
  await (await openSqlite(path)).close()
})

test('a file that cannot be opened is not told to be moved away', async () => {
  const path = file()
  mkdirSync(path)
  const failure = await openSqlite(path).catch((error) => error)
  expect([failure.code, failure.message]).toEqual(['unavailable', expect.not.stringContaining('move')])
})

test.skipIf(process.geteuid!() !== 0)('a backup that root put there does not keep a node from starting', async () => {
  for (const mode of [0o644, 0o600]) {
    const path = file()
    await (await openSqlite(path)).close()
    chownSync(dirname(path), nobody.uid, nobody.uid)
    chmodSync(path, mode)
    const log = new RecordedLog()
    const open = () => readdirSync('/proc/self/fd').length
    const before = open()
    process.seteuid!(nobody.uid)
    // The file is opened at once.
    const starting = openState({
      dataDir: dirname(path),
      node: 'n1',
      clock: new FakeClock(),
      log,
      metrics: createMetrics(),
    })
    process.seteuid!(0)
    const state = await starting
    expect(open()).toBe(before)
    const failure = await state.id().catch((error) => error)
    expect(failure.code).toBe('unavailable')
    expect(failure.message).toEndWith(`; ${path} is another user's: chown ${nobody.uid}: ${path}*`)
    await state.close()
  }
})

test('of a row that names no repository it is said once that it is left out', async () => {
  const log = new RecordedLog()
  const state = await openSqlite(':memory:', log)
  const line = { mediaType: 'm', size: 1, at: 1, by: 'n1', digest: digestOf(Buffer.from('a')) }
  await state.tags.set({ registry: 'http:', name: 'x' }, parseTag('v1'), line)
  for (let i = 0; i < 3; i++) expect(await state.tags.changes(0, 10)).toEqual([])
  expect(log.lines).toHaveLength(1)
  expect(JSON.stringify(log.lines)).toContain('http:/x')
  await state.close()
})

test('work that a killed process had in its hands is there at once for the one that starts after it', async () => {
  const path = file()
  const start = () =>
    openState({
      dataDir: dirname(path),
      node: 'n1',
      clock: systemClock,
      log: silentLog,
      metrics: createMetrics(),
    })
  const killed = await start()
  await killed.work.add({ kind: 'copy', key: 'a', body: 1, at: 0 })
  expect(await killed.work.claim('copy', 1, 60_000)).toMatchObject({ key: 'a' })
  await killed.work.add({ kind: 'copy', key: 'a', body: 2, at: 1 })
  expect(await killed.work.claim('copy', 2, 60_000)).toBeUndefined()
  await killed.close()
  const next = await start()
  expect(await next.work.claim('copy', 2, 60_000)).toMatchObject({ key: 'a', body: 1 })
  await next.close()
})
