import { beforeEach, describe, expect, test } from 'bun:test'
import { FakeClock, settle } from '../../test/fakes/clock.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { Failure } from '../failure.ts'
import type { Backend } from '../home/backends/backend.ts'
import { Homes } from '../home/homes.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import type { Location } from '../source/source.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { State } from '../state/state.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { Copies } from './copies.ts'

const own = repositoryOf('apps.corp', 'team/app')
const other = repositoryOf('apps.corp', 'team/other')
const backed = repositoryOf('apps.corp', 'backed/app')
const world = repositoryOf('docker.io', 'library/debian')
const bytes = Buffer.from('a layer')
const digest = digestOf(bytes)
const content = (at = 1) => ({ digest, kind: 'blob' as const, mediaType: 'a/b', size: bytes.length, at })

let clock: FakeClock
let store: MemoryStore
let state: State
let fetched: string[]
let failure: Failure | undefined
let copies: Copies

beforeEach(async () => {
  clock = new FakeClock()
  store = new MemoryStore({ clock })
  state = await openSqlite(':memory:')
  fetched = []
  failure = undefined
  copies = new Copies({
    homes: new Homes([
      { pattern: 'apps.corp/backed/*', backend: { writes: {} } as unknown as Backend },
      { pattern: 'apps.corp/**' },
    ]),
    contents: {
      changes: (...asked) => state.contents.changes(...asked),
      lastChange: () => state.contents.lastChange(),
      repositoriesOf: (of) => state.contents.repositoriesOf(of),
    },
    store,
    swarm: { fetch: (location) => ({ finished: bring(location), keep: () => () => {} }) },
    clock,
    log: silentLog,
    metrics: createMetrics(),
  })
})

async function bring({ digest, kind }: Location) {
  fetched.push(digest)
  if (failure) throw failure
  return store.put({ digest, kind }, bytes)
}

const look = async () => {
  await copies.look()
  await settle()
}
const pins = (of: Digest) => store.pins(of).map(({ reason }) => reason)

describe('a seed', () => {
  test('fetches and pins what was pushed to another', async () => {
    await state.contents.add(own, content())
    await look()
    expect([fetched, store.find(digest)?.complete, pins(digest), copies.missing]).toEqual([[digest], true, ['home'], 0])
    await look()
    expect(fetched).toHaveLength(1)
  })

  test('hears of what is pushed after the state was restored from a backup', async () => {
    await state.contents.add(own, { ...content(), digest: digestOf(Buffer.from('lost')) })
    await state.contents.add(other, { ...content(), digest: digestOf(Buffer.from('lost too')) })
    await look()
    state = await openSqlite(':memory:')
    await look()
    await state.contents.add(own, content())
    await look()
    expect([fetched.at(-1), pins(digest)]).toEqual([digest, ['home']])
  })

  test('leaves alone what a backend keeps, and what is not the cluster’s own', async () => {
    await state.contents.add(backed, content())
    await state.contents.add(world, content())
    await look()
    expect([fetched, pins(digest)]).toEqual([[], []])
  })

  test('tries again later, and each time later, what nobody gives it', async () => {
    failure = new Failure('unavailable', 'nobody has it')
    await state.contents.add(own, content())
    await look()
    await look()
    expect([fetched.length, copies.missing]).toEqual([1, 1])
    clock.advance(2000)
    await look()
    clock.advance(2000)
    await look()
    expect(fetched.length).toBe(2)
    failure = undefined
    clock.advance(2000)
    await look()
    expect([fetched.length, copies.missing, store.find(digest)?.complete]).toEqual([3, 0, true])
  })

  test('fetches again what its disk has lost', async () => {
    await state.contents.add(own, content())
    await look()
    await store.remove(digest)
    await look()
    expect([fetched.length, store.find(digest)?.complete]).toEqual([2, true])
  })

  test('lets go of what no repository has any more', async () => {
    await state.contents.add(own, content())
    await state.contents.add(other, content())
    await look()
    await state.contents.remove(own, digest)
    await look()
    expect(pins(digest)).toEqual(['home'])
    await state.contents.remove(other, digest)
    await look()
    expect(pins(digest)).toEqual([])
  })
})
