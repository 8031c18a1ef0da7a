import { describe, expect, test } from 'bun:test'
import { seededRandom } from '../clock.ts'
import { type Candidate, nearness, rankParents } from './parents.ts'

const plain: Candidate = { id: 'plain', pieces: 0, complete: false, fetcher: false, links: 0, load: 0, failures: 0 }

function best(candidates: Candidate[], zone?: string, seed = 1): string[] {
  return rankParents({ zone }, candidates, seededRandom(seed)).map(({ id }) => id)
}

describe('nearness counts the leading parts of a zone that agree', () => {
  test.each([
    ['eu/a/r1', 'eu/a/r1', 3],
    ['eu/a/r1', 'eu/a/r2', 2],
    ['eu/a/r1', 'us/a/r1', 0],
    ['eu', 'eu/a', 1],
    ['', 'eu', 0],
    [undefined, undefined, 0],
  ])('%p and %p: %d', (a, b, same) => {
    expect(nearness(a, b)).toBe(same)
    expect(nearness(b, a)).toBe(same)
  })
})

describe('ranks first, whatever chance says,', () => {
  test.each<[string, Partial<Candidate>, Partial<Candidate>]>([
    ['who reads from the source, before a whole copy', { fetcher: true }, { complete: true, pieces: 9 }],
    ['a whole copy, before a part', { complete: true, pieces: 9 }, { pieces: 8 }],
    ['a part, before nothing', { pieces: 1 }, {}],
    ['the nearer of two', { zone: 'eu/a' }, { zone: 'eu/b' }],
    ['who has room, before who is busy', { complete: true, pieces: 9 }, { complete: true, pieces: 9, load: 0.5 }],
    ['a near part, before a far whole copy', { zone: 'eu/a', pieces: 1 }, { complete: true, pieces: 9 }],
    ['nothing, before a whole copy that failed', {}, { complete: true, pieces: 9, failures: 1 }],
  ])('%s', (_, winner, loser) => {
    for (let seed = 0; seed < 50; seed++) {
      const ids = best(
        [
          { ...plain, ...loser, id: 'loser' },
          { ...plain, ...winner, id: 'winner' },
        ],
        'eu/a',
        seed,
      )
      expect({ seed, first: ids[0] }).toEqual({ seed, first: 'winner' })
    }
  })
})

test('equals take turns in being first', () => {
  const equals = ['a', 'b', 'c', 'd'].map((id) => ({ ...plain, id, pieces: 3 }))
  const firsts = new Map<string, number>()
  for (let seed = 0; seed < 400; seed++) {
    const [first] = best(equals, undefined, seed)
    firsts.set(first!, (firsts.get(first!) ?? 0) + 1)
  }
  expect([...firsts.keys()].sort()).toEqual(['a', 'b', 'c', 'd'])
  for (const times of firsts.values()) expect(times).toBeGreaterThan(50)
})

test('every point that counted is given as a reason', () => {
  const candidate = { ...plain, zone: 'eu/a', fetcher: true, pieces: 7, load: 0.25, failures: 2 }
  const [ranked] = rankParents({ zone: 'eu/b' }, [candidate], seededRandom(1))
  expect(ranked!.reasons).toEqual([
    'reads from the source',
    'holds 7 pieces',
    'shares 1 of its zone',
    'upload slots 25% taken',
    'failed 2 times',
  ])
})
