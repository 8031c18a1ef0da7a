/** Crowds in their fast form: most of their time is that of clients who are let go of when theirs is up. */
import { faults } from '../../faults/all.ts'
import { asTests } from '../../faults/as-tests.ts'
import { churn } from '../../faults/churn.ts'

await asTests([...faults.filter(({ quick, family }) => quick && family === 'crowd'), churn(0.2)])
