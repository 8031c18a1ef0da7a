import { afterAll, afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { collect, refuses } from '../../test/conformance/source.ts'
import { type FakeImage, FakeRegistry, noise } from '../../test/fakes/registry.ts'
import { type SourceKit, sourceOver } from '../../test/fakes/registry-source.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'

const folder = mkdtempSync(join(tmpdir(), 'shoal-authenticator-'))
const credentialsFile = join(folder, 'config.json')
const tag = parseTag('v1')
const password = 'hunter2-secret'
afterAll(() => rmSync(folder, { recursive: true }))

function logIn(host: string, entry: Record<string, string>): void {
  writeFileSync(credentialsFile, JSON.stringify({ auths: { [host]: entry } }))
}

function basicEntry(text = `me:${password}`): Record<string, string> {
  return { auth: Buffer.from(text).toString('base64') }
}

describe('before a registry that wants to know who asks', () => {
  let registry: FakeRegistry
  let image: FakeImage
  beforeEach(async () => {
    registry = await FakeRegistry.start()
    image = registry.image('org/app', 'v1', [noise(1000)])
    registry.image('org/other', 'v1', [noise(1000)])
    writeFileSync(credentialsFile, '{}')
  })
  afterEach(() => registry.stop())

  const tokenRequests = () => registry.requests.filter((r) => r.path.startsWith('/token'))
  const read = async ({ source, repository }: SourceKit) =>
    collect((await source.open({ repository, kind: 'blob', digest: image.layers[0]! }, 0)).body)

  test('Basic: sends the credentials after the first refusal, and from then on at once', async () => {
    registry.auth = { kind: 'basic', user: 'me', password }
    logIn(registry.host, basicEntry())
    const kit = sourceOver(registry, { credentialsFile })
    expect((await kit.source.resolve(kit.repository, tag)).digest).toBe(image.manifest)
    await read(kit)
    expect(registry.requests.map((r) => r.status)).toEqual([401, 200, 200])
  })

  test('Basic: credentials that are added later count without a restart', async () => {
    registry.auth = { kind: 'basic', user: 'me', password }
    const { source, repository } = sourceOver(registry, { credentialsFile })
    await refuses(source.resolve(repository, tag), 'denied')
    logIn(registry.host, basicEntry())
    expect((await source.resolve(repository, tag)).digest).toBe(image.manifest)
  })

  test('Bearer: gets one token anonymously for the scope, and uses it for all that follows', async () => {
    registry.auth = { kind: 'bearer' }
    const kit = sourceOver(registry)
    await kit.source.resolve(kit.repository, tag)
    await read(kit)
    const [asked, ...more] = tokenRequests()
    expect(more).toEqual([])
    expect(Object.fromEntries(new URL(asked!.path, registry.url).searchParams)).toEqual({
      service: registry.host,
      scope: 'repository:org/app:pull',
    })
    expect(asked!.headers.authorization).toBeUndefined()
  })

  test('Bearer: concurrent requests share one token', async () => {
    registry.auth = { kind: 'bearer' }
    registry.fault({ path: '/token', times: 1, status: 503 })
    const kit = sourceOver(registry)
    await Promise.all(Array.from({ length: 8 }, () => read(kit)))
    expect(registry.tokens).toHaveLength(1)
  })

  test('Bearer: each repository has a token of its own', async () => {
    registry.auth = { kind: 'bearer' }
    const { source, repository } = sourceOver(registry)
    await source.resolve(repository, tag)
    await source.resolve(repositoryOf(registry.host, 'org/other'), tag)
    expect(registry.tokens).toHaveLength(2)
    expect(new Set(registry.tokens.map((token) => token.split('-')[2])).size).toBe(2)
  })

  test('Bearer: a token is renewed before it expires, not after a refusal', async () => {
    registry.auth = { kind: 'bearer', expiresSeconds: 100 }
    const { source, repository, clock } = sourceOver(registry)
    await source.resolve(repository, tag)
    clock.skip(50_000)
    await source.resolve(repository, tag)
    expect(registry.tokens).toHaveLength(1)
    clock.skip(30_000)
    await source.resolve(repository, tag)
    expect(registry.tokens).toHaveLength(2)
    expect(registry.requests.filter((r) => r.status === 401)).toHaveLength(1)
  })

  test('Bearer: a token that was revoked is replaced after one refusal', async () => {
    registry.auth = { kind: 'bearer' }
    const { source, repository } = sourceOver(registry)
    await source.resolve(repository, tag)
    registry.tokens = []
    await source.resolve(repository, tag)
    expect(registry.tokens).toHaveLength(1)
    expect(registry.requests.filter((r) => r.status === 401)).toHaveLength(2)
  })

  test('Bearer: the password goes to the token server alone', async () => {
    registry.auth = { kind: 'bearer', user: 'me', password }
    logIn(registry.host, basicEntry())
    await read(sourceOver(registry, { credentialsFile }))
    const others = registry.requests.filter((r) => !r.path.startsWith('/token'))
    expect(tokenRequests()[0]!.headers.authorization).toStartWith('Basic ')
    expect(others.filter((r) => String(r.headers.authorization ?? '').startsWith('Basic'))).toEqual([])
  })

  test('Bearer: an identity token is exchanged by POST', async () => {
    registry.auth = { kind: 'bearer', user: 'nobody', identityToken: 'refresh-me' }
    logIn(registry.host, { identitytoken: 'refresh-me' })
    await read(sourceOver(registry, { credentialsFile }))
    expect(tokenRequests().map((r) => r.method)).toEqual(['POST'])
  })

  test('Bearer: an identity token is not sent on when the token server redirects', async () => {
    const thief = await FakeRegistry.start()
    registry.auth = { kind: 'bearer', identityToken: 'refresh-me' }
    registry.fault({ path: '/token', status: 307, headers: { location: `${thief.url.origin}/token` } })
    logIn(registry.host, { identitytoken: 'refresh-me' })
    const failure = await refuses(read(sourceOver(registry, { credentialsFile })), 'unavailable')
    expect(failure.message).toContain('carries credentials')
    expect(thief.requests).toEqual([])
    await thief.stop()
  })

  test('Bearer: a registry token is sent as it is', async () => {
    registry.auth = { kind: 'bearer', user: 'nobody' }
    registry.tokens = ['ready-made']
    logIn(registry.host, { registrytoken: 'ready-made' })
    await read(sourceOver(registry, { credentialsFile }))
    expect(tokenRequests()).toEqual([])
  })

  test('a registry that changes from Bearer to Basic is understood', async () => {
    logIn(registry.host, basicEntry())
    const kit = sourceOver(registry, { credentialsFile })
    registry.auth = { kind: 'bearer', user: 'me', password }
    await read(kit)
    registry.auth = { kind: 'basic', user: 'me', password }
    kit.clock.skip(3_600_000)
    await read(kit)
  })

  test('a challenge that names Basic and Bearer is met with a token', async () => {
    registry.auth = { kind: 'bearer' }
    const both = `Basic realm="x", Bearer realm="${registry.url.origin}/token",service="s"`
    registry.fault({ path: '/blobs/', times: 1, status: 401, headers: { 'www-authenticate': both } })
    await read(sourceOver(registry))
    expect(registry.tokens).toHaveLength(1)
  })

  test.each(['not a url', 'file:///etc/passwd', ''])('a token server %p is not asked', async (realm) => {
    registry.auth = { kind: 'bearer', realm }
    await refuses(read(sourceOver(registry)), 'unavailable')
  })

  test('an answer without a token is corrupt', async () => {
    registry.auth = { kind: 'bearer' }
    registry.fault({ path: '/token', status: 200, body: '{"token":"with\\nnewline"}' })
    const failure = await refuses(read(sourceOver(registry)), 'corrupt')
    expect(failure.message).toContain('answered without a token')
  })

  test('a refusal says where credentials are missing', async () => {
    registry.auth = { kind: 'bearer', user: 'me', password }
    const anonymous = await refuses(read(sourceOver(registry, { credentialsFile })), 'denied')
    expect(anonymous.message).toContain(`put credentials for ${registry.host} into ${credentialsFile}`)
    expect(anonymous.detail).toEqual({ status: 401 })
    const nowhere = await refuses(read(sourceOver(registry)), 'denied')
    expect(nowhere.message).toContain('was given no credentials file')
  })

  test('a refusal of credentials says so, and neither it nor the log holds them', async () => {
    registry.auth = { kind: 'bearer', user: 'me', password: 'another one' }
    logIn(registry.host, basicEntry())
    const kit = sourceOver(registry, { credentialsFile })
    const failure = await refuses(read(kit), 'denied')
    expect(failure.message).toContain(`the credentials for ${registry.host} in ${credentialsFile} do not allow it`)
    registry.auth = { kind: 'basic', user: 'me', password: 'another one' }
    const plain = await refuses(read(kit), 'denied')
    const seen = Bun.inspect([failure, plain, kit], { depth: 20 }) + kit.log.lines.join('\n')
    expect(seen).not.toContain(password)
    expect(seen).not.toContain(basicEntry().auth!)
  })

  test('is asked no more than twice when it refuses for good', async () => {
    registry.auth = { kind: 'basic', user: 'me', password: 'another one' }
    logIn(registry.host, basicEntry())
    await refuses(read(sourceOver(registry, { credentialsFile })), 'denied')
    expect(registry.requests.map((r) => r.status)).toEqual([401, 401])
  })
})
