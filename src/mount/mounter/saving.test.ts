import { beforeEach, expect, test } from 'bun:test'
import { setImmediate } from 'node:timers/promises'
import { RecordedLog } from '../../../test/fakes/registry-source.ts'
import { saving } from './saving.ts'
import { emptyState } from './state.ts'

let log: RecordedLog
let free: number
let unused: number
let written: number
const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })

beforeEach(() => {
  log = new RecordedLog()
  free = 0
  unused = 0
  written = 0
})

const kept = () =>
  saving({
    file: '/data/state.json',
    state: () => emptyState,
    makeRoom: async () => {
      if (unused === 0) return false
      unused--
      free++
      return true
    },
    log,
    write() {
      if (free === 0) throw full
      written++
    },
  })

test('on a full disk what nobody mounts makes room for what is written down', async () => {
  unused = 2
  await kept().save()
  expect([written, unused]).toEqual([1, 1])
})

test('what is asked for at once is written down once, and what is asked for after that anew', async () => {
  free = 1
  const { save } = kept()
  await Promise.all([save(), save(), save()])
  expect(written).toBe(1)
  const first = save()
  await setImmediate()
  await Promise.all([first, save()])
  expect(written).toBe(3)
})

test('what cannot be written down is refused before it is relied on, and told after', async () => {
  await expect(kept().save()).rejects.toThrow(/cannot be written down: ENOSPC.*free some space.*\/data\/state.json/)
  kept().note()
  expect(log.lines).toHaveLength(1)
})
