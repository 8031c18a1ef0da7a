import { expect, test } from 'bun:test'
import { Turns } from './turns.ts'

test('one thing at a time for a key, also after one that failed; keys do not wait for each other', async () => {
  const turns = new Turns()
  const seen: string[] = []
  const gate = Promise.withResolvers<void>()
  const first = turns.alone('a', async () => {
    await gate.promise
    seen.push('a1')
    throw new Error('lost')
  })
  const second = turns.alone('a', async () => void seen.push('a2'))
  await turns.alone('b', async () => void seen.push('b1'))
  expect(seen).toEqual(['b1'])
  gate.resolve()
  expect(first).rejects.toThrow('lost')
  await second
  expect(seen).toEqual(['b1', 'a1', 'a2'])
})
