import { describe, expect, test } from 'bun:test'
import { Patience } from './patience.ts'

const waits = { reading: false, failed: false }
/** With the least dice, so that it goes its own way after 8 s. */
const patient = () => new Patience(0, 0)
const elsewhere = { fetcher: 'seed', elsewhere: true, again: 1000 }

describe('a node that gets nothing', () => {
  test.each<[string, { reading: boolean; failed: boolean }, number, string]>([
    ['waits', waits, 8000, 'wait'],
    ['and goes to the source itself', waits, 8001, 'alone'],
    ['but waits for what the source sends it', { reading: true, failed: false }, 1_000_000, 'wait'],
    ['and for somebody to help when the source has failed', { reading: false, failed: true }, 20_000, 'wait'],
    ['until there is nothing left to try', { reading: false, failed: true }, 20_001, 'give up'],
  ])('%s', (_, feeding, quiet, verdict) => {
    expect(patient().verdict(feeding, quiet)).toBe(verdict as never)
  })

  test('waits for as long anew when something has come, and not for what came before that', () => {
    const patience = patient()
    expect([patience.progress(5000), patience.progress(5000), patience.progress(4000)]).toEqual([true, false, false])
    expect([13_000, 13_001].map((now) => patience.verdict(waits, now))).toEqual(['wait', 'alone'])
  })

  test('does not do so at the same time as all the others', () => {
    const after = [0, 0.5, 0.99].map((dice) => {
      const patience = new Patience(0, dice)
      for (let now = 0; ; now += 10) if (patience.verdict(waits, now) === 'alone') return now
    })
    expect(after).toEqual([8010, 12_010, 15_930])
  })
})

test('who gets nothing says so once it has for long, and again at intervals, until something comes', () => {
  const patience = patient()
  const said = (from: number, to: number) => {
    const times: number[] = []
    for (let now = from; now <= to; now += 250) if (patience.stalls(2000, now)) times.push(now)
    return times
  }
  expect(said(0, 5000)).toEqual([2250, 3250, 4250])
  patience.progress(5000)
  expect(said(5000, 8000)).toEqual([7250])
})

describe('a scheduler that says that it comes from elsewhere', () => {
  test('is believed for three times as long, as long as it goes on saying so', () => {
    const patience = patient()
    for (let now = 0; now <= 24_000; now += 1000) {
      patience.answered(elsewhere, now)
      expect(patience.verdict(waits, now)).toBe('wait')
    }
    expect(patience.verdict(waits, 24_001)).toBe('alone')
  })

  test.each([
    [1000, 6000],
    [10_000, 13_000],
  ])('and names %d ms for the next question is believed for %d ms', (again, lasts) => {
    const patience = patient()
    patience.answered({ ...elsewhere, again }, 9000)
    const until = 9000 + lasts
    expect([until - 1, until].map((now) => patience.verdict(waits, now))).toEqual(['wait', 'alone'])
  })

  test('is not when it says later that it does not', () => {
    const patience = patient()
    patience.answered(elsewhere, 9000)
    patience.answered({ ...elsewhere, elsewhere: false }, 9000)
    expect(patience.verdict(waits, 9000)).toBe('alone')
  })
})

describe('the reading is left to the node that was named for it', () => {
  test('for a second after it told of a piece that nobody else has', () => {
    const patience = patient()
    patience.answered(elsewhere, 0)
    expect(patience.leftToOther(0)).toBe(false)
    patience.told('seed', 100)
    expect([1099, 1100].map((now) => patience.leftToOther(now))).toEqual([true, false])
  })

  test('and to no other, whatever that tells of', () => {
    const patience = patient()
    patience.told('ann', 0)
    expect(patience.leftToOther(0)).toBe(false)
    patience.answered(elsewhere, 0)
    patience.told('ann', 0)
    expect(patience.leftToOther(0)).toBe(false)
  })

  test('and not when another is named, while the same one may be named again', () => {
    const patience = patient()
    patience.answered(elsewhere, 0)
    patience.told('seed', 0)
    patience.answered(elsewhere, 0)
    expect([patience.leftToOther(0), patience.reader]).toEqual([true, 'seed'])
    patience.answered({ ...elsewhere, fetcher: 'ann' }, 0)
    expect([patience.leftToOther(0), patience.reader]).toEqual([false, 'ann'])
  })

  test('and not by a node that has lost its patience, until it gets something from others', () => {
    const patience = patient()
    patience.answered(elsewhere, 0)
    patience.told('seed', 0)
    expect([patience.goAlone(), patience.goAlone(), patience.alone]).toEqual([true, false, true])
    expect(patience.leftToOther(0)).toBe(false)
    patience.swarmGave()
    expect([patience.leftToOther(0), patience.alone, patience.goAlone()]).toEqual([true, false, true])
  })
})
