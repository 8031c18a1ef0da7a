import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { TicketWindow, windowBits } from './ticket-window.ts'

test('each number is taken once, in whatever order they come, as long as none is far behind', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 3 * windowBits }), { maxLength: 400 }), (numbers) => {
      const window = new TicketWindow()
      const seen = new Set<number>()
      let highest = 0
      for (const number of numbers) {
        const fresh = !seen.has(number) && number > highest - windowBits
        expect(window.take(number)).toBe(fresh)
        if (fresh) seen.add(number)
        highest = Math.max(highest, number)
      }
    }),
  )
})

test('a number that is too far behind to tell is not taken', () => {
  const window = new TicketWindow()
  expect(window.take(windowBits + 1)).toBe(true)
  expect(window.take(1)).toBe(false)
  expect(window.take(2)).toBe(true)
})

test('a leap of any size forgets nothing that is still near', () => {
  const window = new TicketWindow()
  window.take(5)
  expect(window.take(Number.MAX_SAFE_INTEGER - 1)).toBe(true)
  expect(window.take(Number.MAX_SAFE_INTEGER - 1)).toBe(false)
  expect(window.take(Number.MAX_SAFE_INTEGER)).toBe(true)
})
