import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Failure } from '../failure.ts'
import { contentRange, mostRanges, parseRanges, resolveRanges, unsatisfiedRange } from './range.ts'

/** `start-end` pairs, end exclusive; or the kind when there are none. */
function ranges(header: string, size: number): string {
  const resolution = resolveRanges(parseRanges(header), size)
  if (resolution.kind !== 'ranges') return resolution.kind
  return resolution.ranges.map((range) => `${range.start}-${range.end}`).join(' ')
}

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    return Failure.from(error).code
  }
  return 'none'
}

describe('one range', () => {
  test.each([
    ['bytes=0-0', '0-1'],
    ['bytes=0-99', '0-100'],
    ['bytes=10-19', '10-20'],
    ['bytes=90-', '90-100'],
    ['bytes=-10', '90-100'],
    ['bytes=-100', '0-100'],
    ['Bytes=1-2', '1-3'],
    ['bytes= 1-2 ', '1-3'],
    ['bytes=,1-2,,', '1-3'],
  ])('%s of 100 bytes is %s', (header, expected) => {
    expect(ranges(header, 100)).toBe(expected)
  })

  test('an end past the content is cut to it', () => {
    expect(ranges('bytes=90-1000', 100)).toBe('90-100')
  })

  test('a suffix longer than the content is the whole content', () => {
    expect(ranges('bytes=-1000', 100)).toBe('0-100')
  })

  test('positions that no number holds are past the end, not somewhere inside', () => {
    const huge = '9'.repeat(400)
    expect(ranges(`bytes=5-${huge}`, 100)).toBe('5-100')
    expect(ranges(`bytes=${huge}-`, 100)).toBe('unsatisfiable')
    expect(ranges(`bytes=-${huge}`, 100)).toBe('0-100')
    expect(ranges('bytes=9007199254740993-9007199254740993', 100)).toBe('unsatisfiable')
  })

  test.each(['bytes=100-', 'bytes=100-200', 'bytes=-0'])('%s lies outside 100 bytes', (header) => {
    expect(ranges(header, 100)).toBe('unsatisfiable')
  })

  test('nothing of an empty blob can be asked for by position, its end is all of it', () => {
    expect(ranges('bytes=0-', 0)).toBe('unsatisfiable')
    expect(ranges('bytes=-0', 0)).toBe('unsatisfiable')
    expect(ranges('bytes=-5', 0)).toBe('whole')
  })
})

describe('a header that is to be ignored', () => {
  test.each([
    '',
    'bytes',
    'bytes=',
    'bytes=,',
    'bytes=-',
    'bytes=a-b',
    'bytes=1',
    'bytes=5-3',
    'bytes=0-1,5-3',
    'bytes=--5',
    'bytes=1--5',
    'bytes=0x1-2',
    'bytes=1.5-2',
    'bytes=1 - 2',
    'bytes=+1-2',
    'bytes =0-1',
    'pieces=0-1',
    'bytes=0-1;2-3',
    'bytes=٣-٤',
  ])('"%s" means the whole blob', (header) => {
    expect(parseRanges(header)).toBeUndefined()
  })

  test('no header means the whole blob', () => {
    expect(resolveRanges(parseRanges(undefined), 100)).toEqual({ kind: 'whole' })
  })
})

describe('several ranges', () => {
  test('keep the order they were asked for in, without those outside', () => {
    expect(ranges('bytes=50-59, 0-9,200-300,-1', 100)).toBe('50-60 0-10 99-100')
  })

  test('may touch, and overlap while they are not longer than the content together', () => {
    expect(ranges('bytes=0-9,10-19,15-24', 100)).toBe('0-10 10-20 15-25')
  })

  test('that overlap to make work are refused', () => {
    expect(codeOf(() => ranges('bytes=0-,0-', 100))).toBe('bad-request')
  })

  test('are limited in number', () => {
    const many = (n: number) => `bytes=${Array.from({ length: n }, (_, i) => `${i}-${i}`).join(',')}`
    expect(parseRanges(many(mostRanges))).toHaveLength(mostRanges)
    expect(codeOf(() => parseRanges(many(mostRanges + 1)))).toBe('bad-request')
  })
})

test('Content-Range counts inclusively and knows the total', () => {
  const resolution = resolveRanges(parseRanges('bytes=5-9'), 100)
  expect(resolution.kind === 'ranges' && contentRange(resolution.ranges[0]!, 100)).toBe('bytes 5-9/100')
  expect(unsatisfiedRange(100)).toBe('bytes */100')
})

test('every well-formed range means exactly the bytes that the rule says, one by one', () => {
  const position = fc.nat({ max: 40 })
  const spec = fc.oneof(
    fc.tuple(position, position).map(([a, b]) => ({ from: Math.min(a, b), to: Math.max(a, b) })),
    position.map((from) => ({ from })),
    position.map((last) => ({ last })),
  )
  fc.assert(
    fc.property(spec, fc.integer({ min: 1, max: 30 }), (spec, size) => {
      const text = 'last' in spec ? `-${spec.last}` : `${spec.from}-${'to' in spec ? spec.to : ''}`
      const meant = Array.from({ length: size }, (_, i) => i).filter((i) => {
        if ('last' in spec) return i >= size - spec.last
        return i >= spec.from && i <= ('to' in spec ? spec.to : size)
      })
      const expected = meant.length === 0 ? 'unsatisfiable' : `${meant[0]}-${meant.at(-1)! + 1}`
      expect(ranges(`bytes=${text}`, size)).toBe(expected)
    }),
  )
})

test('no header makes a range that is empty, outside the content, or more work than the content', () => {
  const piece = fc.oneof(
    fc.string({ maxLength: 8 }),
    fc.constantFrom('-', ',', '0', '9', '99999999999999999', ' ', '5-', '-3'),
  )
  const header = fc.array(piece, { maxLength: 12 }).map((pieces) => `bytes=${pieces.join('')}`)
  fc.assert(
    fc.property(header, fc.nat({ max: 1000 }), (header, size) => {
      try {
        const resolution = resolveRanges(parseRanges(header), size)
        if (resolution.kind !== 'ranges') return
        expect(resolution.ranges.length).toBeGreaterThan(0)
        let sum = 0
        for (const { start, end } of resolution.ranges) {
          expect(Number.isSafeInteger(start) && Number.isSafeInteger(end)).toBe(true)
          expect(start >= 0 && start < end && end <= size).toBe(true)
          sum += end - start
        }
        expect(sum).toBeLessThanOrEqual(size)
      } catch (error) {
        if (!(error instanceof Failure)) throw error
        expect(error.code).toBe('bad-request')
      }
    }),
    { numRuns: 500 },
  )
})
