import { afterEach, beforeEach, expect, test } from 'bun:test'
import { settle } from '../../test/fakes/clock.ts'
import { LoneNode } from '../../test/fakes/lone-node.ts'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import { silentLog } from '../telemetry/log.ts'
import { Bringer, mostErrands } from './bringer.ts'
import type { Errand } from './errand.ts'

const repository = repositoryOf('registry.test', 'org/app')
const job = 'preheat 1 of 2026-01-01T00:00:00.000Z'

let node: LoneNode
let bringer: Bringer
let ordered: Digest[]
beforeEach(() => {
  node = new LoneNode()
  ordered = []
  const { store, swarm, clock, metrics } = node
  bringer = new Bringer({
    store,
    swarm,
    clock,
    metrics,
    log: silentLog,
    ordered: ({ digest }) => void ordered.push(digest),
  })
})
afterEach(() => {
  bringer.close()
  node.close()
})

/** Blobs that the source has, of so many bytes each. */
function blobs(...sizes: number[]): { digest: Digest; size: number; kind: 'blob' }[] {
  return sizes.map((size, i) => ({ digest: node.source.add(new Uint8Array(size).fill(i + 1)), size, kind: 'blob' }))
}
const errand = (parts: ReturnType<typeof blobs>, more: Partial<Errand> = {}): Errand => ({
  job,
  content: [{ repository, parts }],
  ...more,
})
const ask = () => bringer.answer({ job })
const isHere = ({ digest }: { digest: Digest }) => node.store.find(digest)?.complete ?? false

test('what it is sent for comes, and it says how far it is', async () => {
  const parts = blobs(300_000, 100_000)
  expect(bringer.answer(errand(parts))).toEqual({ state: 'running', bytes: 0, total: 400_000 })
  await node.clock.run(10_000)
  expect(ask()).toEqual({ state: 'done', bytes: 400_000, total: 400_000 })
  expect(parts.every(isHere)).toBe(true)
  expect(ordered).toEqual(parts.map(({ digest }) => digest))
  expect((await node.metrics.preheatedBytes.get()).values[0]?.value).toBe(400_000)
})

test('what is there already costs nothing', async () => {
  const parts = blobs(300_000)
  bringer.answer(errand(parts))
  await node.clock.run(10_000)
  const { sent } = node.source
  const again = { ...errand(parts), job: `${job} again` }
  expect(bringer.answer(again)).toEqual({ state: 'done', bytes: 300_000, total: 300_000 })
  expect(node.source.sent).toBe(sent)
})

test('a job that it was not told of is unknown, also after a restart', () => {
  expect(ask().state).toBe('unknown')
})

test('a few come at a time, each job in its turn', async () => {
  node.source.gate = () => new Promise(() => {})
  bringer.answer(errand(blobs(...Array.from({ length: 20 }, (_, i) => 1000 + i))))
  const other = blobs(5000)
  bringer.answer({ ...errand(other), job: `${job} other` })
  await settle()
  expect([...node.swarm.transfers()]).toHaveLength(4)
})

test('it comes in the background, and stays there while nobody reads it', async () => {
  let open = () => {}
  node.source.gate = () => new Promise<void>((resolve) => (open = resolve))
  const parts = blobs(500_000)
  bringer.answer(errand(parts))
  await settle()
  const transfer = node.swarm.find(parts[0]!.digest)!
  expect(transfer.background).toBe(true)
  const reader = transfer.reader()
  expect(transfer.background).toBe(false)
  transfer.readerLeft(reader)
  // A transfer that nobody wants stops after a minute.
  await node.clock.run(65_000)
  expect([transfer.background, transfer.unwanted]).toEqual([true, false])
  node.source.gate = () => {}
  open()
  await node.clock.run(10_000)
  expect(ask().state).toBe('done')
})

test('what is pinned is pinned from the first moment on, until then', () => {
  const parts = blobs(300_000, 100_000)
  const until = node.clock.wall() + 7 * 86_400_000
  bringer.answer(errand(parts, { until }))
  expect(node.store.pins()).toEqual(parts.map(({ digest }) => ({ digest, reason: job, until })))
})

