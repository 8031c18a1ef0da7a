/** One round of each fault that is fast. `scripts/soak faults` tries all of them, many times. */
import { faults } from '../faults/all.ts'
import { asTests } from '../faults/as-tests.ts'

await asTests(faults.filter(({ quick, family }) => quick && family !== 'crowd'))
