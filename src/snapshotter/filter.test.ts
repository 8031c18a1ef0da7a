import { describe, expect, test } from 'bun:test'
import { filterOf } from './filter.ts'
import type { Info } from './snapshot.ts'

const info: Info = {
  name: 'default/3/sha256:ab',
  parent: '',
  kind: 'committed',
  createdAt: 0,
  updatedAt: 0,
  labels: { 'containerd.io/snapshot.ref': 'sha256:ab', 'a "b"': 'x y', n: '2' },
}
const matches = (...filters: string[]) => filterOf(filters)(info)

describe('a filter', () => {
  test('is what containerd sends to find the layer it asked for', () => {
    expect(matches('labels."containerd.io/snapshot.ref"==sha256:ab,parent==""')).toBe(true)
    expect(matches('labels."containerd.io/snapshot.ref"==sha256:ab,parent=="default/2/x"')).toBe(false)
  })

  test.each([
    ['', true],
    ['kind==committed', true],
    ['kind == committed , labels.n', true],
    ['kind==view', false],
    ['kind!=view', true],
    ['name~=/^default\\/[0-9]+\\/sha256/', true],
    ['name~=|sha256:..$|', true],
    ['name~="^def"', true],
    ['labels.n', true],
    ['labels.m', false],
    ['labels.m!=2', true],
    ['labels.m==""', false],
    ['labels."a \\"b\\""=="x y"', true],
    ['labels.n=="\\x32"', true],
    ['labels.n=="\\062"', true],
    ['labels.n=="\\u0032"', true],
    ['nothing==x', false],
    ['parent==""', true],
  ])('%s holds: %p', (filter, held) => {
    expect(matches(filter)).toBe(held)
  })

  test('of several one is enough, of none all is shown', () => {
    expect(matches('kind==view', 'labels.n==2')).toBe(true)
    expect(matches('kind==view', 'labels.n==3')).toBe(false)
    expect(matches()).toBe(true)
  })

  test.each([
    'name=x',
    'name==',
    '==x',
    'name==a b',
    'labels."open==x',
    'name==/slash/',
    'name~=/(/',
    'labels.n=="\\q"',
    'name~=/\\d/',
    'labels.n=="\\U99999999"',
    ',',
    'name==x,',
    'x'.repeat(20_000),
  ])('%s is refused', (filter) => {
    expect(() => filterOf([filter])).toThrow(expect.objectContaining({ code: 'invalid' }))
  })
})
