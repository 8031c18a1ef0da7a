import { expect, test } from 'bun:test'
import { infoOf } from '../../test/fakes/members.ts'
import type { Mode } from '../cluster/node-info.ts'
import { isWithin, targetsOf } from './targets.ts'

const node = (id: string, modes: Mode[], zone?: string) => infoOf(id, { modes, ...(zone ? { zone } : {}) })
const members = [
  node('scheduler', ['scheduler']),
  node('seed', ['scheduler', 'seed'], 'eu/fra/r1'),
  node('near', ['peer'], 'eu/fra/r2'),
  node('far', ['peer'], 'us/east/r1'),
  node('lost', ['peer']),
]
const ids = (...args: Parameters<typeof targetsOf>) => targetsOf(...args).map(({ id }) => id)

test('seeds alone, or all that have something to serve', () => {
  expect(ids(members, { scope: 'seeds' }, 'x')).toEqual(['seed'])
  expect(ids(members, { scope: 'all' }, 'x')).toEqual(['seed', 'near', 'far', 'lost'])
})

test('a zone takes the nodes in it and below it, and not those that were not told where they are', () => {
  expect(ids(members, { scope: 'all', zone: 'eu/fra' }, 'x')).toEqual(['seed', 'near'])
  expect(ids(members, { scope: 'all', zone: 'us/' }, 'x')).toEqual(['far'])
  expect([isWithin('eu/fra', 'eu/f'), isWithin('eu/fra', 'eu/fra'), isWithin(undefined, 'eu')]).toEqual([
    false,
    true,
    false,
  ])
})

const many = Array.from({ length: 100 }, (_, i) => node(`n${i}`, ['peer']))

test('a share is of the nodes that fit, always the same ones for the same content, and others for other content', () => {
  const some = ids(many, { scope: 'all', share: 0.3 }, 'debian')
  expect(some).toHaveLength(30)
  expect(ids([...many].reverse(), { scope: 'all', share: 0.3 }, 'debian')).toEqual(some)
  expect(ids(many, { scope: 'all', share: 0.3 }, 'alpine')).not.toEqual(some)
})

test('a smaller share is part of a larger one, and a node that goes moves nobody else', () => {
  const some = ids(many, { scope: 'all', share: 0.3 }, 'debian')
  expect(ids(many, { scope: 'all', share: 0.1 }, 'debian')).toEqual(some.slice(0, 10))
  const fewer = many.filter(({ id }) => id !== some[0])
  expect(ids(fewer, { scope: 'all', share: 0.3 }, 'debian').slice(0, 29)).toEqual(some.slice(1))
})

test('the smallest share is one node, and none where nobody fits', () => {
  expect(ids(many, { scope: 'all', share: 0.001 }, 'debian')).toHaveLength(1)
  expect(ids(many, { scope: 'all', share: 0.5, zone: 'eu' }, 'debian')).toEqual([])
})
