import { expect, test } from 'bun:test'
import { Bitmap } from '../piece/bitmap.ts'
import { Parent } from './parent.ts'
import { Requests } from './requests.ts'

const parentOf = (id: string) => new Parent(id, new Bitmap(4), 1, 0)
const counts = ({ size, open, openAimed, started }: Requests) => ({ size, open, openAimed, started })

test('what a request is counts once, whatever is said of it how often, until it is over', () => {
  const requests = new Requests()
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
  const requests = new Requests()
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
