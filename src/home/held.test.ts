import { beforeEach, expect, test } from 'bun:test'
import { refuses } from '../../test/conformance/source.ts'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure, type FailureCode } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import type { Stat } from '../source/source.ts'
import type { Call } from '../wire/calls.ts'
import type { Backend } from './backends/backend.ts'
import { type HeldOptions, isHeld } from './held.ts'
import { Homes } from './homes.ts'

const layer = bytesOf(1000)
const repository = repositoryOf('apps.corp', 'app')
const location = { repository, kind: 'blob', digest: digestOf(layer) } as const

let store: MemoryStore
/** Who was asked, in order. */
let asked: string[]
/** What each seed answers. */
let seeds: Record<string, boolean | FailureCode>
/** What the backend answers; undefined: there is none. */
let backend: 'has' | FailureCode | undefined

beforeEach(() => {
  store = new MemoryStore({ clock: new FakeClock() })
  asked = []
  seeds = {}
  backend = undefined
})

function held(): Promise<boolean> {
  const stat = async (): Promise<Stat> => {
    asked.push('backend')
    if (backend === 'has') return { size: layer.length, mediaType: 'application/octet-stream' }
    throw new Failure(backend!, 'the backend says so')
  }
  const home = { pattern: 'apps.corp/**', ...(backend ? { backend: { stat } as unknown as Backend } : {}) }
  const call = async <Q extends object, A extends object>({ id }: NodeInfo, { reply }: Call<Q, A>): Promise<A> => {
    asked.push(id)
    const whole = seeds[id]!
    if (typeof whole === 'string') throw new Failure(whole, 'the seed says so')
    return reply.parse({ whole })
  }
  const options: HeldOptions = {
    homes: new Homes([home]),
    store,
    keepers: { of: () => Object.keys(seeds).map((id) => ({ id }) as unknown as NodeInfo) },
    outbound: () => ({ call }),
  }
  return isHeld(location, options)
}

test('what the disk here did not take is asked for elsewhere', async () => {
  await store.put(location, layer)
  store.settled = async () => {
    throw new Failure('no-disk', 'the disk is broken')
  }
  seeds = { a: false }
  expect([await held(), asked]).toEqual([false, ['a']])
})

test('what this store has whole is there, and nobody is asked', async () => {
  await store.put(location, layer)
  backend = 'has'
  seeds = { a: true }
  expect(await held()).toBe(true)
  expect(asked).toEqual([])
})

test('a part of it in this store is not enough', async () => {
  store.create({ ...location, size: layer.length })
  expect(await held()).toBe(false)
})

test('what the backend has is there, and no seed is asked', async () => {
  backend = 'has'
  seeds = { a: true }
  expect(await held()).toBe(true)
  expect(asked).toEqual(['backend'])
})

test('what any other seed has whole is there, whatever the others say', async () => {
  backend = 'no-blob'
  seeds = { a: false, b: 'unavailable', c: true }
  expect(await held()).toBe(true)
})

test('what only seeds had that do not answer, or are too old to know the question, is not there', async () => {
  seeds = { a: 'unavailable', b: 'bad-request', c: false }
  expect(await held()).toBe(false)
})

test('a backend that cannot be asked leaves it open, unless a seed has it', async () => {
  backend = 'unavailable'
  seeds = { a: false }
  await refuses(held(), 'unavailable')
  seeds = { a: true }
  expect(await held()).toBe(true)
})
