import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Failure } from '../failure.ts'
import { kindOfTarget, parseRequest } from './request.ts'

const digest = `sha256:${'a'.repeat(64)}`

function codeOf(method: string, target: string): string {
  try {
    parseRequest(method, target)
  } catch (error) {
    return Failure.from(error).code
  }
  return 'none'
}

/** `kind registry/name what?search` */
function read(target: string): string {
  const request = parseRequest('GET', target)
  if (request.kind === 'base' || request.kind === 'token' || request.kind === 'catalog') return request.kind
  if (request.kind === 'download') return `download ${request.id}`
  const name = `${request.repository.registry}/${request.repository.name}`
  if (request.kind === 'manifest') return `manifest ${name} ${request.reference}`
  if (request.kind === 'blob') return `blob ${name} ${request.digest}`
  if (request.kind === 'file') return `file ${name}`
  if (request.kind === 'lazy') return `${request.what} ${name} ${request.layer}`
  return `${request.kind} ${name} ${request.path}${request.search}`
}

describe('a request', () => {
  test.each([
    ['/v2/', 'base'],
    ['/v2', 'base'],
    ['/v2/debian/manifests/13', 'manifest docker.io/library/debian 13'],
    ['/v2/library/debian/manifests/latest', 'manifest docker.io/library/debian latest'],
    [`/v2/org/app/manifests/${digest}`, `manifest docker.io/org/app ${digest}`],
    ['/v2/org/app/manifests/v1?ns=ghcr.io', 'manifest ghcr.io/org/app v1'],
    ['/v2/ghcr.io/org/app/manifests/v1', 'manifest ghcr.io/org/app v1'],
    ['/v2/registry.corp:5000/app/manifests/v1', 'manifest registry.corp:5000/app v1'],
    [`/v2/a/b/c/blobs/${digest}`, `blob docker.io/a/b/c ${digest}`],
    [`/v2/debian/_shoal/lazy/${digest}/index`, `index docker.io/library/debian ${digest}`],
    [`/v2/org/app/_shoal/lazy/${digest}/reads?ns=ghcr.io`, `reads ghcr.io/org/app ${digest}`],
    ['/v2/org/manifests/app/manifests/v1', 'manifest docker.io/org/manifests/app v1'],
    ['/v2/org/blobs/tags/list', 'tags docker.io/org/blobs tags/list'],
    [
      '/shoal/file?url=https%3A%2F%2Ffiles.corp%3A8443%2FA%2Fb.iso%3Fv%3D1%23top',
      'file https://files.corp:8443/A/b.iso?v=1',
    ],
    [`/shoal/file?url=http://files.corp/&digest=${digest}`, `blob http://files.corp/ ${digest}`],
    ['/v2/org/app/tags/list?n=5&last=a', 'tags docker.io/org/app tags/list?n=5&last=a'],
    ['/v2/org/app/tags/list?ns=ghcr.io&n=5', 'tags ghcr.io/org/app tags/list?n=5'],
    [
      `/v2/org/app/referrers/${digest}?artifactType=a%2Fb`,
      `referrers docker.io/org/app referrers/${digest}?artifactType=a%2Fb`,
    ],
  ])('%s is %s', (target, expected) => {
    expect(read(target)).toBe(expected)
  })

  test('by HEAD means the same as by GET', () => {
    expect(parseRequest('HEAD', '/v2/org/app/manifests/v1')).toEqual(parseRequest('GET', '/v2/org/app/manifests/v1'))
  })
})

describe('a request is refused', () => {
  test.each([
    ['/', 'no-name'],
    ['/v1/', 'no-name'],
    ['/v22/', 'no-name'],
    ['/v2/_catalog', 'unsupported'],
    ['/v2/_catalog?n=5', 'unsupported'],
    ['/v2/app', 'no-name'],
    ['/v2/app/tags/other', 'no-name'],
    ['/v2/app/blobs/uploads/1', 'no-name'],
    ['/v2/manifests/latest', 'bad-name'],
    ['/v2/tags/list', 'bad-name'],
    ['/v2//manifests/latest', 'bad-name'],
    ['/v2/a//b/manifests/latest', 'bad-name'],
    ['/v2/app/manifests/', 'bad-name'],
    ['/v2/../app/manifests/latest', 'bad-name'],
    ['/v2/a/./b/manifests/latest', 'bad-name'],
    ['/v2/a/../../etc/manifests/passwd', 'bad-name'],
    ['/v2/%2e%2e/app/manifests/latest', 'bad-name'],
    ['/v2/a%2Fb/manifests/latest', 'bad-name'],
    [`/v2/app/blobs/sha256%3A${'a'.repeat(64)}`, 'bad-name'],
    ['/v2/app\\..\\x/manifests/latest', 'bad-name'],
    ['/v2/App/manifests/latest', 'bad-name'],
    ['/v2/app/manifests/latest?ns=http://x', 'bad-name'],
    ['/v2/app/manifests/latest?ns=../..', 'bad-name'],
    ['/v2/app/manifests/-x', 'no-manifest'],
    [`/v2/app/manifests/${'t'.repeat(129)}`, 'no-manifest'],
    ['/v2/app/manifests/sha256:abc', 'bad-digest'],
    [`/v2/app/blobs/sha256:${'A'.repeat(64)}`, 'bad-digest'],
    ['/v2/app/blobs/latest', 'bad-digest'],
    ['/v2/app/referrers/latest', 'bad-digest'],
    [`/v2/${'a'.repeat(300)}/manifests/latest`, 'bad-name'],
    [`/v2/${'a'.repeat(2000)}/manifests/latest`, 'bad-request'],
    [`/v2/app/manifests/latest?${'a'.repeat(3000)}`, 'bad-request'],
  ])('%s: %s', (target, code) => {
    expect(codeOf('GET', target)).toBe(code)
  })

  test.each(['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'BREW'])('when it would write: %s', (method) => {
    expect(codeOf(method, '/v2/app/blobs/uploads/')).toBe('read-only')
  })

  test('and never with anything but a failure, nor let through a name with dots to climb', () => {
    const piece = fc.constantFrom(
      '/v2',
      '/',
      '..',
      '.',
      'app',
      'manifests',
      'blobs',
      'tags',
      'list',
      digest,
      '%2e',
      '?ns=',
      ':',
      'ghcr.io',
      '\0',
      'é',
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 9 }), (pieces) => {
        const target = `/v2/${pieces.join('')}`
        try {
          const request = parseRequest('GET', target)
          if ('repository' in request) expect(request.repository.name.split('/')).not.toContain('..')
        } catch (error) {
          if (!(error instanceof Failure)) throw error
        }
        expect(typeof kindOfTarget(target)).toBe('string')
      }),
      { numRuns: 1000 },
    )
  })
})

test.each([
  ['/v2/', 'base'],
  ['/v2/App/manifests/x?y', 'manifest'],
  ['/v2/app/blobs/nonsense', 'blob'],
  ['/v2/app/tags/list', 'tags'],
  ['/v2/app/referrers/x', 'referrers'],
  ['/v2/_catalog', 'catalog'],
  ['/v2/app/blobs/uploads/', 'upload'],
  ['/v2/app/blobs/uploads/some-id?digest=x', 'upload'],
  ['/etc/manifests/passwd', 'other'],
])('metrics count %s as %s whether it was served or not', (target, kind) => {
  expect<string>(kindOfTarget(target)).toBe(kind)
})
