import { expect, test } from 'bun:test'
import { closeSync, openSync } from 'node:fs'
import { FakeClock } from '../test/fakes/clock.ts'
import { connectionsFor, enoughFiles, fileLimit, openFiles, watchFiles } from './file-limit.ts'
import { silentLog } from './telemetry/log.ts'

function setUp(limit: number | undefined) {
  const clock = new FakeClock()
  const warnings: string[] = []
  const state = { open: 10, relieved: 0 }
  const stop = watchFiles({
    clock,
    log: { ...silentLog, warn: (message) => void warnings.push(message) },
    limit,
    open: () => state.open,
    relieve: () => {
      state.relieved++
    },
  })
  return { clock, warnings, state, stop }
}

test('the limit is the soft one, as the kernel tells it', () => {
  const text =
    'Max processes    95  95  processes\nMax open files            1024                 524288               files\n'
  expect(fileLimit(text)).toBe(1024)
  expect(fileLimit('Max open files            unlimited            unlimited            files')).toBe(Infinity)
  expect(fileLimit('')).toBeUndefined()
})

test('this process has a limit, and what it opens counts', () => {
  expect(fileLimit()).toBeGreaterThan(0)
  const before = openFiles()
  const fds = Array.from({ length: 5 }, () => openSync('/dev/null', 'r'))
  expect(openFiles()).toBe(before + 5)
  for (const fd of fds) closeSync(fd)
  expect(openFiles()).toBe(before)
})

test('clients get a quarter of what may be open at most', () => {
  expect(connectionsFor(4096, 1024)).toBe(256)
  expect(connectionsFor(4096, 1_048_576)).toBe(4096)
  expect(connectionsFor(4096, Infinity)).toBe(4096)
  expect(connectionsFor(4096, undefined)).toBe(enoughFiles / 4)
})

test('a limit that is too low is told at the start, and one that is not is not', () => {
  expect(setUp(1024).warnings).toEqual([
    'this process may have 1024 files open; raise LimitNOFILE of its unit, or ulimit -n',
  ])
  expect(setUp(enoughFiles).warnings).toEqual([])
})

test('while three quarters are open, connections that rest are closed, and that is told once', () => {
  const { clock, warnings, state, stop } = setUp(10_000)
  clock.advance(60_000)
  expect(state.relieved).toBe(0)
  state.open = 7_500
  clock.advance(8_000)
  expect(state.relieved).toBe(4)
  expect(warnings).toEqual(['many files are open: closed connections that rest'])
  stop()
  expect(clock.pending).toBe(0)
})

test('where the system tells no limit there is nothing to watch', () => {
  const { clock, warnings } = setUp(undefined)
  expect([clock.pending, warnings.length]).toEqual([0, 0])
})
