import { expect, test } from 'bun:test'
import { apart, siteOf } from './zone.ts'

test.each([
  ['eu/fra/r12', 'eu/fra'],
  ['eu/fra', 'eu/fra'],
  ['eu', 'eu'],
  [undefined, undefined],
])('the site of %p is %p', (zone, site) => {
  expect(siteOf(zone)).toBe(site)
})

test.each([
  ['eu/fra/r1', 'eu/fra/r2', false],
  ['eu/fra', 'eu/fra/r2', false],
  ['eu/fra/r1', 'eu/ams/r1', true],
  ['eu/fra', 'us/fra', true],
  ['eu/fra', 'eu/fra2', true],
  ['eu', 'eu/fra/r1', false],
  ['eu', 'us/nyc', true],
  [undefined, 'eu/fra', false],
])('%p and %p are at different sites: %p', (a, b, different) => {
  expect(apart(a, b)).toBe(different)
  expect(apart(b, a)).toBe(different)
})
