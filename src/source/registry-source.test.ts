/** What a registry's answers mean; broken bodies are in resumed-body.test.ts, logins in authenticator.test.ts. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { refuses } from '../../test/conformance/source.ts'
import { type FakeImage, FakeRegistry, noise } from '../../test/fakes/registry.ts'
import { sourceOver } from '../../test/fakes/registry-source.ts'
import { maxManifestBytes } from '../oci/media.ts'
import { parseTag, type Repository, repositoryOf } from '../oci/reference.ts'

const tag = parseTag('v1')

let registry: FakeRegistry
let image: FakeImage
beforeEach(async () => {
  registry = await FakeRegistry.start()
  image = registry.image('org/app', 'v1', [noise(1000)])
})
afterEach(() => registry.stop())

const methods = () => registry.requests.map((r) => r.method)
const truth = () => ({
  digest: image.manifest,
  size: image.manifestBytes.length,
  mediaType: 'application/vnd.oci.image.manifest.v1+json',
})

describe('resolving a tag', () => {
  test('takes one HEAD that accepts every kind of manifest', async () => {
    const { source, repository } = sourceOver(registry)
    expect(await source.resolve(repository, tag)).toEqual(truth())
    expect(methods()).toEqual(['HEAD'])
    for (const kind of ['image.index.v1', 'image.manifest.v1', 'manifest.list.v2', 'manifest.v2']) {
      expect(registry.requests[0]!.headers.accept).toContain(kind)
    }
  })

  test.each([
    ['HEAD is not allowed', { method: 'HEAD', status: 405 }],
    ['HEAD is not found', { method: 'HEAD', status: 404 }],
    ['HEAD does not tell the digest', { method: 'HEAD', noDigest: true }],
    ['HEAD tells something that is no digest', { method: 'HEAD', headers: { 'docker-content-digest': 'sha256:x' } }],
    ['HEAD does not tell the size', { method: 'HEAD', length: 'none' as const }],
    ['nothing tells the digest', { noDigest: true }],
    ['nothing tells the media type', { noDigest: true, headers: { 'content-type': 'application/octet-stream' } }],
  ])('reads the manifest itself when %s', async (_, fault) => {
    registry.fault(fault)
    const { source, repository } = sourceOver(registry)
    expect(await source.resolve(repository, tag)).toEqual(truth())
    expect(methods()).toEqual(['HEAD', 'GET'])
  })

  test('does not believe a digest that the manifest does not have', async () => {
    registry.fault({ method: 'HEAD', status: 405 })
    registry.fault({ method: 'GET', headers: { 'docker-content-digest': `sha256:${'0'.repeat(64)}` } })
    const { source, repository } = sourceOver(registry)
    await refuses(source.resolve(repository, tag), 'corrupt')
  })

  test('does not take a page that wants a login for a manifest', async () => {
    const headers = { 'content-type': 'text/html; charset=utf-8' }
    registry.fault({ method: 'HEAD', status: 200, headers })
    registry.fault({ method: 'GET', status: 200, headers, body: '<html>Log in</html>' })
    const { source, repository } = sourceOver(registry)
    const failure = await refuses(source.resolve(repository, tag), 'corrupt')
    expect(failure.message).toContain('no manifest but text/html')
  })

  test('does not make up a digest of an encoded manifest', async () => {
    registry.fault({ noDigest: true, encoding: 'gzip' })
    const { source, repository } = sourceOver(registry)
    await refuses(source.resolve(repository, tag), 'corrupt')
  })

  test('reads no more of a manifest than a manifest can have', async () => {
    registry.fault({ method: 'HEAD', status: 405 })
    registry.fault({ method: 'GET', length: 'none', bytes: Number.POSITIVE_INFINITY })
    const { source, repository } = sourceOver(registry)
    const failure = await refuses(source.resolve(repository, tag), 'corrupt')
    expect(failure.message).toContain(`more than ${maxManifestBytes} bytes`)
  })
})

describe('a cache that answers 404 to HEAD of what it has not cached yet', () => {
  beforeEach(() => registry.fault({ method: 'HEAD', status: 404 }))
  const ofLayer = (repository: Repository) => ({ repository, kind: 'blob' as const, digest: image.layers[0]! })

  test('is asked for one byte', async () => {
    const { source, repository } = sourceOver(registry)
    expect((await source.stat(ofLayer(repository))).size).toBe(1000)
    expect(registry.requests.map((r) => `${r.method} ${r.headers.range}`)).toEqual(['HEAD undefined', 'GET bytes=0-0'])
  })

  test('is asked for nothing more where others say the size', async () => {
    const { source, repository } = sourceOver(registry)
    expect((await source.stat(ofLayer(repository), undefined, 77)).size).toBe(77)
    expect(methods()).toEqual(['HEAD'])
  })

  test('is believed about a manifest', async () => {
    const { source, repository } = sourceOver(registry)
    await refuses(source.stat({ repository, kind: 'manifest', digest: image.manifest }, undefined, 77), 'no-manifest')
    expect(methods()).toEqual(['HEAD'])
  })
})

test('what others say of a size is nothing beside what the registry says', async () => {
  const { source, repository } = sourceOver(registry)
  const location = { repository, kind: 'blob' as const, digest: image.layers[0]! }
  expect((await source.stat(location, undefined, 77)).size).toBe(1000)
})

describe('a registry that refuses', () => {
  const stat = (kit = sourceOver(registry)) =>
    kit.source.stat({ repository: kit.repository, kind: 'blob', digest: image.layers[0]! })

  test.each([429, 500, 502, 503, 504, 408])('with %i is asked again', async (status) => {
    registry.fault({ status, times: 2 })
    expect((await stat()).size).toBe(1000)
    expect(registry.requests).toHaveLength(3)
  })

  test('with 429 is asked again when it says, within reason', async () => {
    registry.fault({ status: 429, times: 1, headers: { 'retry-after': '7' } })
    const kit = sourceOver(registry)
    await stat(kit)
    expect(kit.clock.waits).toContain(7000)
  })

  test('with 429 for an hour is too-many at once, and tells how long', async () => {
    registry.fault({ status: 429, headers: { 'retry-after': '3600' } })
    const failure = await refuses(stat(), 'too-many')
    expect(failure.message).toContain('It asks to wait 3600 s.')
    expect(failure.message).toContain(`Credentials for ${registry.host} usually raise the limit`)
    expect(failure.detail).toEqual({ status: 429, waitMs: 3_600_000 })
    expect(registry.requests).toHaveLength(1)
  })

  test.each([
    [403, 'denied', 1],
    [404, 'no-blob', 2],
    [503, 'unavailable', 4],
    [501, 'unavailable', 1],
    [418, 'corrupt', 1],
    [429, 'too-many', 4],
  ] as const)('with %i for ever is %s after %i requests', async (status, code, requests) => {
    registry.fault({ status })
    const failure = await refuses(stat(), code)
    expect(failure.detail.status).toBe(status)
    expect(failure.message).toContain(`registry ${registry.host}`)
    expect(failure.message).toContain('org/app')
    expect(failure.message).toContain(`HTTP ${status}`)
    expect(registry.requests).toHaveLength(requests)
  })

  test('because it does not know the repository is no-name, with its own code in the message', async () => {
    const { source } = sourceOver(registry)
    const repository = repositoryOf(registry.host, 'no/such')
    const location = { repository, kind: 'blob' as const, digest: image.layers[0]! }
    const failure = await refuses(source.open(location, 0), 'no-name')
    expect(failure.message).toContain('(NAME_UNKNOWN)')
  })

  test('and is not listed is not asked at all', async () => {
    const { source, repository } = sourceOver(registry, { upstreams: new Map() })
    await refuses(source.resolve(repository, tag), 'not-listed')
    expect(registry.requests).toEqual([])
  })

  test('is counted by status', async () => {
    registry.fault({ status: 503, times: 1 })
    const kit = sourceOver(registry)
    await stat(kit)
    const { values } = await kit.metrics.sourceRequests.get()
    expect(values.map((v) => [v.labels.status, v.value])).toEqual([
      ['503', 1],
      ['200', 1],
    ])
  })
})

describe('what is passed through', () => {
  const passing = (path: string, search = '', accept?: string) => {
    const { source, repository } = sourceOver(registry)
    return source.pass(repository, path, search, accept)
  }

  test('keeps the status, the media type and the next page, and nothing else of the headers', async () => {
    registry.manifest('org/app', 'v2', image.manifestBytes, 'application/vnd.oci.image.manifest.v1+json')
    const passed = await passing('tags/list', 'n=1')
    expect(passed.status).toBe(200)
    expect([...passed.headers]).toEqual([
      ['content-type', 'application/json'],
      ['link', '</v2/org/app/tags/list?n=1&last=v1>; rel="next"'],
    ])
    expect(JSON.parse(new TextDecoder().decode(passed.body))).toEqual({ name: 'org/app', tags: ['v1'] })
  })

  test('carries what the client accepts', async () => {
    const path = `referrers/${image.manifest}`
    registry.fault({ path, status: 200, headers: { 'oci-filters-applied': 'artifactType' }, body: '{}' })
    const passed = await passing(path, '?artifactType=x', 'application/vnd.oci.image.index.v1+json')
    expect(registry.requests[0]!.path).toBe(`/v2/org/app/${path}?artifactType=x`)
    expect(registry.requests[0]!.headers.accept).toBe('application/vnd.oci.image.index.v1+json')
    expect(passed.headers.get('oci-filters-applied')).toBe('artifactType')
  })

  test('keeps a 400, which is for the client to understand', async () => {
    registry.fault({ status: 400, body: '{"errors":[{"code":"PAGINATION_NUMBER_INVALID"}]}' })
    expect((await passing('tags/list', '?n=-1')).status).toBe(400)
  })

  test('is no-manifest for referrers of what is not there', async () => {
    await refuses(passing(`referrers/sha256:${'0'.repeat(64)}`), 'no-manifest')
  })

  test('does not leave the repository', async () => {
    await refuses(passing('../other/tags/list'), 'bad-request')
    expect(registry.requests).toEqual([])
  })

  test('is at most 16 MiB', async () => {
    registry.manifest('org/app', 'big', noise(17 * 1024 * 1024), 'text/plain')
    await refuses(passing('manifests/big'), 'corrupt')
  })
})
