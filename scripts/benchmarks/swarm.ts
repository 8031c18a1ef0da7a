/** What the scenarios of one swarm have in common: shape, contest, figures. */
import type { ClusterInit } from '../../test/lab/cluster.ts'
import { plan } from '../../test/lab/race.ts'
import { type Course, contest, type Outcome } from './contest.ts'
import { heatFigures, type Judging } from './laps.ts'
import type { Figure, Reach, Run, Scenario, Shape } from './scenario.ts'

export interface SwarmScenario extends Pick<Scenario, 'name' | 'title'> {
  readonly shape: Partial<Shape>
  readonly quick?: Partial<Shape>
  readonly against?: string
  /** For the time of shoal's slowest host. */
  readonly reach?: Reach
  readonly seconds?: Judging['seconds']
  /** How this course differs from all hosts pulling at once, given the cluster that was asked for. */
  readonly course?: (cluster: ClusterInit, run: Run) => Omit<Course, 'cluster'> & { readonly cluster?: ClusterInit }
  readonly more?: (outcome: Outcome, run: Run) => readonly Figure[]
  /** Contenders that cannot run here. */
  readonly without?: Run['compare']
}

/** 16 hosts, 256 MiB in one layer, 100 Mbit/s each, every node in all modes, unless it says otherwise. */
export function swarmScenario(init: SwarmScenario): Scenario {
  const { name, title, against = 'one plain stream', reach, seconds } = init
  return {
    name,
    title,
    against,
    shape: { hosts: 16, rate: '100mbit', size: 256 * 2 ** 20, layers: 1, ...init.shape },
    quick: { size: 32 * 2 ** 20, ...init.quick },
    async run(run) {
      const { shape, arrangement = 'all', say } = run
      const cluster = plan({ ...shape, arrangement })
      const compare = new Set([...run.compare].filter((contender) => !init.without?.has(contender)))
      const outcome = await contest({ cluster, ...init.course?.(cluster, run) }, { compare, say })
      const { plainSeconds, heats } = outcome
      return [
        ...heatFigures(heats, { plainSeconds, ...(reach ? { reach } : {}), ...(seconds ? { seconds } : {}) }),
        ...(heats.has('shoal') ? (init.more?.(outcome, run) ?? []) : []),
      ]
    },
  }
}

export const sourceFigure = ({ sourceShare }: Outcome): Figure => ({
  name: 'shoal, the source sent',
  value: sourceShare,
  unit: 'times the image',
  reach: { atMost: 1.01 },
})
