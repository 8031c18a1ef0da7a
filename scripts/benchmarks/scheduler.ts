/**
 * One scheduler process on one core and fifteen thousand simulated nodes that pull images of 200 blobs, a rollout that
 * begins everywhere within a minute. What it costs is compared with a hundred nodes that say as much.
 */
import { load } from '../../test/load/load.ts'
import type { Figure, Run, Scenario } from './scenario.ts'

const few = 100
const setting = { blobs: 200, spread: 60, sockets: 256 }
const secondsOf = (hosts: number) => (hosts < 15_000 ? 10 : 40)

async function pulled(peers: number, speed: number, { shape, seed }: Run) {
  const outcome = await load({ ...setting, peers, speed, seed, seconds: secondsOf(shape.hosts) })
  return { ...outcome, pull: outcome.phases.find(({ phase }) => phase === 'pull')! }
}

async function run(run: Run): Promise<readonly Figure[]> {
  const { hosts } = run.shape
  run.say(`${hosts} nodes ...`)
  const many = await pulled(hosts, 1, run)
  run.say(`${few} nodes that say as much ...`)
  const other = await pulled(few, Math.max(1, hosts / few), run)
  const { announces, schedules, seconds, failed } = many.pull
  return [
    { name: 'decision, p99', value: many.pull.decisionP99Ms, unit: 'ms', reach: { atMost: 5 } },
    { name: 'late or failed', value: failed / (announces + schedules), unit: 'of all calls', reach: { atMost: 0 } },
    { name: 'announces', value: announces / seconds, unit: 'a second' },
    { name: 'schedules', value: schedules / seconds, unit: 'a second' },
    { name: 'core', value: many.pull.cpuSeconds / seconds, unit: 'CPU-seconds a second', reach: { atMost: 1 } },
    { name: 'memory at most', value: many.peak / 2 ** 20, unit: 'MiB' },
    {
      name: 'a decision',
      value: many.pull.decisionMeanMs / other.pull.decisionMeanMs,
      unit: `times one among ${few}`,
    },
  ]
}

export const scheduler: Scenario = {
  name: 'scheduler',
  title: 'one scheduler process, 15,000 announcing nodes, 200 blobs',
  against: `${few} nodes that say as much`,
  shape: { hosts: 15_000, rate: undefined, size: 0, layers: 4 },
  quick: { hosts: 500 },
  run,
}
