import { describe, expect, test } from 'bun:test'
import { said } from '../../test/fakes/findings.ts'
import { judgeClock, type Witness } from './clock.ts'

describe('clock', () => {
  const of = (kind: Witness['kind'], name: string, ahead: number): Witness => ({ kind, name, ahead })
  const cases: [string, Witness[], boolean, string[]][] = [
    ['nobody to compare with', [], false, ['note: nobody answered whose clock this one could be compared with']],
    ['a second is the way', [of('member', 'a', 1.4), of('source', 'hub', -1)], true, ['good']],
    [
      'all others agree: it is this one',
      [of('member', 'a', 61), of('member', 'b', 60), of('source', 'hub', 62)],
      true,
      ['problem: this clock is 61 s behind: so say a, b, hub'],
    ],
    [
      'less than what tickets want is a warning',
      [of('member', 'a', -12), of('member', 'b', -11)],
      true,
      ['warning: this clock is 11 s ahead: so say a, b'],
    ],
    [
      'one member alone is off',
      [of('member', 'a', 0), of('member', 'b', 7200)],
      true,
      ['problem: the clock of b is 2 hours ahead of this one'],
    ],
    [
      'without a key its requests are not refused for that',
      [of('member', 'a', 0), of('member', 'b', 7200)],
      false,
      ['warning: the clock of b is 2 hours ahead of this one'],
    ],
    [
      'a registry is, whose tokens and certificates have times',
      [of('source', 'hub', -1_000_000)],
      false,
      ['problem: the clock of hub is 12 days behind this one'],
    ],
  ]
  test.each(cases)('%s', (_, witnesses, keyed, expected) => {
    expect(said(judgeClock(witnesses, keyed))).toEqual(expected)
  })
})
