import { expect, test } from 'bun:test'
import { settle } from '../../test/fakes/clock.ts'
import { Failure } from '../failure.ts'
import { PieceWaiters } from './waiters.ts'

const never = new AbortController().signal

/** What became of a promise so far. */
function watch(promise: Promise<void>): { state: string } {
  const watched = { state: 'waits' }
  promise.then(
    () => {
      watched.state = 'done'
    },
    (error) => {
      watched.state = Failure.from(error).code
    },
  )
  return watched
}

test('all who wait for a piece go on when it is stored, and nobody else', async () => {
  const waiters = new PieceWaiters()
  const [first, second, other] = [1, 1, 2].map((piece) => watch(waiters.wait(piece, never)))
  waiters.stored(1)
  waiters.stored(7)
  await settle()
  expect([first!.state, second!.state, other!.state]).toEqual(['done', 'done', 'waits'])
})

test('who goes away is cancelled, and the others wait on', async () => {
  const waiters = new PieceWaiters()
  const leaver = new AbortController()
  const gone = watch(waiters.wait(1, leaver.signal))
  const stays = watch(waiters.wait(1, never))
  leaver.abort()
  await settle()
  expect([gone.state, stays.state]).toEqual(['cancelled', 'waits'])
  waiters.stored(1)
  await settle()
  expect([gone.state, stays.state]).toEqual(['cancelled', 'done'])
})

test('who had gone before is not made to wait', async () => {
  const gone = watch(new PieceWaiters().wait(1, AbortSignal.abort()))
  await settle()
  expect(gone.state).toBe('cancelled')
})

test('when the end is known, all who wait and all who come later hear why', async () => {
  const waiters = new PieceWaiters()
  const early = [watch(waiters.wait(1, never)), watch(waiters.wait(2, never))]
  waiters.fail(new Failure('denied', 'the source refused'))
  const late = watch(waiters.wait(3, never))
  await settle()
  expect([...early, late].map(({ state }) => state)).toEqual(['denied', 'denied', 'denied'])
})

test('a piece that comes after somebody left changes nothing for them', async () => {
  const waiters = new PieceWaiters()
  const leaver = new AbortController()
  const done = watch(waiters.wait(1, leaver.signal))
  waiters.stored(1)
  leaver.abort()
  await settle()
  expect(done.state).toBe('done')
})
