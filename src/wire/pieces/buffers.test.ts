import { beforeEach, expect, test } from 'bun:test'
import { FakeClock } from '../../../test/fakes/clock.ts'
import { PieceBuffers } from './buffers.ts'

const KiB = 1024
let clock: FakeClock
let buffers: PieceBuffers
beforeEach(() => {
  clock = new FakeClock()
  buffers = new PieceBuffers(clock)
})

test('memory that was given back is used again, the last one first', () => {
  const [a, b] = [buffers.take(512 * KiB), buffers.take(512 * KiB)]
  a.release()
  b.release()
  expect(buffers.take(512 * KiB).bytes.buffer).toBe(b.bytes.buffer)
  expect(buffers.take(300 * KiB).bytes.buffer).toBe(a.bytes.buffer)
  expect(buffers.spareBytes).toBe(0)
})

test('memory is as long as it was asked for', () => {
  for (const length of [0, 1, 100 * KiB, 200 * KiB, 512 * KiB, 512 * KiB + 1, 4096 * KiB]) {
    const { bytes, release } = buffers.take(length)
    expect(bytes.length).toBe(length)
    release()
    expect(buffers.take(length).bytes.length).toBe(length)
  }
})

test('two never share memory, also when one is given back twice', () => {
  const a = buffers.take(512 * KiB)
  a.release()
  a.release()
  expect(buffers.take(512 * KiB).bytes.buffer).not.toBe(buffers.take(512 * KiB).bytes.buffer)
})

test('a bounded amount of memory is kept', () => {
  const taken = Array.from({ length: 200 }, () => buffers.take(512 * KiB))
  for (const { release } of taken) release()
  expect(buffers.spareBytes).toBe(16 * 1024 * KiB)
})

test('memory that nobody uses is let go', () => {
  const taken = Array.from({ length: 4 }, () => buffers.take(512 * KiB))
  for (const { release } of taken) release()
  expect(buffers.spareBytes).toBe(2048 * KiB)
  clock.advance(60_000)
  expect([buffers.spareBytes, clock.pending]).toEqual([0, 0])
  expect(buffers.take(512 * KiB).bytes.length).toBe(512 * KiB)
})
