import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { aheadShare, firstAhead, mostAhead, ReadAhead, type Stretch } from './read-ahead.ts'

const MiB = 1024 * 1024
const chunk = 256 * 1024
const request = 128 * 1024
const size = 512 * MiB

const table = {
  size,
  count: size / chunk,
  after: (at: number) => Math.floor(at / chunk),
  end: (of: number) => (of + 1) * chunk,
}

/** What comes for a read is its chunks. */
const reach = (_: number, end: number) => Math.min(size, Math.ceil(end / chunk) * chunk)
const readAhead = () => new ReadAhead(table, reach)

const lengthOf = (stretch: Stretch | undefined) => (stretch ? stretch.to - stretch.from : 0)

/** Somebody who reads on is heard of where something is missing, and at markers. */
function readOn(ahead: ReadAhead, from: number, to: number): Stretch[] {
  const stretches: Stretch[] = []
  let here = from
  for (let at = from; at < to; at += request) {
    const reached = ahead.reached(at, at + request)
    const missing = at + request > here ? ahead.read(at, at + request) : undefined
    if (at + request > here) here = reach(at, at + request)
    for (const stretch of [reached, missing]) {
      if (!stretch) continue
      stretches.push(stretch)
      here = Math.max(here, reach(stretch.from, stretch.to))
    }
  }
  return stretches
}

describe('ReadAhead', () => {
  test('fetches nothing ahead for reads here and there', () => {
    const ahead = readAhead()
    for (const start of [0, 50 * MiB, 3 * MiB, 90 * MiB]) expect(ahead.read(start, start + 4096)).toBeUndefined()
  })

  test('fetches more and more for who reads on, up to a limit, in few stretches', () => {
    const lengths = readOn(readAhead(), 0, 64 * MiB).map(lengthOf)
    expect(lengths[0]).toBeLessThanOrEqual(firstAhead)
    expect(Math.max(...lengths)).toBeWithin(mostAhead / 2, mostAhead + 1)
    expect(lengths.length).toBeLessThan(30)
  })

  test('never lets one who reads on come to where nothing is fetched', () => {
    const stretches = readOn(readAhead(), 0, 64 * MiB)
    for (const [i, { from }] of stretches.entries()) if (i > 0) expect(from).toBe(reach(0, stretches[i - 1]!.to))
  })

  test('fetches no more than a share of what was read, and a constant', () => {
    fc.assert(
      fc.property(fc.nat(300), fc.integer({ min: 1, max: 400 }), (start, requests) => {
        const from = start * MiB
        const to = from + requests * request
        const end = readOn(readAhead(), from, to).at(-1)?.to ?? to
        expect(end - to).toBeLessThanOrEqual(Math.max(firstAhead, (to - from) * aheadShare))
      }),
    )
  })

  test('asks for no more when the same is asked for again and again, and parts of it in no order', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(11), { minLength: 1, maxLength: 60 }), (parts) => {
        const ahead = readAhead()
        // Of a megabyte and a half, while nothing of it has come.
        const fetched = parts.map((part) => ahead.read(part * request, (part + 1) * request)?.to ?? 0)
        expect(Math.max(...fetched)).toBeLessThanOrEqual(12 * request + firstAhead + 12 * request * aheadShare)
      }),
    )
  })

  test('tells readers apart', () => {
    const ahead = readAhead()
    const bases = [0, 400 * MiB]
    const stretches = Array.from({ length: 4 }, (_, i) =>
      bases.map((base) => ahead.read(base + i * MiB, base + (i + 1) * MiB)),
    )
    for (const [i, pair] of stretches.entries()) {
      if (i === 0) expect(pair).toEqual([undefined, undefined])
      else for (const [j, stretch] of pair.entries()) expect(stretch!.from - bases[j]!).toBeWithin(i * MiB, 5 * MiB)
    }
  })

  test('takes no read of what was read before for reading on', () => {
    const ahead = readAhead()
    ahead.read(0, MiB)
    expect(ahead.read(0, 4096)).toBeUndefined()
  })

  test('forgets who read long ago, and where that one was to be heard of', () => {
    const ahead = readAhead()
    ahead.read(0, chunk)
    const { marker } = ahead.read(chunk, 2 * chunk)!
    const others = Array.from({ length: 40 }, (_, i) => ahead.read((i + 1) * 10 * MiB, (i + 1) * 10 * MiB + 4096))
    expect(others.filter((stretch) => stretch !== undefined)).toEqual([
      { from: expect.any(Number), to: expect.any(Number), marker: undefined, passed: marker },
    ])
    expect(ahead.reached(marker! * chunk, marker! * chunk + 4096)).toBeUndefined()
    expect(ahead.read(2 * chunk, 3 * chunk)).toBeUndefined()
  })
})
