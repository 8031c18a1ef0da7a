import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Failure } from '../failure.ts'
import {
  formatReference,
  formatRepository,
  isTag,
  parseReference,
  parseRegistry,
  repositoryOfRequest,
} from './reference.ts'

const digest = `sha256:${'a'.repeat(64)}`

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    return Failure.from(error).code
  }
  return 'none'
}

describe('what a person types', () => {
  test.each([
    ['debian', 'docker.io/library/debian:latest'],
    ['debian:13', 'docker.io/library/debian:13'],
    ['org/app', 'docker.io/org/app:latest'],
    ['docker.io/debian', 'docker.io/library/debian:latest'],
    ['index.docker.io/org/app', 'docker.io/org/app:latest'],
    ['ghcr.io/org/app:v1', 'ghcr.io/org/app:v1'],
    ['localhost/app', 'localhost/app:latest'],
    ['registry.corp:5000/app', 'registry.corp:5000/app:latest'],
    ['registry.corp:5000/app:v1', 'registry.corp:5000/app:v1'],
    [`app@${digest}`, `docker.io/library/app@${digest}`],
    [`ghcr.io/org/app:v1@${digest}`, `ghcr.io/org/app:v1@${digest}`],
    ['[::1]:5000/app', '[::1]:5000/app:latest'],
    ['GHCR.io/org/app', 'ghcr.io/org/app:latest'],
  ])('%s is %s', (text, expected) => {
    expect(formatReference(parseReference(text))).toBe(expected)
  })

  test.each([
    ['', 'bad-name'],
    ['Debian', 'bad-name'],
    ['a//b', 'bad-name'],
    ['/a', 'bad-name'],
    ['a/', 'bad-name'],
    ['../etc', 'bad-name'],
    ['a/../b', 'bad-name'],
    ['ghcr.io/', 'bad-name'],
    ['ghcr.io:port/app', 'bad-name'],
    ['app:', 'bad-reference'],
    ['app:-x', 'bad-reference'],
    ['app@sha256:abc', 'bad-digest'],
    [`app@${digest}@${digest}`, 'bad-digest'],
    [`${'a'.repeat(256)}`, 'bad-name'],
  ])('"%s" is refused as %s', (text, code) => {
    expect(codeOf(() => parseReference(text))).toBe(code)
  })

  test('what was formatted parses to the same reference', () => {
    const component = fc.stringMatching(/^[a-z0-9]{1,6}(?:[._-][a-z0-9]{1,6}){0,2}$/)
    const name = fc.tuple(fc.stringMatching(/^[a-z0-9]{1,6}$/), component).map((parts) => parts.join('/'))
    const registry = fc.constantFrom('docker.io', 'ghcr.io', 'localhost', 'a.b:5000')
    const tag = fc.stringMatching(/^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}$/)
    fc.assert(
      fc.property(registry, name, tag, (registry, name, tag) => {
        const text = `${registry}/${name}:${tag}`
        expect(formatReference(parseReference(text))).toBe(text)
      }),
    )
  })

  test('no text throws anything but a failure, and none smuggles a dot segment', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ab./:@_-[]A%\\ \n'), maxLength: 24 }), (text) => {
        const code = codeOf(() => {
          const { name } = parseReference(text)
          expect(name.split('/')).not.toContain('..')
        })
        expect(['none', 'bad-name', 'bad-reference', 'bad-digest']).toContain(code)
      }),
      { numRuns: 1000 },
    )
  })
})

describe('which repository a request means', () => {
  test.each([
    ['library/debian', undefined, 'docker.io/library/debian'],
    ['debian', '', 'docker.io/library/debian'],
    ['org/app', 'ghcr.io', 'ghcr.io/org/app'],
    ['ghcr.io/org/app', undefined, 'ghcr.io/org/app'],
    ['localhost:5000/app', undefined, 'localhost:5000/app'],
    ['registry-1.docker.io/org/app', undefined, 'docker.io/org/app'],
  ])('%s with ns %s is %s', (path, ns, expected) => {
    expect(formatRepository(repositoryOfRequest(path, ns))).toBe(expected)
  })

  test('ns is stronger than a first component that looks like a host', () => {
    expect(repositoryOfRequest('ghcr.io/app', 'quay.io')).toEqual({ registry: 'quay.io', name: 'ghcr.io/app' })
  })
})

test.each(['', 'a b', 'http://ghcr.io', 'ghcr.io/', '-a.io', 'a..io', '[::1', 'a:b', 'user@host', 'a'.repeat(256)])(
  '"%s" is no registry',
  (text) => {
    expect(codeOf(() => parseRegistry(text))).toBe('bad-name')
  },
)

test('a tag has at most 128 characters and does not begin with a dot or dash', () => {
  expect(isTag('a'.repeat(128))).toBe(true)
  expect(['a'.repeat(129), '.a', '-a', '', 'a/b', 'a b'].some(isTag)).toBe(false)
})
