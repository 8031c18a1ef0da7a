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
  space.wrote(50)
  expect(space.room).toBe(150)
  space.freed(70)
  expect(space.room).toBe(220)
  free = 320
  clock.advance(999)
  expect([space.room, looks]).toEqual([220, 1])
  clock.advance(1)
  expect([space.room, looks]).toEqual([220, 2])
  free = 200
  clock.advance(1000)
  expect([space.room, looks]).toEqual([100, 3])
})

test('what was freed counts until the disk says so, at once or bit by bit, and not for ever', () => {
  const clock = new FakeClock()
  let free = 300
  const space = new FreeSpace({ bytes: 100 }, clock, () => ({ free, total: 1000 }))
  expect(space.room).toBe(200)
  space.freed(70)
  const later = (ms: number) => {
    clock.advance(ms)
    return space.room
  }
  expect([later(1000), later(1000)]).toEqual([270, 270])
  free = 330
  expect(later(1000)).toBe(270)
  free = 370
  expect([later(1000), later(1000)]).toEqual([270, 270])
  space.freed(50)
  expect([later(44_000), later(1000)]).toEqual([320, 270])
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
  space.wrote(50)
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
