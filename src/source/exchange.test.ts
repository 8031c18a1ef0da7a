/** Redirects, deadlines and certificates. */
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { collect, refuses } from '../../test/conformance/source.ts'
import { FakeRegistry, noise } from '../../test/fakes/registry.ts'
import { type SourceKit, sourceOver } from '../../test/fakes/registry-source.ts'
import { systemClock } from '../clock.ts'
import { digestOf } from '../oci/digest.ts'
import { parseTag } from '../oci/reference.ts'
import { Reach } from './reach.ts'

const layer = noise(300_000, 5)
const digest = digestOf(layer)
const tag = parseTag('v1')
const folder = mkdtempSync(join(tmpdir(), 'shoal-exchange-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** Names that no resolver knows are this host, where the registries of these tests may send to. */
const toThisHost = () => new Reach(systemClock, { lookup: async () => ['127.0.0.1'], proxy: () => undefined })

const read = async ({ source, repository }: SourceKit) =>
  collect((await source.open({ repository, kind: 'blob', digest }, 0)).body)

describe('a registry that redirects', () => {
  let registry: FakeRegistry
  let storage: FakeRegistry
  beforeEach(async () => {
    registry = await FakeRegistry.start()
    storage = await FakeRegistry.start()
    for (const one of [registry, storage]) one.image('org/app', 'v1', [layer])
  })
  afterEach(() => Promise.all([registry.stop(), storage.stop()]))

  test('is followed, and the other host sees no credentials', async () => {
    registry.auth = { kind: 'basic', user: 'me', password: 'secret' }
    const credentialsFile = join(folder, 'config.json')
    writeFileSync(
      credentialsFile,
      JSON.stringify({ auths: { [registry.host]: { username: 'me', password: 'secret' } } }),
    )
    registry.fault({ path: '/blobs/', redirect: storage.url.origin })
    expect(digestOf(await read(sourceOver(registry, { credentialsFile })))).toBe(digest)
    expect(registry.requests.map((r) => r.status)).toEqual([401, 307])
    expect(storage.requests).toHaveLength(1)
    expect(storage.requests[0]!.headers.authorization).toBeUndefined()
  })

  test('is followed to the address that its name was found to have, under that name', async () => {
    const redirect = `http://storage.test:${storage.url.port}`
    registry.fault({ path: '/blobs/', redirect })
    expect(digestOf(await read(sourceOver(registry, { reach: toThisHost() })))).toBe(digest)
    expect(storage.requests[0]!.headers.host).toBe(`storage.test:${storage.url.port}`)
  })

  test('is followed to another address of its name when one refuses, at once', async () => {
    const offered: string[] = []
    // Nothing listens at the first; it was chosen when something did.
    const choose = async (addresses: readonly string[]) => {
      offered.push(addresses.join(' '))
      return addresses[0]
    }
    const lookup = async () => ['127.0.0.3', '127.0.0.1', '127.0.0.4']
    const reach = new Reach(systemClock, { lookup, choose, proxy: () => undefined })
    registry.fault({ path: '/blobs/', redirect: `http://storage.test:${storage.url.port}` })
    const kit = sourceOver(registry, { reach })
    for (let i = 0; i < 2; i++) expect(digestOf(await read(kit))).toBe(digest)
    expect(registry.requests).toHaveLength(2)
    expect(storage.requests).toHaveLength(2)
    expect(offered).toEqual(['127.0.0.3 127.0.0.1 127.0.0.4', '127.0.0.1 127.0.0.4'])
  })

  test('is given up when no address of its name takes connections', async () => {
    const lookup = async () => ['127.0.0.3', '127.0.0.4']
    const reach = new Reach(systemClock, { lookup, choose: async ([first]) => first, proxy: () => undefined })
    registry.fault({ path: '/blobs/', redirect: `http://storage.test:${storage.url.port}` })
    const { source, repository, metrics } = sourceOver(registry, { reach })
    const opened = source.open({ repository, kind: 'blob', digest }, 0)
    expect((await refuses(opened, 'unavailable')).message).toContain('nothing listens there')
    const { values } = await metrics.sourceRequests.get()
    // Four tries, each of both.
    expect(values.find(({ labels }) => labels.status === 'error')?.value).toBe(8)
    expect(storage.requests).toEqual([])
  })

  test('is asked again, from where it stopped, when the other host breaks off', async () => {
    registry.fault({ path: '/blobs/', redirect: storage.url.origin })
    storage.fault({ cutAfter: 100_000, times: 1 })
    let received = 0
    const limit = async (bytes: number) => {
      received += bytes
    }
    expect(digestOf(await read(sourceOver(registry, { limit })))).toBe(digest)
    // What lay unread when the connection broke is lost with it, but nothing that was received came twice.
    const [first, second] = storage.requests.map((r) =>
      Number(/^bytes=([0-9]+)-$/.exec(String(r.headers.range))?.[1] ?? 0),
    )
    expect([first, received]).toEqual([0, layer.length])
    expect(second).toBeLessThanOrEqual(100_000)
    expect([storage.requests, registry.requests].map(({ length }) => length)).toEqual([2, 2])
  })

  test('keeps its credentials within one origin', async () => {
    registry.auth = { kind: 'bearer' }
    registry.fault({ path: '/blobs/', redirect: registry.url.origin, times: 2 })
    expect(digestOf(await read(sourceOver(registry)))).toBe(digest)
    expect(registry.requests.at(-1)!.headers.authorization).toStartWith('Bearer ')
  })

  test('in a circle is given up', async () => {
    registry.fault({ path: '/blobs/', redirect: registry.url.origin })
    const failure = await refuses(read(sourceOver(registry)), 'unavailable')
    expect(failure.message).toContain('redirected more than 5 times')
    expect(registry.requests).toHaveLength(6)
  })

  test.each([
    ['file:///etc/passwd', 'to a file: URL'],
    ['http://[', 'not a URL'],
  ])('to %s is not followed', async (location, why) => {
    registry.fault({ path: '/blobs/', status: 307, headers: { location } })
    expect((await refuses(read(sourceOver(registry)), 'unavailable')).message).toContain(why)
    expect(registry.requests).toHaveLength(1)
  })

  test('to a host that refuses says which', async () => {
    registry.fault({ path: '/blobs/', redirect: storage.url.origin })
    storage.fault({ status: 403 })
    const failure = await refuses(read(sourceOver(registry)), 'denied')
    expect(failure.message).toContain(`HTTP 403 from ${storage.host}`)
  })

  test('to a host that wants a login gives none to it, nor to the token server that it names', async () => {
    storage.auth = { kind: 'bearer', user: 'me', password: 'secret' }
    const credentialsFile = join(folder, 'elsewhere.json')
    writeFileSync(
      credentialsFile,
      JSON.stringify({ auths: { [registry.host]: { username: 'me', password: 'secret' } } }),
    )
    registry.fault({ path: '/blobs/', redirect: storage.url.origin })
    const failure = await refuses(read(sourceOver(registry, { credentialsFile })), 'denied')
    expect(failure.message).toContain(`HTTP 401 (UNAUTHORIZED) from ${storage.host}`)
    expect(storage.requests.map((r) => [r.status, r.headers.authorization])).toEqual([[401, undefined]])
  })

  test('does not put the signature of a URL into its failures', async () => {
    const gone = storage.host
    await storage.stop()
    registry.fault({ path: '/blobs/', status: 307, headers: { location: `http://${gone}/blob?X-Signature=hunter2` } })
    const failure = await refuses(read(sourceOver(registry)), 'unavailable')
    expect(failure.message).toContain('nothing listens there')
    expect(Bun.inspect(failure, { depth: 20 })).not.toContain('hunter2')
    storage = await FakeRegistry.start()
  })
})

describe('a registry that does not answer', () => {
  test('is given up after its deadline and some tries', async () => {
    const registry = await FakeRegistry.start()
    registry.fault({ silent: true })
    const timeouts = { headersMs: 10_000, idleMs: 600_000 }
    const { source, repository, metrics } = sourceOver(registry, { timeouts })
    const failure = await refuses(source.resolve(repository, tag), 'unavailable')
    expect(failure.message).toContain('no answer within 10 s')
    const { values } = await metrics.sourceRequests.get()
    expect(values).toEqual([{ value: 4, labels: { source: registry.host, status: 'timeout' } }])
    await registry.stop()
  })

  test('is given up at once when the caller does', async () => {
    const registry = await FakeRegistry.start()
    registry.fault({ silent: true })
    const { source, repository } = sourceOver(registry)
    const controller = new AbortController()
    const resolving = source.resolve(repository, tag, controller.signal)
    while (registry.requests.length === 0) await Bun.sleep(1)
    controller.abort()
    await refuses(resolving, 'cancelled')
    await registry.stop()
  })

  test('because nothing listens says so', async () => {
    const registry = await FakeRegistry.start()
    await registry.stop()
    const { source, repository } = sourceOver(registry)
    const failure = await refuses(source.resolve(repository, tag), 'unavailable')
    expect(failure.message).toBe(`registry ${registry.host} cannot be used now: nothing listens there (ECONNREFUSED)`)
    expect(failure.retry).toBe(true)
  })
})

const openssl = Bun.which('openssl')
if (openssl === null) console.warn('skipped: a registry behind TLS, because openssl is not installed')

describe.skipIf(openssl === null)('a registry behind TLS', () => {
  let registry: FakeRegistry
  const caFile = join(folder, 'cert.pem')
  beforeEach(async () => {
    const key = join(folder, 'key.pem')
    const subject = ['-subj', '/CN=shoal test', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:storage.test']
    const made = Bun.spawnSync([
      ...[openssl!, 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'],
      ...['-nodes', '-days', '2', '-keyout', key, '-out', caFile, ...subject],
    ])
    expect(made.exitCode).toBe(0)
    registry = await FakeRegistry.start({
      tls: { key: readFileSync(key, 'utf8'), cert: readFileSync(caFile, 'utf8') },
    })
    registry.image('org/app', 'v1', [layer])
  })
  afterEach(() => registry.stop())

  test('is trusted with its own CA file', async () => {
    const upstreams = new Map([[registry.host, [{ url: registry.url, caFile }]]])
    expect(digestOf(await read(sourceOver(registry, { upstreams })))).toBe(digest)
  })

  test('is trusted with the CA file of all registries', async () => {
    expect(digestOf(await read(sourceOver(registry, { caFile })))).toBe(digest)
  })

  test('is not reached on this host unless it is listed, whoever vouches for it', async () => {
    const failure = await refuses(
      read(sourceOver(registry, { upstreams: new Map(), onlyListed: false, caFile })),
      'not-listed',
    )
    expect(failure.message).toContain(`--upstream ${registry.host}=https://${registry.host}`)
    expect(registry.requests).toEqual([])
  })

  test('is not trusted without, is not asked again, and the failure says what to do', async () => {
    const { source, repository, clock } = sourceOver(registry)
    const failure = await refuses(source.resolve(repository, tag), 'unavailable')
    expect(failure.message).toContain('has a certificate that is not trusted')
    expect(failure.message).toContain('add its authority to --ca-file and restart the node')
    expect(clock.waits).toHaveLength(1)
    expect(registry.requests).toEqual([])
  })

  test('must prove its name at the address that the name was found to have, and each name anew', async () => {
    const { port } = registry.url
    const kit = sourceOver(registry, { caFile, reach: toThisHost() })
    for (const [name, code] of [
      ['storage.test', undefined],
      ['other.test', 'unavailable'],
      ['storage.test', undefined],
    ] as const) {
      registry.fault({ path: '/blobs/', redirect: `https://${name}:${port}`, times: 1 })
      if (code === undefined) expect(digestOf(await read(kit))).toBe(digest)
      else expect((await refuses(read(kit), code)).message).toContain('certificate that is not trusted')
    }
    const hosts = registry.requests.map((r) => r.headers.host).filter((host) => host !== registry.host)
    expect(hosts).toEqual([`storage.test:${port}`, `storage.test:${port}`])
  })

  test('is not followed to plain http', async () => {
    const plain = await FakeRegistry.start()
    registry.fault({ path: '/blobs/', redirect: plain.url.origin })
    const failure = await refuses(read(sourceOver(registry, { caFile })), 'unavailable')
    expect(failure.message).toContain(`to unencrypted http at ${plain.host}`)
    expect(plain.requests).toEqual([])
    await plain.stop()
  })

  test('is not followed to a token server on plain http', async () => {
    const plain = await FakeRegistry.start({ auth: { kind: 'bearer' } })
    registry.auth = { kind: 'bearer', realm: `${plain.url.origin}/token` }
    const failure = await refuses(read(sourceOver(registry, { caFile })), 'unavailable')
    expect(failure.message).toContain('names a token server that is not encrypted')
    expect(plain.requests).toEqual([])
    await plain.stop()
  })
})
