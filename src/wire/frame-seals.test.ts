import { expect, test } from 'bun:test'
import { FrameSeals } from './frame-seals.ts'

const secret = new Uint8Array(32).fill(5)
const pair = () => [new FrameSeals(secret, true), new FrameSeals(secret, false)] as const

test('frames go both ways, in order', () => {
  const [a, b] = pair()
  expect(['one', '', 'zwölf'].map((text) => b.take(a.put(text)))).toEqual(['one', '', 'zwölf'])
  expect(a.take(b.put('back'))).toBe('back')
})

test('a frame that was changed, repeated, left out, sent back or made without the secret is none', () => {
  const [a, b] = pair()
  const [first, second] = [a.put('one'), a.put('two')]
  const stranger = new FrameSeals(new Uint8Array(32), true)
  const taken = (sealed: string) => new FrameSeals(secret, false).take(sealed)
  expect([first.replace('one', 'two'), second, stranger.put('one'), 'one', ''].map(taken)).toEqual(
    Array(5).fill(undefined),
  )
  expect(a.take(first)).toBeUndefined()
  expect(b.take(first)).toBe('one')
  expect(b.take(first)).toBeUndefined()
})
