import { expect, test } from 'bun:test'
import { createMetrics } from './metrics.ts'

test('registries that a client makes up, however many, are counted as one after the first hundred', async () => {
  const { registry, sourceRequests, sourceBytes } = createMetrics()
  for (let i = 0; i < 5000; i++) sourceRequests.inc({ source: `r${i}.example`, status: '404' })
  sourceBytes.inc({ source: 'r0.example' }, 5)
  sourceBytes.inc({ source: 'new.example' }, 7)
  const { values } = await sourceRequests.get()
  expect(values).toHaveLength(101)
  expect(values.reduce((sum, { value }) => sum + value, 0)).toBe(5000)
  expect(values.find(({ labels }) => labels.source === 'others')?.value).toBe(4900)
  const text = await registry.metrics()
  expect(text).toContain('shoal_source_bytes_total{source="r0.example"} 5')
  expect(text).toContain('shoal_source_bytes_total{source="others"} 7')
})
