import { describe, expect, test } from 'bun:test'
import { seededRandom } from '../../src/clock.ts'
import { Incidents } from './incidents.ts'
import { type Sample, steadinessOf } from './steadiness.ts'

/** A rest every three minutes of load, in which it is looked ten times. */
function samples(rests: number, value: (minute: number) => number): Sample[] {
  return Array.from({ length: rests * 10 }, (_, i) => {
    const minute = 3 * (1 + Math.floor(i / 10))
    return { seconds: minute * 60, value: value(minute) }
  })
}

describe('a figure', () => {
  test('that goes up and down without end is steady', () => {
    const random = seededRandom(1)
    const { slope, rests } = steadinessOf(samples(10, () => 100 + random() * 80))
    expect(rests).toHaveLength(10)
    expect(Math.abs(slope)).toBeLessThan(1)
  })

  test('that grows is found to grow by as much, however noisy it is', () => {
    const random = seededRandom(2)
    const { slope, rise } = steadinessOf(samples(10, (minute) => 100 + 3 * minute + random() * 80))
    expect(slope).toBeWithin(2, 4)
    expect(rise).toBeWithin(36, 72)
  })

  test('that is high in one rest, and back in the next, is steady', () => {
    const rests = [170, 179, 186, 189, 188, 196, 196, 198, 253, 200]
    const { slope } = steadinessOf(samples(10, (minute) => rests[minute / 3 - 1]!))
    expect(slope).toBeWithin(0.4, 0.8)
  })

  test('that grows in the warm-up alone is steady', () => {
    expect(steadinessOf(samples(10, (minute) => Math.min(minute, 9) * 50)).rise).toBe(0)
  })

  test('that is higher once, after a load that needed more than all before, is steady', () => {
    const step = samples(10, (minute) => (minute < 21 ? 170 : 186))
    const peaks = [200, 215, 220, 221, 219, 224, 287, 250, 230, 226]
    expect(steadinessOf(step, peaks).slope).toBe(0)
    expect(steadinessOf(step).rise).toBeGreaterThan(15)
    // With too few rests after it nobody can tell.
    expect(steadinessOf(step, [200, 215, 220, 221, 219, 224, 226, 225, 287, 230]).rise).toBeGreaterThan(15)
  })

  test('that grows all the time grows after such a load too', () => {
    const leak = samples(10, (minute) => 150 + minute)
    const peaks = Array.from({ length: 10 }, (_, i) => 220 + 3 * i)
    expect(steadinessOf(leak, peaks).slope).toBeCloseTo(1)
    peaks[6] = 287
    expect(steadinessOf(leak, peaks).slope).toBeCloseTo(1)
  })

  test('of which there is one rest, or nothing, says nothing', () => {
    expect(steadinessOf([])).toEqual({ rests: [], slope: 0, rise: 0 })
    expect(steadinessOf(samples(1, (minute) => minute)).slope).toBe(0)
  })
})

describe('a pull that failed', () => {
  const failed = (node: number, from: number, until: number) => ({ node, from, until, said: '' })

  test('while its node was killed is explained, one through another node is not', () => {
    const incidents = new Incidents()
    incidents.begin('killed', 10, 3)(20)
    expect(incidents.explains(failed(3, 5, 11))?.what).toBe('killed')
    expect(incidents.explains(failed(3, 19, 25))?.what).toBe('killed')
    expect(incidents.explains(failed(2, 5, 11))).toBeUndefined()
    expect(incidents.explains(failed(3, 21, 25))).toBeUndefined()
    expect(incidents.explains(failed(3, 1, 9))).toBeUndefined()
  })

  test('while the registry did wrong, or just after, is explained for every node', () => {
    const incidents = new Incidents()
    const end = incidents.begin('HTTP 500', 10)
    expect(incidents.explains(failed(1, 100, 101))?.what).toBe('HTTP 500')
    end(30)
    expect(incidents.explains(failed(1, 40, 41))?.what).toBe('HTTP 500')
    expect(incidents.explains(failed(1, 100, 101))).toBeUndefined()
    incidents.begin('stopped', 41, 1)(42)
    expect(incidents.explains(failed(1, 40, 41))?.what).toBe('stopped')
    expect(incidents.counts()).toEqual(
      new Map([
        ['HTTP 500', 1],
        ['stopped', 1],
      ]),
    )
  })
})
