import { beforeEach, describe, expect, test } from 'bun:test'
import { FakeContext } from '../../test/fakes/context.ts'
import { load } from './load.ts'
import { changesOf } from './reload.ts'

let context: FakeContext
beforeEach(() => {
  context = new FakeContext()
})
const read = (flags: Parameters<typeof load>[0]) => load(flags, {}, context.host)

test('of settings that changed, some count at once and others from the next start', () => {
  const before = read({ zone: ['eu/a'], upstream: ['a=http://a:1'] })
  const after = read({
    zone: ['eu/b'],
    upstream: ['a=http://a:2'],
    'only-listed-upstreams': ['true'],
    'log-level': ['debug'],
  })
  expect(changesOf(before, before, after)).toEqual({
    now: ['upstream', 'only-listed-upstreams', 'log-level'],
    atNextStart: ['zone'],
  })
})

test('settings that say the same are no change, whatever they were written like', () => {
  const before = read({ 'tag-ttl': ['60s'], 'cache-size': ['1GiB'] })
  expect(changesOf(before, before, read({ 'tag-ttl': ['1m'], 'cache-size': ['1024MiB'] }))).toEqual({
    now: [],
    atNextStart: [],
  })
})

test('what counts at once is compared with what was read last, all else with what the node was started with', () => {
  const [first, second] = [
    { zone: ['eu/a'], 'log-level': ['info'] },
    { zone: ['eu/b'], 'log-level': ['debug'] },
  ].map(read)
  expect(changesOf(first!, second!, second!)).toEqual({ now: [], atNextStart: ['zone'] })
  expect(changesOf(first!, second!, first!)).toEqual({ now: ['log-level'], atNextStart: [] })
})

describe('a file that has the same name and another content', () => {
  const flags = {
    'admin-token-file': ['/token'],
    'ca-file': ['/ca.pem'],
    'credentials-file': ['/config.json'],
    'cluster-key-file': ['/key'],
    state: ['postgres://shoal@db/shoal'],
    'state-ca-file': ['/db.pem'],
    'state-password-file': ['/password'],
  }
  const names = ['/token', '/ca.pem', '/config.json', '/key', '/db.pem', '/password']
  const write = (text: string) => {
    for (const name of names) context.files[name] = `${text}-of-sixteen-or-more-letters\n`
  }

  test('is a change where it is read once; where it is read again anyway it is none', () => {
    write('one')
    const before = read(flags)
    expect(changesOf(before, before, read(flags))).toEqual({ now: [], atNextStart: [] })
    write('two')
    expect(changesOf(before, before, read(flags))).toEqual({
      now: ['admin-token-file'],
      atNextStart: ['ca-file', 'state-ca-file'],
    })
  })

  test('and a token that there was not, or is no more, counts from the next start', () => {
    write('one')
    const [without, given] = [read({}), read({ 'admin-token-file': ['/token'] })]
    for (const [before, after] of [
      [without, given],
      [given, without],
    ] as const) {
      expect(changesOf(before, before, after)).toEqual({ now: [], atNextStart: ['admin-token-file'] })
    }
  })
})
