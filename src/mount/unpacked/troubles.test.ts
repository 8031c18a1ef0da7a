import { expect, test } from 'bun:test'
import { Troubles } from './troubles.ts'

test('the last few things that were wrong are told, the newest first and each once', () => {
  const troubles = new Troubles()
  for (const sentence of ['a', 'b', 'a', 'c', 'd', 'e', 'f']) troubles.tell(sentence)
  expect(troubles.all).toEqual(['f', 'e', 'd', 'c', 'a'])
})
