import { describe, expect, test } from 'bun:test'
import { Demand } from './demand.ts'

describe('readers', () => {
  test('read in order until they aim at a part, and are told of by the piece they wait for', () => {
    const demand = new Demand(0)
    const [ann, bob] = [demand.reader(), demand.reader()]
    expect(demand.at(ann, 3)).toEqual([{ type: 'reader-at', reader: ann, piece: 3 }])
    demand.aim(ann, [[3, 5]], {})
    expect(demand.readInOrder).toBe(true)
    demand.left(bob, 0)
    expect([demand.readInOrder, demand.readers]).toEqual([false, 1])
    expect(demand.at(ann, 4)).toEqual([{ type: 'reader-at', reader: ann, piece: 4 }])
  })

  test('aim at what they wait for, until they leave', () => {
    const demand = new Demand(0)
    const ann = demand.reader()
    expect(demand.aim(ann, [[3, 5]], {})).toEqual([{ type: 'aimed', who: 'reader 1', runs: [[3, 5]], ahead: [] }])
    expect(demand.left(ann, 0)).toEqual([
      { type: 'reader-left', reader: ann },
      { type: 'aimed', who: 'reader 1', runs: [] },
    ])
  })

  test('that are patient wait for nothing, and are nowhere', () => {
    const demand = new Demand(0)
    const ann = demand.reader()
    expect(demand.aim(ann, [[3, 5]], { patient: true })).toEqual([
      { type: 'aimed', who: 'reader 1', runs: [], ahead: [[3, 5]] },
    ])
    expect(demand.at(ann, 3)).toEqual([])
    expect([...demand.replay()]).toEqual([])
  })

  test('may go on with what follows: that of the last eight is fetched ahead for all of them, also when they have left', () => {
    const demand = new Demand(0)
    const aheads = Array.from({ length: 9 }, (_, i) => {
      const reader = demand.reader()
      const events = demand.aim(reader, [[10 * i, 10 * i + 2]], { ahead: [10 * i + 2, 10 * i + 4] })
      demand.left(reader, 0)
      expect(events.slice(1, -1)).toEqual([{ type: 'reader-at', reader: 0, piece: 10 * i + 2 }])
      return events.at(-1)
    })
    const ahead = Array.from({ length: 8 }, (_, i) => [10 * i + 12, 10 * i + 14])
    expect(aheads.at(-1)).toMatchObject({ type: 'aimed', who: 'ahead', runs: [], ahead })
    expect(demand.aim(demand.reader(), [[0, 1]], { ahead: [1, 1] })).toHaveLength(1)
  })
})

test('a download that begins later is told of readers, at its start, and of what other nodes need', () => {
  const demand = new Demand(0)
  const ann = demand.reader()
  expect(demand.need('bob', [7, 8, 2], 0)).toEqual([
    {
      type: 'aimed',
      who: 'bob',
      runs: [
        [7, 9],
        [2, 3],
      ],
    },
  ])
  demand.need('cat', [5], 0)
  expect(demand.unneed('cat')).toEqual([{ type: 'aimed', who: 'cat', runs: [] }])
  expect(demand.unneed('cat')).toEqual([])
  expect([...demand.replay()]).toEqual([
    { type: 'reader-at', reader: ann, piece: 0 },
    {
      type: 'aimed',
      who: 'bob',
      runs: [
        [7, 9],
        [2, 3],
      ],
    },
  ])
})

describe('a blob', () => {
  /** What may speak for a blob, and what that means for it. */
  test.each<[string, (demand: Demand) => void, { background: boolean; unwanted: boolean }]>([
    ['nobody', () => {}, { background: true, unwanted: true }],
    ['a reader', (demand) => demand.reader(), { background: false, unwanted: false }],
    ['one who keeps it', (demand) => demand.keep(), { background: true, unwanted: false }],
    ['another node', (demand) => demand.need('ann', [1], 0), { background: false, unwanted: true }],
    ['a scheduler', (demand) => demand.order(), { background: true, unwanted: true }],
  ])('that %s wants', (_, wanted, expected) => {
    const demand = new Demand(0)
    wanted(demand)
    expect({ background: demand.background, unwanted: demand.unwanted }).toEqual(expected)
  })

  test.each<[string, (demand: Demand) => void, { whole: boolean; part: boolean }]>([
    ['nobody wants', () => {}, { whole: true, part: true }],
    ['somebody reads', (demand) => demand.reader(), { whole: false, part: false }],
    ['somebody keeps', (demand) => demand.keep(), { whole: false, part: false }],
    ['a scheduler ordered', (demand) => demand.order(), { whole: false, part: true }],
    ['another node needs', (demand) => demand.need('ann', [1], 0), { whole: true, part: false }],
  ])('that %s is abandoned after a minute, or is not', (_, wanted, expected) => {
    const demand = new Demand(0)
    wanted(demand)
    const whole = { part: false, awaited: false }
    const part = { part: true, awaited: false }
    expect([demand.abandoned(whole, 60_000), demand.abandoned(part, 60_000)]).toEqual([false, false])
    expect({ whole: demand.abandoned(whole, 60_001), part: demand.abandoned(part, 60_001) }).toEqual(expected)
  })

  test('that others await from this node, which reads it, is not abandoned; a part of it is, when they need nothing', () => {
    const demand = new Demand(0)
    expect(demand.abandoned({ part: false, awaited: true }, 60_001)).toBe(false)
    expect(demand.abandoned({ part: true, awaited: true }, 60_001)).toBe(true)
  })

  test.each<[string, (demand: Demand) => void]>([
    ['a reader that waits for a piece', (demand) => demand.used(1000)],
    ['a reader that leaves', (demand) => demand.left(demand.reader(), 1000)],
    ['another node that needs something', (demand) => [demand.need('ann', [1], 1000), demand.unneed('ann')]],
    ['one who let it go', (demand) => [demand.keep(), demand.letGo(1000)]],
  ])('is wanted for another minute after %s', (_, use) => {
    const demand = new Demand(0)
    use(demand)
    const whole = { part: false, awaited: false }
    expect([demand.abandoned(whole, 61_000), demand.abandoned(whole, 61_001)]).toEqual([false, true])
  })
})
