import { expect, test } from 'bun:test'
import { Bitmap } from '../../piece/bitmap.ts'
import { layoutOf } from '../../piece/layout.ts'
import { Link } from './link.ts'
import { Parent } from './parent.ts'
import { Requests } from './requests.ts'

const parentOf = (id: string) => new Parent(id, new Bitmap(4), 1, 0)
const counts = ({ size, open, openAimed, started }: Requests) => ({ size, open, openAimed, started })
const ids = (requests: Requests) => [...requests.values()].map(({ id }) => id)

test('what a request is counts once, whatever is said of it how often, until it is over', () => {
  const requests = new Requests(layoutOf(100), new Link(0))
  const ann = parentOf('ann')
  const plain = requests.send(ann, 0)
  const aimed = requests.send(ann, 1, { unwanted: new Bitmap(4), aimed: true })
  expect(counts(requests)).toEqual({ size: 2, open: 2, openAimed: 1, started: 0 })
  expect([requests.bind(aimed, 3), requests.bind(aimed, 2), aimed.piece]).toEqual([true, false, 3])
  for (const _ of [1, 2]) requests.start(aimed)
  expect(counts(requests)).toEqual({ size: 2, open: 1, openAimed: 0, started: 1 })
  requests.end(aimed, ann)
  expect(counts(requests)).toEqual({ size: 1, open: 1, openAimed: 0, started: 0 })
  requests.end(plain, ann)
  expect(counts(requests)).toEqual({ size: 0, open: 0, openAimed: 0, started: 0 })
})

test('requests are gone through in the order in which they were sent, and are their parents’ as well', () => {
  const requests = new Requests(layoutOf(100), new Link(0))
  const [ann, bob] = [parentOf('ann'), parentOf('bob')]
  const [first, second, third] = [ann, bob, ann].map((parent) => requests.send(parent, 5))
  expect([...requests.values()]).toEqual([first!, second!, third!])
  expect([...ann.requests.values()]).toEqual([first!, third!])
  expect(requests.get(second!.id)).toBe(second!)
  requests.end(first!, ann)
  // Its parent has left.
  requests.end(second!, undefined)
  expect([[...requests.values()], [...ann.requests.values()]]).toEqual([[third!], [third!]])
})

test('what a limit keeps back was not sent, and is sent when that lets it go: after those that did not wait', () => {
  const requests = new Requests(layoutOf(100), new Link(0))
  const ann = parentOf('ann')
  const [first, second, third] = [1, 2, 3].map((now) => requests.send(ann, now))
  for (const request of [first!, first!, second!]) requests.queue(request)
  expect([requests.queued, requests.oldest]).toEqual([2, third!])
  for (const _ of [1, 2]) requests.sent(first!, 9)
  expect([requests.queued, first!.sentAt, requests.oldest, ids(requests)]).toEqual([1, 9, third!, [2, 3, 1]])
  requests.end(second!, ann)
  requests.end(third!, ann)
  expect([requests.queued, requests.oldest]).toEqual([0, first!])
})
