import { expect, test } from 'bun:test'
import { createMetrics } from './metrics.ts'

test('a node that keeps no state does not count as one whose state is out of reach', async () => {
  const metrics = createMetrics()
  const told = async () => (await metrics.registry.getSingleMetricAsString('shoal_state_up')).split('\n').slice(2)
  expect(await told()).toEqual([])
  metrics.stateUp.set(0)
  expect(await told()).toEqual(['shoal_state_up 0'])
})
