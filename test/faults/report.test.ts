import { expect, test } from 'bun:test'
import { faults } from './all.ts'
import { markdown } from './report.ts'

const fault = { name: 'disk is full', family: 'disk', outcome: 'it says so' } as const

test('a report has how many rounds ended as promised, how long they took, and each that did not with its seed', () => {
  const text = markdown([
    {
      fault,
      rounds: [
        { seed: 1, seconds: 2, remark: 'refused', held: true, notes: ['and that'] },
        { seed: 2, seconds: 3.25, remark: 'it | hung\nfor long', held: false, notes: [] },
      ],
    },
  ])
  expect(text).toContain('| disk is full | 2 | 1 | 2.0..3.3 | it / hung for long |')
  expect(text).toContain('- disk is full: it says so')
  expect(text).toContain('- disk is full, seed 2: it / hung for long')
  expect(text).toContain('- disk is full, seed 1: and that')
})

test('a fault that cannot be tried here is in the report with the reason', () => {
  expect(markdown([{ fault, skipped: 'not root', rounds: [] }])).toContain(
    '| disk is full | 0 | 0 |  | skipped: not root |',
  )
})

test('there are at least 24 faults, each with a name of its own and a promise', () => {
  expect(faults.length).toBeGreaterThanOrEqual(24)
  expect(new Set(faults.map(({ name }) => name)).size).toBe(faults.length)
  for (const { outcome } of faults) expect(outcome.length).toBeGreaterThan(10)
})
