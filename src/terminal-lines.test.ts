import { expect, test } from 'bun:test'
import { cut } from './terminal-lines.ts'

test.each([
  ['a'.repeat(19), 20, 'a'.repeat(19)],
  ['a'.repeat(20), 20, `${'a'.repeat(18)}>`],
  ['日'.repeat(20), 20, `${'日'.repeat(9)}>`],
  ['a'.repeat(100), 0, `${'a'.repeat(78)}>`],
  ['a'.repeat(100), undefined, `${'a'.repeat(78)}>`],
  ['abc', 1, '>'],
  ['a\u001b[2Jb', 20, 'a\\u001b[2Jb'],
])('%s in %p columns', (line, columns, shown) => {
  expect(cut(line, columns)).toBe(shown)
})
