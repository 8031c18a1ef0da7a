import { expect, test } from 'bun:test'
import { redraw } from './screen.ts'

/** What a terminal shows of it: the rest of each line is cleared, and all below. */
function seen(drawn: string): string[] {
  expect(drawn.startsWith('\u001b[H')).toBe(true)
  expect(drawn.endsWith('\u001b[K\u001b[J')).toBe(true)
  return drawn.slice(3, -6).split('\u001b[K\r\n')
}

test('what fits is drawn as it is', () => {
  expect(seen(redraw('Node\n  ready', { columns: 20, rows: 2 }))).toEqual(['Node', '  ready'])
})

test('a line that is wider than the window is cut, and never as wide as it: terminals would begin another', () => {
  const lines = seen(redraw(`${'a'.repeat(30)}\n${'b'.repeat(20)}\n${'c'.repeat(19)}`, { columns: 20, rows: 5 }))
  expect(lines).toEqual([`${'a'.repeat(18)}>`, `${'b'.repeat(18)}>`, 'c'.repeat(19)])
})

test('a terminal that does not know its size is taken for the usual one', () => {
  const lines = seen(redraw(`${'a'.repeat(100)}\n${'line\n'.repeat(30)}`, { columns: 0, rows: 0 }))
  expect([lines.length, lines[0]]).toEqual([24, `${'a'.repeat(78)}>`])
})

test('what has more lines than the window ends with how many are missing', () => {
  const lines = seen(redraw('1\n2\n3\n4\n5', { columns: 80, rows: 3 }))
  expect(lines).toEqual(['1', '2', '... 3 more lines: make the window larger'])
})
