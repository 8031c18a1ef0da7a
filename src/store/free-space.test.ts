import { expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { diskAt, FreeSpace } from './free-space.ts'

test('what may still be written is what is free less what is to stay free, in bytes or as a share of the disk', () => {
  const clock = new FakeClock()
  const look = () => ({ free: 300, total: 1000 })
  expect(new FreeSpace({ bytes: 100 }, clock, look).room).toBe(200)
  expect(new FreeSpace({ share: 0.4 }, clock, look).room).toBe(-100)
})

test('the disk is asked once a second, and between what the store writes and frees counts', () => {
  const clock = new FakeClock()
  let free = 300
  let looks = 0
  const space = new FreeSpace({ bytes: 100 }, clock, () => {
    looks++
    return { free, total: 1000 }
  })
  expect(space.room).toBe(200)
  space.changed(-50)
  expect(space.room).toBe(150)
  space.changed(70)
  expect(space.room).toBe(220)
  free = 120
  clock.advance(999)
  expect([space.room, looks]).toEqual([220, 1])
  clock.advance(1)
  expect([space.room, looks]).toEqual([20, 2])
})

test('while the disk cannot be asked, what was seen last counts, and what the store wrote since', () => {
  const clock = new FakeClock()
  let fails = false
  let looks = 0
  const space = new FreeSpace({ bytes: 100 }, clock, () => {
    looks++
    if (fails) throw new Error('EIO')
    return { free: 300, total: 1000 }
  })
  expect(space.room).toBe(200)
  fails = true
  space.changed(-50)
  clock.advance(1000)
  expect([space.room, space.room, looks]).toEqual([150, 150, 2])
  fails = false
  clock.advance(1000)
  expect([space.room, looks]).toEqual([200, 3])
})

test('a disk that was never seen is said to be so', () => {
  const space = new FreeSpace({ bytes: 100 }, new FakeClock(), () => {
    throw new Error('EIO')
  })
  expect(() => space.room).toThrow('EIO')
})

test('a disk tells what it has', () => {
  const { free, total } = diskAt('/')()
  expect(free).toBeGreaterThan(0)
  expect(total).toBeGreaterThanOrEqual(free)
})
