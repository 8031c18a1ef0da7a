import { describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { Failure } from '../failure.ts'
import type { LayerFacts } from '../mount/mounter/api.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import type { Layer } from './catalog.ts'
import { LazyLayers } from './lazy-layers.ts'
import type { IndexState } from './node-index.ts'

const layer = (name: string): Layer => ({
  repository: 'docker.io/library/app',
  digest: digestOf(new TextEncoder().encode(name)),
  mediaType: 'application/gzip',
  size: 9,
  diffId: digestOf(new TextEncoder().encode(`tar of ${name}`)),
})
const [one, two] = [layer('one'), layer('two')]
const manifest = digestOf(new TextEncoder().encode('manifest'))
const asked = (ref: string) => ({ ref, namespace: 'default', labels: {} })

/** An image of two layers; the node says of its indexes what `states` says. */
class Bench {
  readonly clock = new FakeClock()
  readonly states = new Map<Digest, IndexState | Failure>()
  readonly questions: Digest[] = []
  readonly released: string[] = []
  facts: Partial<LayerFacts> = {}
  broken: Failure | undefined
  readonly layers = new LazyLayers(
    {
      find: async ({ ref }) =>
        ref === 'one'
          ? { layer: { ...one! }, manifest, others: [two!] }
          : { layer: { ...two! }, manifest, others: [one!] },
    },
    {
      makeFolders: async () => false,
      open: async () => {
        if (this.broken) throw this.broken
        return { id: 'id', path: '/mounted', indexed: true, ...this.facts } as LayerFacts
      },
      layer: async (id) => (id === 'id' ? ({ id, disk: 70, ...this.facts } as LayerFacts) : undefined),
      release: async (id, holder) => void this.released.push(`${id} ${holder}`),
    },
    {
      clock: this.clock,
      waitMs: 2000,
      index: async ({ digest }) => {
        this.questions.push(digest)
        const state = this.states.get(digest) ?? { is: 'here' }
        if (state instanceof Failure) throw state
        return state
      },
    },
  )
}

const why = (call: Promise<unknown>) =>
  call.then(
    () => 'no failure',
    (error: Error) => error.message,
  )

describe('layers that are read as they are needed', () => {
  test('indexes of all layers of an image are asked for when the first one is', async () => {
    const bench = new Bench()
    expect(await bench.layers.find(asked('one'))).toEqual(one!)
    await bench.clock.run(0)
    expect(bench.questions.sort()).toEqual([one!.digest, two!.digest].sort())
    await bench.layers.find(asked('two'))
    expect(bench.questions.filter((digest) => digest === one!.digest)).toHaveLength(1)
  })

  test('an index that is being made is waited for, but not longer than an image may wait for all of its', async () => {
    const bench = new Bench()
    bench.states.set(one!.digest, { is: 'making' })
    const found = bench.layers.find(asked('one'))
    await bench.clock.run(1000)
    bench.states.set(one!.digest, { is: 'here' })
    await bench.clock.run(500)
    expect(await found).toEqual(one!)
    bench.states.set(two!.digest, { is: 'making' })
    const late = why(bench.layers.find(asked('two')))
    await bench.clock.run(500)
    expect(await late).toContain('is still being made')
  })

  test('a node without an index says why, and one without an answer is not asked for the rest of the image', async () => {
    const bench = new Bench()
    bench.states.set(one!.digest, { is: 'none', why: 'one frame of zstd' })
    expect(await why(bench.layers.find(asked('one')))).toBe('one frame of zstd')
    expect(await bench.layers.find(asked('two'))).toEqual(two!)
    bench.states.set(one!.digest, new Failure('unavailable', 'no node answers'))
    expect(await why(bench.layers.find(asked('one')))).toBe('no node answers')
    const { length } = bench.questions
    expect(await why(bench.layers.find(asked('two')))).toBe('no node answers')
    expect(bench.questions).toHaveLength(length)
    await bench.clock.run(20_000)
    expect(await bench.layers.find(asked('two'))).toEqual(two!)
  })

  test('a layer that was not mounted in time has the rest of its image unpacked', async () => {
    const bench = new Bench()
    bench.broken = new Failure('unavailable', 'the mounter said nothing')
    const found = await bench.layers.find(asked('one'))
    expect(await why(bench.layers.open(found, 'me'))).toBe('the mounter said nothing')
    expect(await why(bench.layers.find(asked('two')))).toBe('the mounter said nothing')
  })

  test('a layer that the mounter would fetch whole is let go', async () => {
    const bench = new Bench()
    bench.facts = { indexed: false, reason: 'its index was wrong' }
    expect(await why(bench.layers.open(one!, 'me'))).toBe('its index was wrong')
    expect(bench.released).toEqual(['id me'])
  })

  test('it takes on the disk what the mounter says, which counts what several layers have once', async () => {
    const bench = new Bench()
    expect(await bench.layers.usage('id')).toEqual({ size: 70, inodes: 5 })
    expect(await bench.layers.usage('gone')).toEqual({ size: 0, inodes: 0 })
  })
})
