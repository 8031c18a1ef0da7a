/** One cold layer, all hosts together: the time of the slowest must not grow with their number. */
import { plan } from '../../test/lab/race.ts'
import { contest } from './contest.ts'
import { heatFigures } from './laps.ts'
import type { Figure, Run, Scenario } from './scenario.ts'

const scenario = (hosts: number, rate: string, atMost: number): Scenario => ({
  name: `hosts-${hosts}`,
  title: `${hosts} hosts pull one cold layer together`,
  against: 'one plain stream',
  shape: { hosts, rate, size: 256 * 2 ** 20, layers: 1 },
  quick: { size: 32 * 2 ** 20 },
  run: (run) => figuresOf(run, atMost),
})

async function figuresOf(run: Run, atMost: number): Promise<Figure[]> {
  const { shape, arrangement = 'all' } = run
  const { plainSeconds, heats, sourceShare } = await contest({ cluster: plan({ ...shape, arrangement }) }, run)
  return [
    ...heatFigures(heats, { plainSeconds, reach: { atMost } }),
    ...(heats.has('shoal') ? [sourceFigure(sourceShare)] : []),
  ]
}

export function sourceFigure(value: number): Figure {
  return { name: 'shoal, the source sent', value, unit: 'times the image', reach: { atMost: 1.01 } }
}

export const together: readonly Scenario[] = [
  scenario(4, '100mbit', 1.05),
  scenario(8, '100mbit', 1.08),
  scenario(16, '100mbit', 1.1),
  scenario(32, '50mbit', 1.12),
]
