import { afterEach, beforeEach, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeClock } from '../../../test/fakes/clock.ts'
import { errnos } from '../../fuse/libc.ts'
import { silentLog } from '../../telemetry/log.ts'
import type { Outcome } from '../kernel/calls.ts'
import { Kernel } from '../kernel/kernel.ts'
import type { MountEntry } from '../kernel/table.ts'
import { Leftovers, writtenIn } from './leftovers.ts'
import { placesOf } from './places.ts'

let dir: string
let clock: FakeClock
let leftovers: Leftovers
/** What the kernel says of an overlay that is made of the folders. */
let answer: Outcome
let asked: number
let table: MountEntry[]
let folder: string

const free: Outcome = { errno: 0, said: [] }
const inUse: Outcome = { errno: errnos.EBUSY, step: 'make overlay', said: [] }

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-leftovers-'))
  clock = new FakeClock()
  answer = free
  asked = 0
  table = []
  const places = placesOf(join(dir, 'm.sock'), dir)
  folder = join(places.writable, 'one')
  leftovers = new Leftovers({
    places,
    kernel: new Kernel(async ([call]) => {
      expect(call).toEqual({ do: 'overlaid', ...writtenIn(folder), lower: places.empty })
      asked++
      return [answer]
    }),
    table: () => table,
    clock,
    log: silentLog,
  })
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const make = (name: string) => mkdirSync(join(folder, name), { recursive: true })
async function later(ms: number): Promise<boolean> {
  clock.advance(ms)
  await leftovers.sweep()
  return existsSync(folder)
}

test('it stays as long as an overlay has it, and is asked for ever less often', async () => {
  make('upper')
  answer = inUse
  await leftovers.leave(folder)
  expect([existsSync(folder), asked]).toEqual([true, 1])
  for (let seconds = 0; seconds < 3600; seconds++) await later(1000)
  expect([existsSync(folder), asked < 25]).toEqual([true, true])
  answer = free
  expect(await later(5 * 60_000)).toBe(false)
})

test('it goes at once where nobody has it, whoever has its layers', async () => {
  make('upper')
  await leftovers.leave(folder)
  expect(existsSync(folder)).toBe(false)
})

test('where the kernel does not say, nothing is removed', async () => {
  make('upper')
  answer = { errno: errnos.EACCES, step: 'upperdir=x', said: [] }
  await leftovers.leave(folder)
  expect(existsSync(folder)).toBe(true)
  // In use is looked at first: what is refused for another reason is free.
  answer = { errno: 116, step: 'make overlay', said: [] }
  expect(await later(1000)).toBe(false)
})

test('what is only read stays as long as an overlay has it, past all that is known of its layers', async () => {
  for (const name of ['upper', 'over-1']) make(name)
  answer = inUse
  leftovers.find(new Set())
  expect([await later(0), await later(1000), asked]).toEqual([true, true, 2])
  answer = free
  expect(await later(2000)).toBe(false)
})

test('what was begun and never mounted goes', async () => {
  make('over-1')
  answer = { errno: errnos.ENOENT, step: 'upperdir=x', said: [] }
  await leftovers.leave(folder)
  expect(existsSync(folder)).toBe(false)
})

test('what a mounter before has left goes with its use, and what it has mounted stays', async () => {
  make('upper')
  answer = inUse
  leftovers.find(new Set([folder]))
  expect([await later(0), asked]).toEqual([true, 0])
  leftovers.find(new Set())
  table = [{ id: '1', target: '/srv', type: 'overlay', source: 'shoal', options: `rw,upperdir=${folder}/upper` }]
  expect([await later(0), asked]).toEqual([true, 0])
  table = []
  leftovers.lookAgain()
  expect([await later(0), asked]).toEqual([true, 1])
  answer = free
  expect(await later(1000)).toBe(false)
})
