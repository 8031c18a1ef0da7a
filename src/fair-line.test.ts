import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { FairLine } from './fair-line.ts'

interface Item {
  readonly of: string
  readonly cost: number
}

const costOf = ({ cost }: Item) => cost

/** Serves `count` items and tells whose they were. */
function serve(line: FairLine<Item>, count: number): string[] {
  return Array.from({ length: count }, () => line.next(costOf)?.of ?? 'nobody')
}

/** So many items of one flow. */
function fill(line: FairLine<Item>, path: readonly string[], count: number, cost = 1): void {
  for (let i = 0; i < count; i++) line.add({ of: path.at(-1)!, cost }, path)
}

function share(served: readonly string[], of: string): number {
  return served.filter((name) => name === of).length / served.length
}

describe('a fair line', () => {
  test('serves flows by turns, however long the line of each is', () => {
    const line = new FairLine<Item>()
    fill(line, ['huge'], 100)
    fill(line, ['small'], 3)
    expect(serve(line, 6).sort()).toEqual(['huge', 'huge', 'huge', 'small', 'small', 'small'])
    expect(line.size).toBe(97)
  })

  test('counts what was served and not how often', () => {
    const line = new FairLine<Item>()
    fill(line, ['heavy'], 100, 10)
    fill(line, ['light'], 100, 1)
    expect(share(serve(line, 88), 'light')).toBeCloseTo(80 / 88, 1)
  })

  test('serves who comes anew before the next of who has been served all along', () => {
    const line = new FairLine<Item>()
    fill(line, ['huge'], 100, 100)
    serve(line, 50)
    for (let i = 0; i < 20; i++) line.add({ of: 'small', cost: 1 }, [`small ${i}`])
    expect(serve(line, 20)).toEqual(Array.from({ length: 20 }, () => 'small'))
  })

  test('gives nobody turns for the time in which it did not wait', () => {
    const line = new FairLine<Item>()
    fill(line, ['early'], 1)
    fill(line, ['busy'], 1000)
    serve(line, 500)
    fill(line, ['early'], 400)
    expect(share(serve(line, 100), 'early')).toBeCloseTo(0.5, 1)
  })

  test('does not let an endless row of newcomers, one after the other, keep the others waiting', () => {
    const line = new FairLine<Item>()
    fill(line, ['huge'], 1000)
    const served: string[] = []
    for (let i = 0; i < 400; i++) {
      if (served.at(-1) !== 'huge') line.add({ of: 'new', cost: 1 }, [`new ${i}`])
      served.push(...serve(line, 1))
    }
    expect(share(served, 'huge')).toBeGreaterThan(0.3)
  })

  test('serves one flow in the order in which its items came', () => {
    const line = new FairLine<Item>()
    for (let cost = 1; cost <= 4; cost++) line.add({ of: String(cost), cost }, ['one'])
    expect(serve(line, 5)).toEqual(['1', '2', '3', '4', 'nobody'])
  })

  test('gives flows at the top their shares, and each has some', () => {
    const line = new FairLine<Item>({ first: 15, last: 1 })
    fill(line, ['first', 'a'], 1000)
    fill(line, ['last', 'z'], 1000)
    expect(share(serve(line, 320), 'z')).toBeCloseTo(1 / 16, 2)
  })

  test('shares out between the flows of a flow what that one gets', () => {
    const line = new FairLine<Item>()
    fill(line, ['ann', 'ann 1'], 1000)
    for (let i = 0; i < 5; i++) fill(line, ['bob', `bob ${i}`], 1000)
    const served = serve(line, 400)
    expect(share(served, 'ann 1')).toBeCloseTo(0.5, 1)
    for (let i = 0; i < 5; i++) expect(share(served, `bob ${i}`)).toBeCloseTo(0.1, 1)
  })

  test('passes over what cannot be served now, which gets one turn for that later and not all it has missed', () => {
    const line = new FairLine<Item>()
    fill(line, ['blocked'], 100)
    fill(line, ['open'], 1000)
    for (let i = 0; i < 300; i++) {
      expect(line.next(({ of, cost }) => (of === 'blocked' ? undefined : cost))?.of).toBe('open')
    }
    const served = serve(line, 100)
    expect(served[0]).toBe('blocked')
    expect(share(served, 'blocked')).toBeCloseTo(0.5, 1)
  })

  test('passes over the first of a flow where a later one can be served', () => {
    const line = new FairLine<Item>()
    line.add({ of: 'big', cost: 9 }, ['ann'])
    line.add({ of: 'small', cost: 1 }, ['ann'])
    expect(line.next(({ cost }) => (cost > 5 ? undefined : cost))?.of).toBe('small')
    expect(line.size).toBe(1)
  })

  test('forgets who withdraws, once, and names who waits in the order in which they came', () => {
    const line = new FairLine<Item>()
    const items = ['a', 'b', 'c'].map((of) => ({ of, cost: 1 }))
    for (const item of items) line.add(item, [item.of])
    expect(line.withdraw(items[1]!)).toBe(true)
    expect(line.withdraw(items[1]!)).toBe(false)
    expect([...line.waiting()].map(({ of }) => of)).toEqual(['a', 'c'])
    expect(serve(line, 3)).toEqual(['a', 'c', 'nobody'])
  })
})

test('whatever the flows and costs, each is served within one item of its share while all wait', () => {
  const flows = fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 2, maxLength: 6 })
  fc.assert(
    fc.property(flows, fc.integer({ min: 1, max: 300 }), (costs, turns) => {
      const line = new FairLine<Item>()
      for (const [i, cost] of costs.entries()) fill(line, [String(i)], 400, cost)
      const got = costs.map(() => 0)
      for (let i = 0; i < turns; i++) {
        const { of, cost } = line.next(costOf)!
        got[Number(of)]! += cost
      }
      expect(Math.max(...got) - Math.min(...got)).toBeLessThanOrEqual(2 * Math.max(...costs))
    }),
  )
})

test('tells in how many flows of a share somebody waits', () => {
  const line = new FairLine<Item>()
  fill(line, ['a', 'ann'], 3)
  fill(line, ['a', 'bob'], 1)
  fill(line, ['b', 'cat'], 1)
  expect(['a', 'b', 'c'].map((top) => line.flowsIn(top))).toEqual([2, 1, 0])
  while (line.next(costOf));
  expect(line.flowsIn('a')).toBe(0)
})

test('who comes and goes leaves nothing behind', () => {
  const line = new FairLine<Item>()
  fill(line, ['huge'], 20_000)
  const before = process.memoryUsage().heapUsed
  for (let i = 0; i < 50_000; i++) {
    line.add({ of: 'x', cost: 1 }, [`flow ${i} ${'x'.repeat(200)}`])
    serve(line, 1)
    if (i % 3 === 0) fill(line, ['huge'], 1)
  }
  while (line.size > 0) serve(line, 1)
  Bun.gc(true)
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(20 * 1024 * 1024)
})
