import { describe, expect, test } from 'bun:test'
import { FakeClock } from '../../../test/fakes/clock.ts'
import { pause } from '../../clock.ts'
import { digestOf } from '../../oci/digest.ts'
import { type DirectoryOptions, KadDirectory } from './directory.ts'

const digest = digestOf(Buffer.from('a blob'))

/** Seconds. */
const hour = 3600

function directory() {
  const clock = new FakeClock()
  const state = { published: 0, atOnce: 0, mostAtOnce: 0, withdrawn: 0, quiet: true }
  const host = {
    services: {
      dht: {
        provide: async function* () {
          state.mostAtOnce = Math.max(state.mostAtOnce, ++state.atOnce)
          await pause(clock, 1000)
          state.atOnce--
          yield ++state.published
        },
        cancelReprovide: async () => void state.withdrawn++,
      },
    },
  }
  const log = { debug: () => {} }
  const kad = new KadDirectory({ clock, host, log } as unknown as DirectoryOptions)
  kad.provide(digest, () => state.quiet)
  return { state, kad, clock, pass: (seconds: number) => clock.run(seconds * 1000) }
}

describe('a provider record', () => {
  test('is published a while after the blob is complete', async () => {
    const { state, pass } = directory()
    await pass(10)
    expect(state.published).toBe(0)
    await pass(10)
    expect(state.published).toBe(1)
  })

  test('waits until no pull goes on', async () => {
    const { state, pass } = directory()
    state.quiet = false
    await pass(60)
    expect(state.published).toBe(0)
    state.quiet = true
    await pass(20)
    expect(state.published).toBe(1)
  })

  test('is published after some minutes by a node that always pulls', async () => {
    const { state, pass } = directory()
    state.quiet = false
    await pass(600)
    expect(state.published).toBe(1)
  })

  test('is not published by a node that ended while it waited', async () => {
    const { state, kad, pass } = directory()
    state.quiet = false
    await pass(60)
    kad.close()
    await pass(600)
    expect(state.published).toBe(0)
  })

  test('of a blob that is here no more is neither published nor published again', async () => {
    const { state, kad, pass } = directory()
    await pass(10)
    kad.withdraw(digest)
    await pass(60)
    expect(state).toMatchObject({ published: 0, withdrawn: 1 })
    kad.provide(digest)
    await pass(20)
    kad.withdraw(digest)
    expect(state).toMatchObject({ published: 1, withdrawn: 2 })
  })

  test('waits no longer than its blob is here, so that a node that always pulls and drops keeps no list of them', async () => {
    const { state, kad, pass } = directory()
    state.quiet = false
    kad.withdraw(digest)
    for (let i = 0; i < 1000; i++) {
      const blob = digestOf(Buffer.from(`blob ${i}`))
      kad.provide(blob, () => state.quiet)
      await pass(1)
      kad.withdraw(blob)
    }
    expect(kad.waiting).toBe(0)
    state.quiet = true
    kad.provide(digest)
    await pass(600)
    expect(state.published).toBe(1)
  })

  test('is published again each day, as others forget it in two', async () => {
    const { state, kad, pass } = directory()
    await pass(23 * hour)
    expect(state.published).toBe(1)
    await pass(2 * hour)
    expect(state.published).toBe(2)
    await pass(47 * hour)
    expect(state.published).toBe(3)
    kad.withdraw(digest)
    await pass(100 * hour)
    expect(state.published).toBe(3)
  })

  test('is published again one at a time, and not while a pull goes on', async () => {
    const { state, kad, pass } = directory()
    for (let i = 1; i < 50; i++) kad.provide(digestOf(Buffer.from(`blob ${i}`)), () => state.quiet)
    await pass(23 * hour)
    expect(state.published).toBe(50)
    state.quiet = false
    // It is looked for every ten minutes, and waits for some more.
    await pass(hour + 840)
    expect(kad.waiting).toBe(1)
    expect(state.published).toBe(50)
    state.quiet = true
    await pass(hour)
    expect(state).toMatchObject({ published: 100, mostAtOnce: 1 })
  })

  test('that is new is not kept waiting by those that are published again', async () => {
    const { state, kad, pass } = directory()
    for (let i = 1; i < 2000; i++) kad.provide(digestOf(Buffer.from(`blob ${i}`)))
    await pass(24 * hour + 1200)
    expect(state.published).toBeGreaterThan(2000)
    expect(state.published).toBeLessThan(3000)
    const before = kad.waiting
    kad.provide(digestOf(Buffer.from('a new one')))
    await pass(30)
    expect(before).toBeLessThanOrEqual(1)
    expect(kad.waiting).toBeLessThanOrEqual(1)
  })

  test('of a node that ended is not published again, and nothing keeps time for it', async () => {
    const { state, kad, clock, pass } = directory()
    await pass(60)
    kad.close()
    expect(clock.pending).toBe(0)
    await pass(50 * hour)
    expect(state.published).toBe(1)
  })
})
