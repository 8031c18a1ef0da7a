/**
 * Mounted instead of pulled: how soon an image says its first word, and what of it came for that. A seed has the image
 * and its index, as it has of everything that it has read once; hosts have nothing.
 */

import type { Host } from '../../test/lab/host.ts'
import { lazyRead } from './lazy-read.ts'
import { image, type LazyStage, type Started, type Starter, withLazyStage } from './lazy-stage.ts'
import { atRest, busySince, load } from './machine.ts'
import type { Scenario } from './scenario.ts'

const MB = 1_000_000

const shape = { ...image, hosts: 1, rate: '100mbit' }
const quick = { size: 40 * MB }

const alone: Scenario = {
  name: 'lazy-start',
  title: 'the first output of python3 in an image that a host does not have, mounted',
  against: 'docker pull and run, straight from the registry',
  shape,
  quick,
  run: (run) =>
    withLazyStage(run, 1, async (stage) => {
      const host = stage.hosts[0]!
      const docker = await stage.withDocker(host)
      const starter = await stage.ready(host)
      const { seconds } = await starter.start('--no-prefetch')
      const { read, fetched } = await starter.taken().finally(() => starter.stop())
      run.say(
        `docker ${docker.toFixed(1)} s, mounted ${seconds.toFixed(2)} s; ` +
          `read ${(read / MB).toFixed(1)} MB, fetched ${(fetched / MB).toFixed(1)} MB`,
      )
      return [
        {
          name: 'first output, mounted',
          value: seconds / docker,
          unit: 'times docker pull and run',
          reach: { atMost: 0.1 },
        },
        {
          name: 'fetched for it',
          value: fetched / read,
          unit: 'times the bytes that it reads',
          reach: { atMost: 1.5 },
        },
      ]
    }),
}

/** Nothing but what is read, or as images are mounted: what starts are known to read before it is read, and then the rest. */
const ways = {
  unknown: ['--no-prefetch'],
  known: [],
} as const

const togetherWith = (way: keyof typeof ways, name: string, title: string): Scenario => ({
  name,
  title,
  against: 'one host that does so alone',
  shape: { ...shape, hosts: 16 },
  quick,
  run: (run) =>
    withLazyStage(run, run.shape.hosts + 2, async (stage) => {
      const [teacher, first, ...hosts] = stage.hosts
      if (way === 'known') await taught(stage, teacher!)
      const [one] = await timed([await stage.ready(first!)], ways[way])
      const all = await timed(await Promise.all(hosts.map((host) => stage.ready(host))), ways[way])
      const alone = one!.seconds
      const slowest = Math.max(...all.map(({ seconds }) => seconds))
      const mounted = Math.max(...all.map((each) => each.mounted))
      run.say(
        `alone ${alone.toFixed(2)} s, mounted after ${one!.mounted.toFixed(2)} s, ${one!.cpuSeconds.toFixed(1)} CPU-seconds; ` +
          `slowest of ${all.length} ${slowest.toFixed(2)} s, mounted after ${mounted.toFixed(2)} s, ` +
          `${all[0]!.cpuSeconds.toFixed(1)} CPU-seconds each`,
      )
      return [
        {
          name: 'first output on the slowest host',
          value: slowest / alone,
          unit: 'times one host alone',
          reach: { atMost: 1.3 },
          samples: all.map(({ seconds }) => seconds / alone),
        },
        {
          name: 'mounted on the slowest host',
          value: mounted / one!.mounted,
          unit: 'times one host alone',
          samples: all.map((each) => each.mounted / one!.mounted),
        },
        {
          name: 'first output after all had mounted',
          value: (slowest - mounted) / (alone - one!.mounted),
          unit: 'times one host alone',
        },
        { name: 'machine at work until all had mounted', value: all[0]!.mounting, unit: 'of all cores' },
        { name: 'machine at work', value: all[0]!.busy, unit: 'of all cores' },
        { name: 'taken by each of them', value: all[0]!.cpuSeconds, unit: 'CPU-seconds of the machine' },
        { name: 'taken by one alone', value: one!.cpuSeconds, unit: 'CPU-seconds of the machine' },
        {
          name: 'the source sent',
          value: await stage.sourceShare(),
          unit: 'times the image',
          reach: { atMost: 1.01 },
        },
      ]
    }),
})

const together = togetherWith(
  'unknown',
  'lazy-start-16',
  '16 hosts start python3 in an image that they do not have, mounted, at once',
)

const togetherKnown = togetherWith(
  'known',
  'lazy-start-16-known',
  '16 hosts start python3, mounted, at once, in an image that they do not have and one host has started before',
)

/** One start, of which the cluster knows afterwards what it read. */
async function taught(stage: LazyStage, host: Host): Promise<void> {
  const starter = await stage.ready(host)
  try {
    await starter.start('--no-prefetch')
    await starter.end()
    await stage.known()
  } finally {
    await starter.stop()
  }
}

interface Timed extends Started {
  /** Of all processors, while these hosts started: the share that was at work, and the seconds for each host. */
  readonly busy: number
  /** The same until the last of them was mounted. */
  readonly mounting: number
  readonly cpuSeconds: number
}

/** Starts on all of them at once; mounters that start, and looks at what was read, are not in it. */
async function timed(starters: readonly Starter[], flags: readonly string[]): Promise<Timed[]> {
  try {
    await atRest(20)
    const before = load()
    const started = await Promise.all(starters.map((starter) => starter.start(...flags)))
    const busy = busySince(before)
    const cpuSeconds = (load().busy - before.busy) / starters.length
    const last = started.reduce((a, b) => (a.mounted > b.mounted ? a : b))
    const mounting = busySince(before, last.then)
    return started.map((each) => ({ ...each, busy, mounting, cpuSeconds }))
  } finally {
    await Promise.all(starters.map((starter) => starter.stop()))
  }
}

export const lazy: readonly Scenario[] = [alone, together, togetherKnown, lazyRead]
