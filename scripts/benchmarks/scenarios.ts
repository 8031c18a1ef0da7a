/** All scenarios, in the order in which they run and are shown. */
import { together } from './hosts.ts'
import type { Scenario } from './scenario.ts'

export const scenarios: readonly Scenario[] = [...together]
