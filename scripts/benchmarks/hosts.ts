/** One cold layer, all hosts together: the time of the slowest must not grow with their number. */
import { race } from '../../test/lab/race.ts'
import type { Figure, Run, Scenario } from './scenario.ts'

const layer = 256 * 2 ** 20

const scenario = (hosts: number, rate: string, atMost: number): Scenario => ({
  name: `hosts-${hosts}`,
  title: `${hosts} hosts pull one cold layer together`,
  against: 'one plain stream',
  shape: { hosts, rate, size: layer, layers: 1 },
  quick: { size: 32 * 2 ** 20 },
  run: (run) => figuresOf(run, atMost),
})

async function figuresOf({ shape, arrangement = 'all', say }: Run, atMost: number): Promise<Figure[]> {
  const { ratio, sourceShare } = await race({ ...shape, arrangement }, say)
  return [
    {
      name: 'shoal, slowest host',
      value: ratio,
      unit: 'times one plain stream',
      reach: { atMost },
      contender: 'shoal',
    },
    { name: 'the source sent', value: sourceShare, unit: 'times the image', reach: { atMost: 1.01 } },
  ]
}

export const together: readonly Scenario[] = [
  scenario(4, '100mbit', 1.05),
  scenario(8, '100mbit', 1.08),
  scenario(16, '100mbit', 1.1),
  scenario(32, '50mbit', 1.12),
]
