/**
 * Mounted instead of pulled: how soon an image says its first word, and what of it came for that. A seed has the image
 * and its index, as it has of everything that it has read once; hosts have nothing.
 */
import { lazyRead } from './lazy-read.ts'
import { image, withLazyStage } from './lazy-stage.ts'
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
      const started = await stage.start(host)
      run.say(
        `docker ${docker.toFixed(1)} s, mounted ${started.seconds.toFixed(2)} s; ` +
          `read ${(started.read / MB).toFixed(1)} MB, fetched ${(started.fetched / MB).toFixed(1)} MB`,
      )
      return [
        {
          name: 'first output, mounted',
          value: started.seconds / docker,
          unit: 'times docker pull and run',
          reach: { atMost: 0.1 },
        },
        {
          name: 'fetched for it',
          value: started.fetched / started.read,
          unit: 'times the bytes that it reads',
          reach: { atMost: 1.5 },
        },
      ]
    }),
}

const together: Scenario = {
  name: 'lazy-start-16',
  title: '16 hosts start python3 in an image that they do not have, mounted, at once',
  against: 'one host that does so alone',
  shape: { ...shape, hosts: 16 },
  quick,
  run: (run) =>
    withLazyStage(run, run.shape.hosts + 1, async (stage) => {
      const [first, ...hosts] = stage.hosts
      const one = await stage.start(first!)
      const all = await Promise.all(hosts.map((host) => stage.start(host)))
      const slowest = Math.max(...all.map(({ seconds }) => seconds))
      run.say(`alone ${one.seconds.toFixed(2)} s, slowest of ${all.length} ${slowest.toFixed(2)} s`)
      return [
        {
          name: 'first output on the slowest host',
          value: slowest / one.seconds,
          unit: 'times one host alone',
          reach: { atMost: 1.3 },
          samples: all.map(({ seconds }) => seconds / one.seconds),
        },
        {
          name: 'the source sent',
          value: await stage.sourceShare(),
          unit: 'times the image',
          reach: { atMost: 1.01 },
        },
      ]
    }),
}

export const lazy: readonly Scenario[] = [alone, together, lazyRead]
