import { describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { digestOf } from '../oci/digest.ts'
import { type DirectoryOptions, KadDirectory } from './directory.ts'

const digest = digestOf(Buffer.from('a blob'))

function directory() {
  const clock = new FakeClock()
  const state = { published: 0, quiet: true }
  const host = {
    services: {
      dht: {
        provide: async function* () {
          yield ++state.published
        },
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
})
