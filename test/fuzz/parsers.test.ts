import { describe, expect, test } from 'bun:test'
import { isRefusal, parsers } from './parsers.ts'
import { fuzz } from './run.ts'

describe('whatever comes in place of it is answered or refused, never worse', () => {
  test.each(parsers.map((parser) => [parser.name, parser] as const))('%s', (_, parser) => {
    // What is right is taken, or the mutations would only ever try the first check.
    for (const input of parser.corpus) expect(() => parser.read(input)).not.toThrow()
    fuzz(parser, 500, 7)
  })
})

test('a reader that throws what it should not is found', () => {
  const broken = {
    name: 'a broken reader',
    corpus: ['abc'],
    read: (input: string) => {
      if (input.length > 10) throw new TypeError('undefined is not a function')
    },
  }
  expect(() => fuzz(broken, 500, 7)).toThrow('a broken reader ended in TypeError')
  expect(isRefusal(new TypeError('x'))).toBe(false)
})
