import { expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { NarrowTerminal } from '../../test/fakes/terminal.ts'
import { duration, type Figures, lineOf, Progress, sharesText } from './progress.ts'

const MiB = 1024 * 1024
const figures: Figures = { name: 'debian:13', total: 100 * MiB, done: 0, perSecond: 0, shares: undefined }

test('a line says how far it is, how fast, how long it takes, and how much came from peers', () => {
  const shares = { store: 5, swarm: 84 * MiB, source: 16 * MiB }
  expect(lineOf({ ...figures, done: 25 * MiB, perSecond: 5 * MiB, shares }, '[=>  ]')).toBe(
    'debian:13 [=>  ]  25%  25.0 MiB of 100.0 MiB  5.0 MiB/s  ETA 15s  84% from peers',
  )
})

test('a line does not guess, divide by nothing or get too long', () => {
  expect(lineOf(figures, '')).toContain('ETA -')
  expect(lineOf({ ...figures, total: 0 }, '')).toContain('100%')
  expect(lineOf({ ...figures, done: 100 * MiB }, '')).not.toContain('ETA')
  expect(lineOf({ ...figures, name: `https://files.corp/${'x'.repeat(100)}.iso` }, '')).toMatch(/^…x{27}\.iso /)
})

test.each([
  [{ store: 0, swarm: 3, source: 1 }, '75% from peers'],
  [{ store: 9, swarm: 0, source: 1 }, '0% from peers'],
  [{ store: 9, swarm: 0, source: 0 }, 'all from this node'],
  [{ store: 0, swarm: 0, source: 0 }, undefined],
])('of %p it is said: %s', (shares, text) => {
  expect(sharesText(shares)).toBe(text as string)
})

test.each([
  [0, '0s'],
  [59, '59s'],
  [61, '1m 1s'],
  [7262, '2h 1m'],
])('%d seconds are %s', (seconds, text) => {
  expect(duration(seconds)).toBe(text)
})

test('what was there before is not counted as having come', () => {
  const progress = new Progress('x', false, new FakeClock())
  progress.total(100)
  progress.kept(60)
  progress.came(30)
  progress.kept(-60)
  progress.came(70)
  progress.end()
  expect(progress.fresh).toBe(100)
})

test('a terminal is left as it was however the process ends: nothing is switched off, and no line is wider', async () => {
  const terminal = new NarrowTerminal(40)
  const progress = new Progress('https://files.corp/a/very/long/name/of/a/disk.img', true, new FakeClock(), terminal)
  progress.waiting(`the node is not ready: ${'x'.repeat(100)}`)
  progress.total(100 * MiB)
  progress.came(30 * MiB)
  // It draws by the time of the host.
  await Bun.sleep(500)
  expect(terminal.switched()).toEqual([])
  expect(terminal.widest()).toBe(39)
  progress.end()
  expect([terminal.switched(), terminal.widest()]).toEqual([[], 39])
})
