import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { closeSync, copyFileSync, openSync, readdirSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { FakeClock } from '../../test/fakes/clock.ts'
import { stateFiles } from '../../test/fakes/state-files.ts'
import { systemClock } from '../clock.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { openState } from './open-state.ts'
import { openSqlite } from './sqlite.ts'

const file = stateFiles()

const start = (of: string, node: string) =>
  openState({ dataDir: dirname(of), node, clock: systemClock, log: silentLog, metrics: createMetrics() })

test('a file that comes to another node is another database, of which no new job has the number of one of the first', async () => {
  const [path, copy] = [file(), file()]
  const job = (key: string) => ({ kind: 'preheat', key, body: 1, at: 1 })
  const before = await start(path, 'n1')
  const [id, { job: old }] = [await before.id(), await before.jobs.add(job('old'))]
  await before.close()
  copyFileSync(path, copy)
  const [again, other] = [await start(path, 'n1'), await start(copy, 'n2')]
  expect(await again.id()).toBe(id)
  expect(await other.id()).not.toBe(id)
  const [one, two] = await Promise.all([again, other].map(async ({ jobs }) => (await jobs.add(job('new'))).job.id))
  expect(one).toBe(old.id + 1)
  expect(two! - one!).toBeGreaterThan(1_000_000)
  expect(await other.jobs.find(old.id)).toMatchObject({ key: 'old' })
  const otherId = await other.id()
  await Promise.all([again.close(), other.close()])
  const third = await start(copy, 'n2')
  expect([await third.id(), (await third.jobs.add(job('more'))).job.id]).toEqual([otherId, two! + 1])
  await third.close()
})

test('a file of a release that noted no node may have been copied before', async () => {
  const [path, copy] = [file(), file()]
  await (await openSqlite(path)).close()
  copyFileSync(path, copy)
  const ids = [path, copy].map(async (of, i) => {
    const state = await start(of, `n${i}`)
    const id = await state.id()
    await state.close()
    return id
  })
  expect(new Set(await Promise.all(ids)).size).toBe(2)
})

test('a file that turns out to be damaged as it is taken over is let go each time', async () => {
  const path = file()
  await (await openSqlite(path)).close()
  const db = new Database(path)
  const { rootpage } = db
    .query<{ rootpage: number }, []>("SELECT rootpage FROM sqlite_master WHERE name = 'work'")
    .get()!
  const { page_size } = db.query<{ page_size: number }, []>('PRAGMA page_size').get()!
  db.close()
  const fd = openSync(path, 'r+')
  writeSync(fd, Buffer.alloc(page_size, 0xaa), 0, page_size, (rootpage - 1) * page_size)
  closeSync(fd)
  const clock = new FakeClock()
  const options = { dataDir: dirname(path), node: 'n1', log: silentLog, metrics: createMetrics() }
  const state = await openState({ ...options, clock })
  const open = () => readdirSync('/proc/self/fd').length
  const before = open()
  for (let i = 0; i < 20; i++) {
    clock.advance(2000)
    const failure = await state.id().catch((error) => error)
    expect([failure.code, failure.message]).toEqual(['unavailable', expect.stringContaining(`move ${path}* away`)])
  }
  expect(open()).toBeLessThan(before + 5)
  await state.close()
})
