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

test('two answers are of one version unless something says that they are not', () => {
  expect(sameVersion(of({ etag: '"a"' }), of({ etag: '"a"' }))).toBe(true)
  expect(sameVersion(of({ etag: '"a"' }), of({ etag: '"b"' }))).toBe(false)
  expect(sameVersion(of({ etag: '"a"' }), of({}))).toBe(false)
  expect(sameVersion(of({}), of({}))).toBe(true)
  expect(sameVersion(of({ 'x-checksum-sha256': hex }), of({ 'x-checksum-sha256': hex.replace('e', 'f') }))).toBe(false)
})
