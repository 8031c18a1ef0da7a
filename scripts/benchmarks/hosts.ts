/** One cold image, all hosts together: the time of the slowest must not grow with their number. */
import type { Admission } from '../../test/lab/admission.ts'
import type { Scenario } from './scenario.ts'
import { sourceFigure, swarmScenario } from './swarm.ts'

const together = (hosts: number, rate: string, atMost: number) =>
  swarmScenario({
    name: `hosts-${hosts}`,
    title: `${hosts} hosts pull one cold layer together`,
    shape: { hosts, rate },
    reach: { atMost },
    more: (outcome) => [sourceFigure(outcome)],
  })

export const hosts: readonly Scenario[] = [
  together(4, '100mbit', 1.05),
  together(8, '100mbit', 1.08),
  together(16, '100mbit', 1.1),
  together(32, '50mbit', 1.12),
]

const withAdmission = (name: string, admission: Admission, title: string) =>
  swarmScenario({
    name,
    title: `4 hosts pull one cold layer together, ${title}`,
    shape: { hosts: 4, rate: '100mbit' },
    course: (cluster) => ({ cluster: { ...cluster, admission } }),
    more: (outcome) => [sourceFigure(outcome)],
  })

/** What a key, and TLS, cost a swarm: to be held against `hosts-4`. */
export const guarded: readonly Scenario[] = [
  withAdmission('hosts-4-keyed', 'keyed', 'in a cluster with a key'),
  withAdmission('hosts-4-encrypted', 'keyed and encrypted', 'in a cluster with a key and --encrypt'),
]

/** Layers of 1 to 8 MiB: many small swarms instead of one, and an engine that asks for three at a time. */
export const layers = swarmScenario({
  name: 'layers-40',
  title: 'an image of 40 layers of 1 to 8 MiB',
  against: 'one plain pull of it, three layers at a time',
  shape: { size: 180 * 2 ** 20, layers: 40 },
  quick: { size: 36 * 2 ** 20 },
  reach: { atMost: 1.25 },
  more: (outcome) => [sourceFigure(outcome)],
})
