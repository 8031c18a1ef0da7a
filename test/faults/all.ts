/** Every fault there is. */
import { clockFaults } from './clocks.ts'
import { crowd, crowdOfPeers } from './crowds.ts'
import { diskFaults } from './disks.ts'
import type { Fault } from './fault.ts'
import { keyFaults } from './keys.ts'
import { killFaults } from './kills.ts'
import { liarFaults } from './liars.ts'
import { networkFaults } from './networks.ts'
import { nuisance } from './nuisances.ts'
import { rotFaults } from './rot.ts'
import { sourceFaults } from './sources.ts'

export const faults: readonly Fault[] = [
  ...sourceFaults,
  ...killFaults,
  ...keyFaults,
  ...networkFaults,
  ...diskFaults,
  ...rotFaults,
  ...clockFaults,
  ...liarFaults,
  crowd(300),
  crowdOfPeers(100),
  nuisance(2, 1),
  nuisance(100, 1),
]
