import { describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { digestOf } from '../oci/digest.ts'
import { type DirectoryOptions, KadDirectory } from './directory.ts'

const digest = digestOf(Buffer.from('a blob'))

function directory() {
  const clock = new FakeClock()
  const state = { published: 0, withdrawn: 0, quiet: true }
  const host = {
    services: {
      dht: {
        provide: async function* () {
          yield ++state.published
        },
        cancelReprovide: async () => void state.withdrawn++,
      },
    },
  }
  const log = { debug: () => {} }
  const kad = new KadDirectory({ clock, host, log } as unknown as DirectoryOptions)
  kad.provide(digest, () => state.quiet)
  return { state, kad, pass: (seconds: number) => clock.run(seconds * 1000) }
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
})
