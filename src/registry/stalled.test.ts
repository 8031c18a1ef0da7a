import { expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { type Outgoing, Stalled } from './stalled.ts'

class FakeResponse implements Outgoing {
  writableLength = 0
  socket = { bytesWritten: 0 }
  closed = () => {}
  once(_: 'close', listener: () => void) {
    this.closed = listener
  }
}

function setUp() {
  const clock = new FakeClock()
  const found: FakeResponse[] = []
  const stalled = new Stalled<FakeResponse>(clock, 60_000, (response) => found.push(response))
  const open = (left: number) => {
    const response = new FakeResponse()
    response.writableLength = left
    response.socket.bytesWritten = left
    stalled.watch(response)
    return response
  }
  return { clock, found, stalled, open }
}

test('a response of which nothing goes is found after the time, and soon after it', () => {
  const { clock, found, open } = setUp()
  const response = open(1000)
  clock.advance(60_000)
  expect(found).toEqual([])
  clock.advance(8_000)
  expect(found).toEqual([response])
  clock.advance(600_000)
  expect(found).toHaveLength(1)
})

test('one that goes slowly is not, however long it takes', () => {
  const { clock, found, open } = setUp()
  const response = open(1000)
  for (let i = 0; i < 20; i++) {
    clock.advance(50_000)
    response.writableLength -= 10
  }
  expect(found).toEqual([])
})

test('one of which as much is left as before is not, when as much came as went', () => {
  const { clock, found, open } = setUp()
  const response = open(1000)
  for (let i = 0; i < 20; i++) {
    clock.advance(50_000)
    response.socket.bytesWritten += 10
  }
  expect(found).toEqual([])
  clock.advance(70_000)
  expect(found).toEqual([response])
})

test('one that gets nothing new, and of which nothing goes, is found whatever the connection wrote before', () => {
  const { clock, found, open } = setUp()
  const response = open(1000)
  response.socket.bytesWritten += 1_000_000
  clock.advance(70_000)
  expect(found).toEqual([response])
})

test('one that waits for content has nothing that its client could take', () => {
  const { clock, found, open } = setUp()
  const response = open(0)
  clock.advance(600_000)
  expect(found).toEqual([])
  response.writableLength = 5
  response.socket.bytesWritten = 5
  clock.advance(70_000)
  expect(found).toEqual([response])
})

test('with no response open there is no timer', () => {
  const { clock, found, stalled, open } = setUp()
  open(1000).closed()
  clock.advance(10_000)
  expect(clock.pending).toBe(0)
  open(1000)
  expect(clock.pending).toBe(1)
  stalled.close()
  clock.advance(600_000)
  expect([clock.pending, found.length]).toEqual([0, 0])
})
