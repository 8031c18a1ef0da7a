import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Bitmap } from '../../piece/bitmap.ts'
import type { Run } from './aims.ts'
import { Pieces } from './pieces.ts'

const count = 8

function bits(...pieces: number[]): Bitmap {
  const bitmap = new Bitmap(count)
  for (const piece of pieces) bitmap.set(piece)
  return bitmap
}

const everything = Bitmap.full(count)
const none = bits()
const parentWith = (have: Bitmap) => ({ have: have.copy() })

function known({ have = none, stated = everything, whole = true } = {}): Pieces {
  return new Pieces(have, stated, whole)
}

/** What was said of one piece, each thing by itself. */
interface Said {
  here: boolean
  stated: boolean
  fed: boolean
  requests: number
  arrivals: number
  /** By parent. */
  readonly held: boolean[]
  /** By who waits for it, or may have use for it later. */
  readonly waits: boolean[]
  readonly ahead: boolean[]
}

const verbs = ['state', 'hold', 'lack', 'ask', 'release', 'write', 'written', 'look', 'store', 'lose', 'feed', 'aim']
const step = fc.record({
  verb: fc.constantFrom(...verbs, 'whole'),
  piece: fc.nat({ max: count - 1 }),
  who: fc.nat({ max: 2 }),
  far: fc.nat({ max: 3 }),
})

test('what is derived follows from what was said of each piece, whatever was said in which order', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100, size: 'max' }), fc.boolean(), (steps, all) => {
      let whole = all
      const pieces = known({ stated: none, whole })
      const parents = [none, none, none].map(parentWith)
      const said = Array.from({ length: count }, (): Said => {
        const nobody = () => [false, false, false]
        const counts = { requests: 0, arrivals: 0 }
        return { here: false, stated: false, fed: false, ...counts, held: nobody(), waits: nobody(), ahead: nobody() }
      })
      for (const { verb, piece, who, far } of steps) {
        const one = said[piece]!
        const run: Run = [piece, piece + far]
        switch (verb) {
          case 'state':
            pieces.state(piece)
            one.stated = true
            break
          case 'hold':
          case 'lack':
            pieces[verb](parents[who]!, piece)
            one.held[who] = verb === 'hold'
            break
          case 'ask':
            pieces.ask(piece)
            one.requests++
            break
          case 'release':
            if (one.requests === 0) break
            pieces.release(piece)
            one.requests--
            break
          case 'write':
            pieces.write(piece)
            one.arrivals++
            break
          case 'look':
            pieces.look(piece)
            if (!one.here) one.arrivals++
            break
          case 'written':
            pieces.written(piece)
            one.arrivals = Math.max(0, one.arrivals - 1)
            break
          case 'store':
          case 'lose':
            pieces[verb](piece)
            one.here = verb === 'store'
            break
          case 'feed':
            pieces.feed(...run)
            for (const [i, each] of said.entries()) each.fed = i >= run[0] && i < run[1]
            break
          case 'aim':
            pieces.aim(`reader ${who}`, [run], [[piece + far, piece + 2 * far]])
            for (const [i, each] of said.entries()) {
              each.waits[who] = i >= piece && i < piece + far
              each.ahead[who] = i >= piece + far && i < piece + 2 * far
            }
            break
          default:
            pieces.wantAll()
            whole = true
        }
        const derived = said.map(({ here, stated, fed, requests, arrivals, held, waits, ahead }) => {
          const lacking = !here && (whole || [...waits, ...ahead].includes(true))
          const asked = requests + arrivals
          const open = lacking && !fed && asked === 0
          const due = open && waits.includes(true)
          const holders = held.filter((holds) => holds).length
          const [free, awaited] = [open && stated, due && stated]
          return { here, lacking, free, due, awaited, asked, requested: requests > 0, arrived: arrivals > 0, holders }
        })
        expect(
          derived.map((_, i) => ({
            ...{ here: pieces.have.has(i), lacking: pieces.lacking.has(i), free: pieces.free.has(i) },
            ...{ due: pieces.due.has(i), awaited: pieces.awaited.has(i), asked: pieces.asked[i]! },
            ...{ requested: pieces.requested(i), arrived: pieces.arrived(i), holders: pieces.availability[i]! },
          })),
        ).toEqual(derived)
        expect(pieces.rare).toBe(derived.filter(({ free, holders }) => free && holders === 1).length)
        expect(pieces.hopeful).toBe(derived.some(({ lacking, holders }) => lacking && holders > 0))
        expect(pieces.arrivals).toBe(said.reduce((sum, { arrivals }) => sum + arrivals, 0))
      }
    }),
    { numRuns: 150 },
  )
}, 30_000)

describe('what waits for the disk', () => {
  test('is in memory, and what lies there already is not', () => {
    const pieces = known()
    pieces.look(3)
    expect([pieces.arrivals, pieces.inMemory, pieces.writes]).toEqual([1, 0, false])
    pieces.write(4)
    expect([pieces.arrivals, pieces.inMemory, pieces.writes]).toEqual([2, 1, true])
  })

  test('is not what nobody can verify yet', () => {
    const pieces = known({ stated: none })
    pieces.write(4)
    expect([pieces.inMemory, pieces.writes]).toEqual([1, false])
  })
})

describe('what is read next for those who wait', () => {
  test('is a run that nothing brings, as long as it may be, and what comes after it is not waited for first', () => {
    const pieces = known({ have: bits(1) })
    pieces.aim('ann', [[0, 7]], [[7, 8]])
    pieces.ask(2)
    pieces.feed(6, 7)
    const needed = (piece: number) => piece !== 0
    expect(pieces.nextDue(9, needed)).toEqual([3, 6])
    expect(pieces.nextDue(2, needed)).toEqual([3, 5])
    for (const piece of [3, 4, 5]) pieces.ask(piece)
    expect(pieces.nextDue(2, needed)).toEqual([7, 8])
    expect(pieces.nextDue(2, () => false)).toBeUndefined()
  })

  test('is told of once each, in the order in which it is waited for', () => {
    const pieces = known({ have: bits(5) })
    pieces.aim('ann', [[4, 7]], [[0, 2]])
    pieces.aim('bob', [[6, 8]], [])
    expect([...pieces.aimed()]).toEqual([4, 6, 7, 0, 1])
    pieces.ask(4)
    expect(pieces.firstDue()).toBe(6)
  })
})

describe('a request for just anything', () => {
  test('is not to bring what is here, asked for, not wanted, or to be had from too many', () => {
    const pieces = known({ have: bits(0), whole: false })
    pieces.aim('ann', [[0, 5]], [[5, 6]])
    pieces.ask(1)
    for (const parent of [parentWith(none), parentWith(none)]) pieces.hold(parent, 2)
    const brings = (unwanted: Bitmap) => [...everything.indexes()].filter((piece) => !unwanted.has(piece))
    expect(brings(pieces.unwanted(1, false))).toEqual([3, 4, 5])
    expect(brings(pieces.unwanted(2, false))).toEqual([2, 3, 4, 5])
    expect(brings(pieces.unwanted(1, true))).toEqual([3, 4])
  })

  test('covers what else nothing was asked for', () => {
    const pieces = known({ have: bits(0) })
    pieces.ask(1)
    expect(pieces.covered(undefined)).toBe(6)
    expect(pieces.covered(bits(0, 1, 2, 3))).toBe(4)
  })
})
