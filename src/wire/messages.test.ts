import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { frameSchema, parse, parseFrame } from './messages.ts'

const digest = `sha256:${'0a'.repeat(32)}`

/** Nearly right: what is wrong with one is wrong in one place. */
const frame = fc.record(
  {
    t: fc.constantFrom('have', 'got', 'want', 'unwant', 'gone', 'hello', 'toString', 1),
    digest: fc.oneof(fc.constant(digest), fc.constantFrom('sha256:00', '', null, 7)),
    piece: fc.oneof(fc.nat(), fc.constantFrom(-1, 0.5, 0xff_ffff, 0x100_0000, '1', null)),
    pieces: fc.oneof(
      fc.array(fc.oneof(fc.nat(0x100_0001), fc.constantFrom(-1, 0.5, '1', null)), { maxLength: 5 }),
      fc.constantFrom(null, {}, '12', Array(8193).fill(1), Array(8192).fill(1)),
    ),
    extra: fc.anything(),
  },
  { requiredKeys: [] },
)

function outcome(read: () => unknown): string {
  try {
    return JSON.stringify(read())
  } catch (error) {
    return (error as Error).message
  }
}

test('a frame read the quick way is what the schema makes of it, and is refused with the same words', () => {
  fc.assert(
    fc.property(frame, (value) => {
      const text = JSON.stringify(value)
      expect(outcome(() => parseFrame(text))).toBe(outcome(() => parse(frameSchema, JSON.parse(text))))
    }),
    { numRuns: 3000, seed: 20 },
  )
})
