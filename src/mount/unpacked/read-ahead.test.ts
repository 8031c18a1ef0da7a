import { describe, expect, test } from 'bun:test'
import { firstAhead, mostAhead, ReadAhead } from './read-ahead.ts'

const MiB = 1024 * 1024

describe('ReadAhead', () => {
  test('fetches nothing ahead for reads here and there', () => {
    const readAhead = new ReadAhead()
    for (const start of [0, 50 * MiB, 3 * MiB, 90 * MiB]) {
      expect(readAhead.read(start, start + 4096).ahead).toBe(0)
    }
  })

  test('fetches more and more for who reads on, up to a limit', () => {
    const readAhead = new ReadAhead()
    let at = 0
    const aheads = Array.from({ length: 8 }, () => {
      const reader = readAhead.read(at, at + 131_072)
      reader.until = at + 131_072 + reader.ahead
      at = reader.until
      return reader.ahead
    })
    expect(aheads.slice(0, 3)).toEqual([0, firstAhead, firstAhead * 2])
    expect(aheads.at(-1)).toBe(mostAhead)
  })

  test('tells readers apart', () => {
    const readAhead = new ReadAhead()
    for (let i = 0; i < 4; i++) {
      for (const base of [0, 400 * MiB]) {
        const start = base + i * MiB
        const reader = readAhead.read(start, start + MiB)
        reader.until = start + MiB
        expect(reader.ahead > 0).toBe(i > 0)
      }
    }
  })

  test('takes no read of what was read before for reading on', () => {
    const readAhead = new ReadAhead()
    readAhead.read(0, MiB)
    expect(readAhead.read(0, 4096).ahead).toBe(0)
  })

  test('forgets who read long ago', () => {
    const readAhead = new ReadAhead()
    readAhead.read(0, 4096)
    for (let i = 1; i < 40; i++) readAhead.read(i * 10 * MiB, i * 10 * MiB + 4096)
    expect(readAhead.read(4096, 8192).ahead).toBe(0)
  })
})
