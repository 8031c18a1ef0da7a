/** Limits that hold and are used, small blobs beside a huge one, and what somebody waits for before what nobody does. */
import { FairStage } from './fair-stage.ts'
import type { Figure, Scenario } from './scenario.ts'

const MB = 1_000_000
/** Long enough that the burst, a tenth of a second, is not much of it. */
const seconds = 8

const limits = ['download', 'upload', 'source'] as const

const rates: Scenario = {
  name: 'rate-limits',
  title: 'one blob, and 100 small ones, under each of the rate limits in turn',
  against: 'the limit',
  shape: { hosts: 2, rate: undefined, size: 100 * seconds * MB, layers: 3 },
  quick: { size: 20 * seconds * MB },
  async run({ shape, seed, say }) {
    const megabytes = [5, 20, 100].filter((rate) => rate * seconds * MB <= shape.size)
    const small = Array.from({ length: 100 }, () => 100_000)
    const stage = await FairStage.create([...megabytes.map((rate) => rate * seconds * MB), ...small], shape.rate, seed)
    try {
      const figures: Figure[] = []
      for (const limit of limits) {
        for (const [i, rate] of megabytes.entries()) {
          const name = `--${limit}-rate ${rate}MB/s`
          figures.push(await measure(stage, limit, rate, [stage.blobs[i]!], 1, name))
          say(`${name}: ${figures.at(-1)!.value.toFixed(3)} of it`)
        }
        const name = `--${limit}-rate 5MB/s, small blobs`
        figures.push(await measure(stage, limit, 5, stage.blobs.slice(megabytes.length), 8, name))
        say(`${name}: ${figures.at(-1)!.value.toFixed(3)} of it`)
      }
      return figures
    } finally {
      await stage.close()
    }
  },
}

/** What came over the limited link, by its own counters, as a share of what the limit allows in that time. */
async function measure(
  stage: FairStage,
  limit: (typeof limits)[number],
  rate: number,
  blobs: FairStage['blobs'],
  atOnce: number,
  name: string,
): Promise<Figure> {
  const flag = [`--${limit}-rate`, `${rate}MB/s`]
  const limited = limit === 'download' ? 'peer' : 'seed'
  await stage.start({ [limited]: flag })
  if (limit !== 'source') await stage.read('seed', blobs, atOnce)
  const host = stage.lab.host(limited)
  const before = await host.counters()
  const took = await stage.read(limit === 'source' ? 'seed' : 'peer', blobs, atOnce)
  const after = await host.counters()
  const bytes = limit === 'upload' ? after.out - before.out : after.in - before.in
  return { name, value: bytes / took / (rate * MB), unit: 'times the limit', reach: { atLeast: 0.95, atMost: 1.05 } }
}

const beside: Scenario = {
  name: 'small-beside-huge',
  title: '200 blobs of 5 kB, asked for while the same node fetches a huge one from the same parent',
  against: 'the same blobs asked for alone',
  shape: { hosts: 2, rate: '200mbit', size: 500 * MB, layers: 201 },
  quick: { size: 150 * MB },
  async run({ shape, seed, say }) {
    const small = Array.from({ length: shape.layers - 1 }, () => 5000)
    const stage = await FairStage.create([shape.size, ...small], shape.rate, seed)
    try {
      await stage.start()
      await stage.read('seed', stage.blobs, 8)
      const [huge, ...rest] = stage.blobs
      const alone = await stage.read('peer', rest, 16)
      await stage.restart('peer')
      const running = stage.read('peer', [huge!])
      await held(stage, 'peer', huge!, shape.size / 10)
      const besides = await stage.read('peer', rest, 16)
      const part = (await stage.held('peer', huge!)) / shape.size
      const whole = await running
      say(`alone ${alone.toFixed(2)} s, beside ${besides.toFixed(2)} s; the huge one took ${whole.toFixed(1)} s`)
      if (part === 1) throw new Error('the huge blob was here before the small ones: there was nothing to be beside of')
      return [
        { name: 'small blobs beside a huge one', value: besides / alone, unit: 'times alone', reach: { atMost: 3 } },
      ]
    } finally {
      await stage.close()
    }
  },
}

const background: Scenario = {
  name: 'interactive-first',
  title:
    'a host pulls a blob through a seed that is reading another one which nobody waits for, at a limited source rate',
  against: 'the same pull alone',
  shape: { hosts: 2, rate: undefined, size: 40 * MB, layers: 3 },
  quick: { size: 20 * MB },
  async run({ shape, seed, say }) {
    const stage = await FairStage.create([shape.size, shape.size, 4 * shape.size], shape.rate, seed)
    try {
      const [first, second, unread] = stage.blobs
      await stage.start({ seed: ['--source-rate', `${shape.size / 4 / MB}MB/s`] })
      const alone = await stage.read('peer', [first!])
      await stage.order(unread!)
      await held(stage, 'seed', unread!, 1)
      const before = await stage.held('seed', unread!)
      const besides = await stage.read('peer', [second!])
      const share = ((await stage.held('seed', unread!)) - before) / shape.size
      say(`alone ${alone.toFixed(2)} s, beside ${besides.toFixed(2)} s`)
      return [
        {
          name: 'a pull beside a background read',
          value: besides / alone,
          unit: 'times alone',
          reach: { atMost: 1.15 },
        },
        { name: 'the background meanwhile', value: share, unit: 'bytes per byte pulled', reach: { atLeast: 0.02 } },
      ]
    } finally {
      await stage.close()
    }
  },
}

/** Waits until the node has so many bytes of the blob. */
async function held(stage: FairStage, name: string, blob: FairStage['blobs'][number], bytes: number): Promise<void> {
  const end = performance.now() + 60_000
  while ((await stage.held(name, blob)) < bytes) {
    if (performance.now() > end) throw new Error(`${name} has not read ${bytes} bytes of ${blob.digest} after a minute`)
    await Bun.sleep(50)
  }
}

export const fairness: readonly Scenario[] = [rates, beside, background]
