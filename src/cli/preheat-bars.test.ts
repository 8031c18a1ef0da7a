import { expect, test } from 'bun:test'
import { NarrowTerminal } from '../../test/fakes/terminal.ts'
import { PreheatBars } from './preheat-bars.ts'

test('a terminal is left as it was however the process ends: nothing is switched off, and no line is wider', async () => {
  const terminal = new NarrowTerminal(40)
  const bars = new PreheatBars(terminal)
  const node = { state: 'running', bytes: 5, total: 10, reason: `it is slow: ${'x'.repeat(100)}` } as const
  const counts = { pending: 0, running: 2, done: 0, failed: 0, cancelled: 0 }
  const nodes = [
    { ...node, node: 'a'.repeat(52) },
    { ...node, node: 'b'.repeat(52) },
  ]
  const at = '2026-01-01T12:00:00Z'
  bars.show({
    ...{ id: 1, state: 'running', what: ['debian:13'], platforms: 'all', scope: 'all', createdAt: at, updatedAt: at },
    ...{ nodes, counts, bytes: 10, total: 20 },
  })
  // It draws by the time of the host.
  await Bun.sleep(500)
  expect(terminal.switched()).toEqual([])
  expect(terminal.widest()).toBe(39)
  bars.end()
  expect([terminal.switched(), terminal.widest()]).toEqual([[], 39])
})
