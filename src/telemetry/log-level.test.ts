import { beforeEach, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { LogLevels } from './log-level.ts'
import { createLog, type LevelledLog } from './pino.ts'

let clock: FakeClock
let log: LevelledLog
let lines: string[]
let levels: LogLevels
beforeEach(() => {
  clock = new FakeClock()
  lines = []
  log = createLog({ level: 'info', format: 'json', color: false }, { write: (line) => lines.push(line) })
  levels = new LogLevels(log, clock)
})

test('a level with a time goes back to what the settings say when that is over', () => {
  expect(levels.set('debug', 600_000)).toEqual({
    level: 'debug',
    configured: 'info',
    until: clock.wall() + 600_000,
  })
  clock.advance(599_999)
  expect(log.level).toBe('debug')
  clock.advance(1)
  expect(levels.facts).toEqual({ level: 'info', configured: 'info' })
})

test('a level without a time stays', () => {
  levels.set('warn')
  clock.advance(48 * 3600_000)
  expect(levels.facts).toEqual({ level: 'warn', configured: 'info' })
})

test('the last word counts: an earlier time ends nothing any more', () => {
  levels.set('debug', 1_000)
  levels.set('debug', 60_000)
  clock.advance(2_000)
  expect(log.level).toBe('debug')
  levels.set('error')
  clock.advance(100_000)
  expect(log.level).toBe('error')
})

test('settings that are read again count at once, and no time is left', () => {
  levels.set('debug', 60_000)
  levels.configure('warn')
  expect(levels.facts).toEqual({ level: 'warn', configured: 'warn' })
  expect(clock.pending).toBe(0)
})

test.each(['debug', 'warn', 'error'] as const)('a change to %s is told by the log, and one back', (level) => {
  levels.set(level)
  levels.set('info')
  const told = lines.map((line) => JSON.parse(line))
  expect(told).toMatchObject([
    { level: 'warn', from: 'info', to: level },
    { level: 'warn', from: level, to: 'info' },
  ])
})
