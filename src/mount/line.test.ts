import { expect, test } from 'bun:test'
import { Lines } from './line.ts'

test('one thing at a time for a key, also after one that failed; keys do not wait for each other', async () => {
  const lines = new Lines<string>()
  const seen: string[] = []
  const gate = Promise.withResolvers<void>()
  const first = lines.run('a', async () => {
    await gate.promise
    seen.push('a1')
    throw new Error('lost')
  })
  const second = lines.run('a', async () => void seen.push('a2'))
  await lines.run('b', async () => void seen.push('b1'))
  expect(seen).toEqual(['b1'])
  gate.resolve()
  expect(first).rejects.toThrow('lost')
  await second
  expect(seen).toEqual(['b1', 'a1', 'a2'])
})
