import { describe, expect, test } from 'bun:test'
import { sameVersion, versionOf } from './file-version.ts'

const hex = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const base64 = Buffer.from(hex, 'hex').toString('base64')
const modified = 'Sat, 21 Nov 2026 10:00:00 GMT'
const of = (headers: Record<string, string>) => versionOf(new Headers(headers))

describe('a version is known', () => {
  test.each<[Record<string, string>, string | undefined]>([
    [{ etag: '"abc"' }, 'etag "abc"'],
    [{ etag: 'W/"abc"' }, undefined],
    [{ etag: 'abc' }, undefined],
    [{}, undefined],
    [{ 'last-modified': modified, date: 'Sat, 21 Nov 2026 10:01:00 GMT' }, 'modified 2026-11-21T10:00:00.000Z'],
    // It may be written again within the second.
    [{ 'last-modified': modified, date: 'Sat, 21 Nov 2026 10:00:59 GMT' }, undefined],
    [{ 'last-modified': modified }, undefined],
    [{ 'last-modified': 'yesterday', date: modified }, undefined],
    [
      { etag: 'W/"abc"', 'last-modified': modified, date: 'Sun, 22 Nov 2026 10:00:00 GMT' },
      'modified 2026-11-21T10:00:00.000Z',
    ],
  ])('by what promises the same bytes: %p', (headers, validator) => {
    expect(of(headers).validator).toBe(validator as string)
  })

  test.each<[Record<string, string>, boolean]>([
    [{ 'repr-digest': `sha-256=:${base64}:` }, true],
    [{ 'repr-digest': `md5=:AAAA:, sha-256=:${base64}:` }, true],
    [{ digest: `SHA-256=${base64}` }, true],
    [{ 'x-checksum-sha256': hex.toUpperCase() }, true],
    [{ 'repr-digest': 'sha-256=:AAAA:' }, false],
    [{ 'repr-digest': `sha-256=:${base64}:`, 'content-encoding': 'gzip' }, false],
    [{ 'x-checksum-sha256': 'abc' }, false],
  ])('by a digest that the server states: %p', (headers, stated) => {
    expect(of(headers).digest as string | undefined).toBe(stated ? `sha256:${hex}` : undefined)
  })
})

const sum = { 'x-checksum-sha256': hex }
const otherSum = { 'x-checksum-sha256': hex.replace('e', 'f') }
const time = { 'last-modified': modified }
const otherTime = { 'last-modified': 'Sat, 21 Nov 2026 10:00:01 GMT' }

test.each<[string, Record<string, string>, Record<string, string>, boolean]>([
  ['one entity tag', { etag: '"a"' }, { etag: '"a"' }, true],
  ['two entity tags', { etag: '"a"' }, { etag: '"b"' }, false],
  ['an entity tag that has become strong', { etag: 'W/"a"' }, { etag: '"a"' }, true],
  ['two weak entity tags', { etag: 'W/"a"' }, { etag: 'W/"b"' }, false],
  ['an entity tag that is gone', { etag: '"a"' }, {}, false],
  ['an entity tag that is gone, and one time', { etag: '"a"', ...time }, time, true],
  ['one entity tag, whatever the time', { etag: '"a"', ...time }, { etag: '"a"', ...otherTime }, true],
  ['two times', time, otherTime, false],
  [
    'one time that is a minute ago by now',
    { ...time, date: 'Sat, 21 Nov 2026 10:00:59 GMT' },
    { ...time, date: 'Sat, 21 Nov 2026 10:01:00 GMT' },
    true,
  ],
  ['nothing', {}, {}, true],
  ['two digests', { ...sum, etag: '"a"' }, { ...otherSum, etag: '"a"' }, false],
  ['one digest, at two hosts of a server', { ...sum, etag: '"a"' }, { ...sum, etag: '"b"' }, true],
])('two answers with %s are of one version, or not', (_, a, b, same) => {
  expect(sameVersion(new Headers(a), new Headers(b))).toBe(same)
  expect(sameVersion(new Headers(b), new Headers(a))).toBe(same)
})
