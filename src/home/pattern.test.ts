import { expect, test } from 'bun:test'
import fc from 'fast-check'
import picomatch from 'picomatch'
import { isPattern } from './homes.ts'
import { matcherOf } from './pattern.ts'

test('patterns mean what they mean elsewhere', () => {
  const component = (signs: string) => fc.string({ unit: fc.constantFrom(...signs), minLength: 1, maxLength: 4 })
  // What two stars beside anything else mean nobody agrees on.
  const single = component('ab*?').filter((text) => !text.includes('**'))
  const wanted = fc.oneof(single, fc.constant('**'))
  const path = (one: fc.Arbitrary<string>) => fc.array(one, { minLength: 1, maxLength: 4 }).map((all) => all.join('/'))
  fc.assert(
    fc.property(path(wanted), single, path(component('ab')), (pattern, last, name) => {
      const [full, of] = [`apps.corp/${pattern}/${last}`, `apps.corp/${name}`]
      expect([full, of, matcherOf(full)(of)]).toEqual([full, of, picomatch(full)(of)])
    }),
    { numRuns: 2000 },
  )
})

test('two stars at the end are anything below, and what is above it', () => {
  const below = matcherOf('apps.corp/team/**')
  expect(['team', 'team/app', 'team/a/b', 'teams/app', 'other'].map((name) => below(`apps.corp/${name}`))).toEqual([
    true,
    true,
    true,
    false,
    false,
  ])
  expect(below('other.corp/team/app')).toBe(false)
})

test('no pattern of another node takes long to match, whatever is asked for', () => {
  const patterns = ['a*a*a*a*a*a*a*a*b', '**/**/**/**/**/**/**/**/b'].map((names) => `x.corp/${names}`)
  for (const pattern of patterns) {
    expect(isPattern(pattern)).toBe(true)
    // A matcher that goes back to every star does not come back from these.
    for (const name of ['a'.repeat(240), 'a/'.repeat(120)]) expect(matcherOf(pattern)(`x.corp/${name}c`)).toBe(false)
  }
})
