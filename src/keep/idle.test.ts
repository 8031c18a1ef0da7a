import { expect, test } from 'bun:test'
import { keep } from '../config/rules.ts'
import { repositoryOf } from '../oci/reference.ts'
import { idleRule } from './idle.ts'

const day = 86_400_000
const rules = [
  'apps.corp/base/*: idle=30d',
  'apps.corp/**: idle=7d',
  'docker.io/library/*: all',
  'docker.io/**: idle=2d',
].map((text) => keep.parse(text))
const idleOf = (names: readonly (readonly [string, string])[], otherwiseMs?: number) =>
  idleRule(rules, otherwiseMs)!(names.map(([registry, name]) => repositoryOf(registry, name)))

test('the first rule that matches counts, also where it says nothing of idle content', () => {
  expect(idleOf([['apps.corp', 'base/debian']])).toEqual({ ms: 30 * day, rule: 'apps.corp/base/*: idle=30d' })
  expect(idleOf([['apps.corp', 'team/app']])?.ms).toBe(7 * day)
  expect(idleOf([['docker.io', 'library/debian']])?.ms).toBe(Number.POSITIVE_INFINITY)
  expect(idleOf([['docker.io', 'library/debian']], day)?.ms).toBe(day)
  expect(idleOf([])).toBeUndefined()
})

test('what several repositories have stays for as long as any of them keeps it', () => {
  const [app, base, other] = [
    ['apps.corp', 'team/app'],
    ['apps.corp', 'base/debian'],
    ['ghcr.io', 'org/app'],
  ] as const
  expect(idleOf([app, base])?.ms).toBe(30 * day)
  expect(idleOf([app, other])?.ms).toBe(Number.POSITIVE_INFINITY)
  expect(idleOf([app, other], 3 * day)?.ms).toBe(7 * day)
})

test('without a rule about it there is nothing to ask', () => {
  expect(idleRule([keep.parse('apps.corp/**: tags=3')], day)).toBeUndefined()
})
