/** Hosts do not start together: who comes late finds others that have much, and must not wait for them to have all. */
import { seededRandom } from '../../src/clock.ts'
import { afterLastStart } from './laps.ts'
import { swarmScenario } from './swarm.ts'

const spreadMs = 20_000

export const staggered = swarmScenario({
  name: 'staggered',
  title: 'hosts start by chance within 20 s; the time is from the last start',
  shape: {},
  reach: { atMost: 1.15 },
  seconds: afterLastStart,
  course: ({ members }, { seed }) => {
    const random = seededRandom(seed)
    const delays = new Map(members.map(({ name }) => [name, random() * spreadMs]))
    return { delay: (host) => delays.get(host) ?? 0 }
  },
})
