/** One host alone: what a pull loses or gains by going through the node, cold and warm, against the registry itself. */
import { type Asked, HostStage, inTurn } from './host-stage.ts'
import { obstacle, startRelay } from './least.ts'
import type { Figure, Run, Scenario } from './scenario.ts'
import { median } from './statistics.ts'

const MB = 1_000_000
/** Pulls through each of the two in one run, in turn. */
const times = 3

const shape = { hosts: 1, rate: undefined, size: 1000 * MB, layers: 1 }

const cold: Scenario = {
  name: 'cold-host',
  title: 'one host pulls a layer that its node does not have, and nobody else either',
  against: 'the same pull straight from the registry',
  shape,
  quick: { size: 100 * MB },
  run: (run) =>
    staged(run, [run.shape.size], async (stage, compare) => {
      const emptied = (ask: (asked: Asked) => Promise<number>) => async (asked: Asked) => {
        if (asked === 'node') await stage.cold()
        return ask(asked)
      }
      const atLeast = 0.85
      const figures = [
        await compare(
          'skopeo copy',
          emptied((asked) => stage.pull(asked)),
          { atLeast },
        ),
        await compare(
          'raw stream',
          emptied((asked) => stage.stream(asked)),
          { atLeast },
        ),
      ]
      if ((await obstacle()) !== undefined) return figures
      const [layer] = stage.layers
      // What nothing can go below that hashes and keeps what it passes on.
      const relay = await startRelay(stage.lab.host('h1'), stage.url(layer!, 'registry'), layer!.size)
      const relayed = (asked: Asked) => (asked === 'node' ? stage.read([relay]) : stage.stream(asked))
      return [...figures, await compare('raw stream through a plain relay', relayed)]
    }),
}

const warm: Scenario = {
  name: 'warm-host',
  title: 'one host pulls a layer that its node has',
  against: 'the same pull straight from the registry',
  shape,
  quick: { size: 100 * MB },
  run: (run) =>
    staged(run, [run.shape.size], async (stage, compare) => {
      await stage.stream('node')
      const reach = { atLeast: 1 }
      return [
        await compare('skopeo copy', (asked) => stage.pull(asked), reach),
        await compare('raw stream', (asked) => stage.stream(asked), reach),
      ]
    }),
}

const small: Scenario = {
  name: 'warm-host-small',
  title: 'one host pulls 200 small blobs that its node has',
  against: 'the same pull straight from the registry',
  shape: { hosts: 1, rate: undefined, size: 10 * MB, layers: 200 },
  quick: { size: MB, layers: 20 },
  run: (run) => {
    const { size, layers } = run.shape
    return staged(run, Array<number>(layers).fill(Math.floor(size / layers)), async (stage, compare) => {
      await stage.stream('node')
      return [await compare('one after the other', (asked) => stage.stream(asked), { atLeast: 1 })]
    })
  },
}

type Compare = (
  name: string,
  ask: (asked: Asked) => Promise<number>,
  reach?: Figure['reach'] & object,
) => Promise<Figure>

async function staged(
  { seed, say }: Run,
  sizes: readonly number[],
  body: (stage: HostStage, compare: Compare) => Promise<Figure[]>,
): Promise<Figure[]> {
  const stage = await HostStage.create(sizes, 1, seed)
  try {
    return await body(stage, async (name, ask, reach) => {
      const { registry, node } = await inTurn(times, ask)
      const speed = (seconds: readonly number[]) => `${(stage.bytes / MB / median(seconds)).toFixed(0)} MB/s`
      say(`${name}: registry ${speed(registry)}, node ${speed(node)}`)
      const value = median(registry) / median(node)
      return { name, value, unit: "times the registry's throughput", ...(reach && { reach }) }
    })
  } finally {
    await stage.close()
  }
}

export const oneHost: readonly Scenario[] = [cold, warm, small]
