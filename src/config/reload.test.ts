import { expect, test } from 'bun:test'
import { FakeContext } from '../../test/fakes/context.ts'
import { load } from './load.ts'
import { changesOf } from './reload.ts'

const { host } = new FakeContext()
const values = (flags: Parameters<typeof load>[0]) => load(flags, {}, host).values

test('of settings that changed, some count at once and others from the next start', () => {
  const before = values({ zone: ['eu/a'], upstream: ['a=http://a:1'] })
  const after = values({
    zone: ['eu/b'],
    upstream: ['a=http://a:2'],
    'only-listed-upstreams': ['true'],
    'log-level': ['debug'],
  })
  expect(changesOf(before, after)).toEqual({
    now: ['upstream', 'only-listed-upstreams', 'log-level'],
    atNextStart: ['zone'],
  })
})

test('settings that say the same are no change, whatever they were written like', () => {
  const before = values({ 'tag-ttl': ['60s'], 'cache-size': ['1GiB'] })
  expect(changesOf(before, values({ 'tag-ttl': ['1m'], 'cache-size': ['1024MiB'] }))).toEqual({
    now: [],
    atNextStart: [],
  })
})
