import { beforeEach, expect, test } from 'bun:test'
import { Failure } from '../../failure.ts'
import { withRoom, withRoomFor } from './room.ts'

const full = Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' })
/** What happens, in its order. */
let done: string[]
let unused: number

beforeEach(() => {
  done = []
  unused = 3
})

const makeRoom = async () => {
  if (unused === 0) return false
  unused--
  done.push('room')
  return true
}
/** Fails for that as often. */
const task = (times: number, error: Error) => async () => {
  done.push('try')
  if (times-- > 0) throw error
  return 'done'
}

test('what finds the disk full is tried again as long as something can go', async () => {
  expect(await withRoom(makeRoom, task(2, full))).toBe('done')
  expect(done).toEqual(['try', 'room', 'try', 'room', 'try'])
  await expect(withRoom(makeRoom, task(9, full))).rejects.toThrow('ENOSPC: no space left on device, write; free some')
  await expect(withRoom(makeRoom, task(9, new Failure('no-space', 'so full')))).rejects.toThrow('so full')
})

test('what fails for anything else is no reason for others to go', async () => {
  await expect(withRoom(makeRoom, task(1, new Error('EIO')))).rejects.toThrow('EIO')
  expect(done).toEqual(['try'])
})

test('what has to begin anew each time finds the room that it needs at least, and does not begin once for each that goes', async () => {
  const free = () => 5 - unused
  expect(await withRoomFor(4, free, makeRoom, task(0, full))).toBe('done')
  expect(done).toEqual(['room', 'room', 'try'])
  done = []
  unused = 3
  // There is that much, and it turns out to be too little.
  const none = new Failure('no-space', 'too little')
  expect(await withRoomFor(1, free, makeRoom, task(1, none))).toBe('done')
  expect(done).toEqual(['try', 'room', 'room', 'try'])
})
