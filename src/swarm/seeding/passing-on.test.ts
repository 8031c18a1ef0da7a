/** What an uploader passes on that is only on its way to it, and to whom it says to ask another. */
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { FakeClock, settle } from '../../../test/fakes/clock.ts'
import { MemoryStore } from '../../../test/fakes/memory-store.ts'
import type { NodeCard } from '../../cluster/node-info.ts'
import type { Failure } from '../../failure.ts'
import { digestOf } from '../../oci/digest.ts'
import { Bucket } from '../../rate.ts'
import { Elsewhere, type PieceOnItsWay } from '../../wire/wire.ts'
import { Seeder, type SeederOptions } from './seeder.ts'

const bytes = new Uint8Array(6 * 256 * 1024).map((_, i) => (i * 7) >> 9)
const digest = digestOf(bytes)
const piece = bytes.subarray(0, 256 * 1024)
const cardOf = (id: string, zone?: string): NodeCard => ({ id, url: `http://${id}.test`, ...(zone ? { zone } : {}) })

let clock: FakeClock
let seeder: Seeder
let leaver: AbortController

function begin(options: Partial<SeederOptions> = {}): void {
  clock = new FakeClock()
  const store = new MemoryStore({ clock })
  seeder = new Seeder({ store, clock, feeding: () => false, ...options })
  store.create({ digest, size: bytes.length, kind: 'blob' })
  leaver = new AbortController()
}
beforeEach(() => begin())
afterEach(() => seeder.close())

type Answer = PieceOnItsWay | Failure | undefined
const ask = (peer: string, index = 0, follow?: NodeCard): Promise<Answer> =>
  seeder
    .passOn(digest, { pieces: [index], coming: true, ...(follow && { follow }) }, peer, leaver.signal)
    .catch((error: Failure) => error)
const bodyOf = async (answer: Answer) =>
  new Uint8Array(await new Response((answer as PieceOnItsWay).body).arrayBuffer())

test('what comes is passed on, and counts as being sent until it is taken', async () => {
  const arriving = seeder.relays.expect(digest, 0)
  const waiting = ask('ann')
  arriving.came(piece, 100_000)
  const answer = await waiting
  expect([answer, seeder.uploads]).toMatchObject([{ piece: 0, length: piece.length }, 1])
  expect(seeder.sending().map(({ to }) => to)).toEqual(['ann'])
  arriving.came(piece, piece.length)
  arriving.verified()
  arriving.end()
  expect(Buffer.compare(await bodyOf(answer), piece)).toBe(0)
  await settle()
  expect(seeder.uploads).toBe(0)
})

test('what nobody has asked for, is no piece, or is here already, is not', async () => {
  seeder.relays.expect(digest, 0)
  expect(await Promise.all([ask('ann', 1), ask('ann', 6), ask('ann', 1e9)])).toEqual([undefined, undefined, undefined])
})

test('who waits for it hears after a while that it does not come, or when it has left', async () => {
  seeder.relays.expect(digest, 0)
  const answers: Answer[] = []
  void ask('ann').then((answer) => answers.push(answer))
  await clock.run(900)
  expect(answers).toEqual([])
  await clock.run(200)
  expect(answers).toEqual([undefined])
  void ask('ann').then((answer) => answers.push(answer))
  leaver.abort()
  await settle()
  expect(answers).toEqual([undefined, undefined])
  expect(clock.pending).toBe(0)
})

test('who comes later is told to ask who came before, unless it would not, or is at another site', async () => {
  const arriving = seeder.relays.expect(digest, 0)
  arriving.came(piece, 100_000)
  expect(await ask('ann', 0, cardOf('ann', 'eu/one'))).toMatchObject({ piece: 0 })
  const told = await ask('bob', 0, cardOf('bob', 'eu/one'))
  expect(told).toBeInstanceOf(Elsewhere)
  expect(told).toMatchObject({ piece: 0, node: cardOf('ann', 'eu/one') })
  expect(await ask('cat')).toMatchObject({ piece: 0 })
  expect(await ask('dan', 0, cardOf('dan', 'us/two'))).toMatchObject({ piece: 0 })
})

test('no more is passed on than the limit of what is sent lets through', async () => {
  begin({ limit: new Bucket(256 * 1024, 0) })
  const arriving = seeder.relays.expect(digest, 0)
  const waiting = Array.from({ length: 10 }, (_, i) => ask(`child ${i}`))
  arriving.came(piece, 100_000)
  const passed = (await Promise.all(waiting)).filter(Boolean)
  expect(passed.length).toBeGreaterThan(0)
  expect(passed.length).toBeLessThan(4)
})

test('a node that is about to stop takes on nothing new, and gets on with what it passes on', async () => {
  const arriving = seeder.relays.expect(digest, 0)
  arriving.came(piece, 100_000)
  const answer = await ask('ann')
  const waiting = ask('bob', 1)
  let drained = false
  void seeder.drain(10_000).then(() => {
    drained = true
  })
  expect(await ask('cat')).toBeUndefined()
  expect(await waiting).toBeUndefined()
  await clock.run(1000)
  expect(drained).toBe(false)
  arriving.came(piece, piece.length)
  arriving.verified()
  arriving.end()
  await bodyOf(answer)
  await clock.run(200)
  expect(drained).toBe(true)
})
