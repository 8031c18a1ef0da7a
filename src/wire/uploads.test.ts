import { beforeEach, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { Uploads } from './uploads.ts'

/** The runtime's count of requests that are not over. */
let pending: number
let clock: FakeClock
let uploads: Uploads
let over: string[]
beforeEach(() => {
  pending = 0
  over = []
  clock = new FakeClock()
  uploads = new Uploads(() => pending, clock)
})

function send(name: string, connection: string, controller = new AbortController()): AbortController {
  pending++
  const leave = uploads.enter(connection)
  uploads.begin(connection, controller.signal, leave, (sent) => over.push(`${name} ${sent}`))
  leave()
  return controller
}

test('an upload is over when the runtime counts no request for it any more', () => {
  send('a', 'c1')
  send('b', 'c2')
  uploads.settle()
  expect(over).toEqual([])
  pending--
  uploads.settle()
  expect(over).toEqual(['a true'])
  pending--
  clock.advance(100)
  expect(over).toEqual(['a true', 'b true'])
  expect([uploads.running, clock.pending]).toEqual([0, 0])
})

test('an upload is over when its connection brings the next request', () => {
  send('a', 'c1')
  send('b', 'c2')
  const leave = uploads.enter('c2')
  expect(over).toEqual(['b true'])
  leave()
})

test('an upload whose connection broke is over, and was not sent', () => {
  const controller = send('a', 'c1')
  controller.abort()
  uploads.close()
  expect(over).toEqual(['a false'])
})

test('an asker that is gone before the answer gets none', () => {
  const controller = new AbortController()
  controller.abort()
  send('a', 'c1', controller)
  expect([over, uploads.running]).toEqual([['a false'], 0])
})

test('requests in a handler are not taken for uploads that still run', () => {
  send('a', 'c1')
  pending++
  const leave = uploads.enter('c9')
  pending--
  uploads.settle()
  expect(over).toEqual(['a true'])
  leave()
})