test('told that it is over it stops, unpins, keeps what came, and does not begin again', async () => {
  node.source.gate = () => new Promise(() => {})
  const parts = blobs(1000, 2000)
  const here = parts.slice(0, 1)
  await node.store.put({ digest: here[0]!.digest, kind: 'blob' }, new Uint8Array(1000).fill(1))
  const all = errand(parts, { until: node.clock.wall() + 9e6 })
  bringer.answer(all)
  await settle()
  expect([...node.swarm.transfers()]).toHaveLength(1)
  expect(bringer.answer({ job, over: true }).state).toBe('cancelled')
  await node.clock.run(100)
  expect([...node.swarm.transfers()]).toHaveLength(0)
  expect([node.store.pins(), here.every(isHere)]).toEqual([[], true])
  expect(bringer.answer(all).state).toBe('cancelled')
})

test('a transfer that a client reads, or another job wants, goes on when one is over', async () => {
  node.source.gate = () => new Promise(() => {})
  const parts = blobs(3000, 4000)
  bringer.answer(errand(parts))
  bringer.answer({ ...errand(parts.slice(1)), job: `${job} other` })
  await settle()
  node.swarm.find(parts[0]!.digest)!.reader()
  bringer.answer({ job, over: true })
  await node.clock.run(30_000)
  expect([...node.swarm.transfers()].map(({ location }) => location.digest).sort()).toEqual(
    parts.map(({ digest }) => digest).sort(),
  )
})

test('it says why something did not come, after some tries where they may help, and tries again when it is sent again', async () => {
  const parts = blobs(1000, 2000)
  node.source.refuses = ({ digest }) =>
    digest === parts[1]!.digest ? new Failure('denied', 'the registry wants a login') : undefined
  bringer.answer(errand(parts))
  await node.clock.run(120_000)
  expect(ask()).toMatchObject({ state: 'failed', bytes: 1000, total: 3000, code: 'denied' })
  node.source.refuses = () => undefined
  expect(bringer.answer(errand(parts)).state).toBe('running')
  await node.clock.run(30_000)
  expect(ask().state).toBe('done')
})

test('a job is forgotten some time after it is over, and not while it is under way', async () => {
  bringer.answer(errand(blobs(1000)))
  await node.clock.run(10_000)
  expect(ask().state).toBe('done')
  await node.clock.run(599_000)
  expect(ask().state).toBe('done')
  await node.clock.run(601_000)
  expect(ask().state).toBe('unknown')
})

test('errands that are over make room for others, the one first that nobody asked about for longest', async () => {
  const here = blobs(1000)
  bringer.answer(errand(here))
  await node.clock.run(10_000)
  const named = (name: string, parts = here) => ({ ...errand(parts), job: `${job} ${name}` })
  const stateOf = (name: string) => bringer.answer({ job: `${job} ${name}` }).state
  for (let i = 1; i < mostErrands; i++) {
    await node.clock.run(1)
    expect(bringer.answer(named(`${i}`)).state).toBe('done')
  }
  await node.clock.run(1)
  expect(ask().state).toBe('done')
  expect(bringer.answer(named('one more')).state).toBe('done')
  expect([stateOf('1'), stateOf('2'), ask().state]).toEqual(['unknown', 'done', 'done'])

  node.source.gate = () => new Promise(() => {})
  const missing = blobs(1000, 2000).slice(1)
  for (let i = 0; i < mostErrands; i++) expect(bringer.answer(named(`long ${i}`, missing)).state).toBe('running')
  expect(() => bringer.answer(named('too much'))).toThrow('256 errands')
  expect([stateOf('long 0'), stateOf('one more')]).toEqual(['running', 'unknown'])
  bringer.answer({ job: `${job} long 7`, over: true })
  expect(bringer.answer(named('room again')).state).toBe('running')
})
