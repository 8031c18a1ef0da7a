/** All scenarios, in the order in which they run and are shown. */
import { costs } from './cost.ts'
import { fairness } from './fairness.ts'
import { firstByte } from './first-byte.ts'
import { guarded, hosts, layers } from './hosts.ts'
import { killed } from './killed.ts'
import { lazy } from './lazy.ts'
import { oneHost } from './one-host.ts'
import { preheat } from './preheat.ts'
import type { Scenario } from './scenario.ts'
import { scheduler } from './scheduler.ts'
import { simulation } from './simulation.ts'
import { slowLinks } from './slow-links.ts'
import { staggered } from './staggered.ts'
import { zones } from './zones.ts'

export const scenarios: readonly Scenario[] = [
  ...hosts,
  ...guarded,
  layers,
  slowLinks,
  staggered,
  ...killed,
  zones,
  ...oneHost,
  firstByte,
  preheat,
  ...lazy,
  ...costs,
  ...fairness,
  simulation,
  scheduler,
]
