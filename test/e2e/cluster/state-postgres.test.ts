import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../../src/clock.ts'
import { parseTag, repositoryOf } from '../../../src/oci/reference.ts'
import { openState, type StateOptions } from '../../../src/state/open-state.ts'
import type { State } from '../../../src/state/state.ts'
import { silentLog } from '../../../src/telemetry/log.ts'
import { createMetrics } from '../../../src/telemetry/metrics.ts'
import { describeState } from '../../conformance/state.ts'
import { FakeClock } from '../../fakes/clock.ts'
import { LabPostgres, postgresFolder } from '../../lab/postgres.ts'
import { until } from '../../lab/until.ts'

const app = repositoryOf('docker.io', 'corp/app')

describe.skipIf(postgresFolder === undefined)('with a PostgreSQL', () => {
  let dir: string
  let server: LabPostgres
  const opened: State[] = []

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'shoal-pg-'))
    server = await LabPostgres.start({ dir })
  }, 30_000)
  afterEach(async () => {
    for (const each of opened.splice(0)) await each.close()
  })
  afterAll(async () => {
    await server?.stop()
    rmSync(dir, { recursive: true, force: true })
  }, 30_000)

  let count = 0
  const database = () => server.create(`test_${count++}`)
  async function open(url: StateOptions['url'], more: Partial<StateOptions> = {}): Promise<State> {
    const metrics = createMetrics()
    const { passwordFile } = server
    const state = await openState({
      url: url!,
      passwordFile,
      dataDir: dir,
      node: 'n1',
      clock: systemClock,
      log: silentLog,
      metrics,
      ...more,
    })
    opened.push(state)
    return state
  }

  describeState(
    'PostgreSQL',
    async () => {
      const url = await database()
      return { open: () => open(url), drop: async () => {} }
    },
    { shared: true },
  )

  test('nodes that start at once make the tables once', async () => {
    const url = await database()
    const states = await Promise.all(Array.from({ length: 5 }, () => open(url)))
    const ids = await Promise.all(states.map((state) => state.id()))
    expect(new Set(ids).size).toBe(1)
    expect(await server.sql(url.database, 'SELECT count(*) FROM shoal')).toBe('1')
  })

  test('a reader of changes never misses one with a lower number that was committed later', async () => {
    const url = await database()
    const [a, b, reader] = [await open(url), await open(url), await open(url)]
    const seen = new Set<number>()
    let last = 0
    let writing = true
    const reading = (async () => {
      while (writing || (await reader.tags.changes(last, 1)).length > 0) {
        for (const { number } of await reader.tags.changes(last, 7)) {
          seen.add(number)
          last = number
        }
      }
    })()
    const write = async (state: State, by: string) => {
      for (let at = 1; at <= 40; at++) {
        await state.tags.set(app, parseTag(`${by}-${at}`), { mediaType: 'm', size: 1, at, by })
      }
    }
    await Promise.all([write(a, 'a'), write(b, 'b')])
    writing = false
    await reading
    expect(seen.size).toBe(80)
  })

  test('a server that crashed and came back is used again, and what was told to be kept is there', async () => {
    const state = await open(await database())
    await state.bans.put({ node: 'n1', reason: 'lied', until: 100 })
    await server.kill()
    try {
      expect(await state.bans.list(0).catch((error) => error.code)).toBe('unavailable')
      expect(state.trouble).toContain('postgres://shoal@')
    } finally {
      await server.resume()
    }
    // What failed a moment ago may be told once more.
    let bans = await state.bans.list(0).catch(() => undefined)
    for (let i = 0; i < 50 && !bans; i++) {
      await Bun.sleep(100)
      bans = await state.bans.list(0).catch(() => undefined)
    }
    expect(bans).toMatchObject([{ node: 'n1' }])
    expect(state.trouble).toBeUndefined()
  }, 30_000)

  test('a database that is not there, or a wrong password, is told, and the node goes on', async () => {
    const nowhere = await open(server.url('nowhere'))
    expect(nowhere.trouble).toContain('"nowhere" does not exist')
    const wrong = join(dir, 'wrong')
    writeFileSync(wrong, 'not-the-password\n')
    const refused = await open(await database(), { passwordFile: wrong })
    expect(refused.trouble).toContain('password authentication failed')
    expect(refused.trouble).not.toContain('not-the-password')
    expect(await refused.jobs.find(1).catch((error) => error.code)).toBe('unavailable')
  })

  test('a statement that waits too long for others is given up, and the next one works', async () => {
    const url = await database()
    const state = await open(url, { clock: hurried() })
    const blocker = server.sql(url.database, 'BEGIN; LOCK TABLE bans; SELECT pg_sleep(3)')
    const locks =
      "SELECT count(*) FROM pg_locks WHERE relation = 'bans'::regclass AND granted AND mode LIKE 'Access%Excl%'"
    await until('the table is locked', 2, async () => (await server.sql(url.database, locks)) === '1')
    const failure = await state.bans.list(0).catch((error) => error)
    expect([failure.code, failure.message]).toEqual(['unavailable', expect.stringContaining('did not answer within')])
    await blocker
    expect(await state.bans.list(0)).toEqual([])
  }, 20_000)

  test('tables of a newer shoal keep the node from starting', async () => {
    const url = await database()
    await open(url)
    await server.sql(url.database, 'UPDATE shoal SET version = 99')
    const failure = await open(url).catch((error) => error)
    expect([failure.code, failure.message]).toEqual(['internal', expect.stringContaining('newer shoal (schema 99')])
  })
})

test('a server that is not there does not keep a node from starting, and is said to be out of reach once', async () => {
  const said: string[] = []
  const metrics = createMetrics()
  const clock = new FakeClock()
  const log = { ...silentLog, warn: (message: string) => void said.push(message) }
  const url = { host: '/nonexistent', port: 5432, user: 'shoal', database: 'x' }
  const state = await openState({ url, dataDir: '/nonexistent', node: 'n1', clock, log, metrics })
  expect(await state.tags.get(app, parseTag('v1')).catch((error) => error.code)).toBe('unavailable')
  clock.advance(2000)
  expect(await state.tags.get(app, parseTag('v1')).catch((error) => error.code)).toBe('unavailable')
  expect(said).toEqual(['the state of the cluster is out of reach; pulls go on without it'])
  expect(await metrics.registry.getSingleMetricAsString('shoal_state_up')).toContain('shoal_state_up 0')
  await state.close()
})

/** A clock for which a second is fifty milliseconds. */
function hurried(): typeof systemClock {
  return { ...systemClock, after: (ms, task) => systemClock.after(ms / 20, task) }
}
