import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { collect, refuses } from '../../test/conformance/source.ts'
import { noise } from '../../test/fakes/registry.ts'
import { HurriedClock, RecordedLog } from '../../test/fakes/registry-source.ts'
import { LabRegistry } from '../../test/lab/registry.ts'
import { seededRandom } from '../clock.ts'
import { digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { RegistrySource } from './registry-source.ts'
import { type Readable, RegistryWriter, type RegistryWriterOptions } from './registry-writer.ts'

const account = { user: 'me', password: 'hunter2' }
const run = 64 * 1024
const small = noise(run - 5, 3)
const large = noise(5 * run + 17, 4)

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-writer-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

function optionsFor(url: string, options: Partial<RegistryWriterOptions> = {}) {
  const { host } = new URL(url)
  const auth = Buffer.from(`${account.user}:${account.password}`).toString('base64')
  const credentialsFile = join(dir, 'config.json')
  writeFileSync(credentialsFile, JSON.stringify({ auths: { [host]: { auth } } }))
  const log = new RecordedLog()
  return {
    log,
    host,
    options: {
      upstreams: new Map([[host, [{ url: new URL(url) }]]]),
      credentialsFile,
      clock: new HurriedClock(),
      random: seededRandom(1),
      log,
      metrics: createMetrics(),
      timeouts: { headersMs: 600_000, idleMs: 600_000 },
      ...options,
    },
  }
}

function readable(bytes: Uint8Array, reads: number[] = []): Readable {
  return {
    digest: digestOf(bytes),
    size: bytes.length,
    async *read(start) {
      reads.push(start)
      for (let at = start; at < bytes.length; at += 10_000) yield bytes.subarray(at, at + 10_000)
    },
  }
}

describe.skipIf(Bun.which('docker-registry') === null)('a real registry', () => {
  let registry: LabRegistry
  let folder: string
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'shoal-writer-registry-'))
    registry = await LabRegistry.start({ dir: folder, account })
  })
  afterAll(async () => {
    await registry.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  const setUp = (more: Partial<RegistryWriterOptions> = {}) => {
    const { options, host, log } = optionsFor(registry.url, more)
    const repository = repositoryOf(host, 'org/app')
    const source = new RegistrySource({ ...options, onlyListed: true, metrics: createMetrics() })
    return { writer: new RegistryWriter(options, run), source, repository, host, log }
  }

  test('has afterwards what was put there, blobs of one run and of many, manifest and tag', async () => {
    const { writer, source, repository } = setUp()
    for (const bytes of [small, large]) {
      expect(await writer.putBlob(repository, readable(bytes))).toBe('sent')
      const { body } = await source.open({ repository, kind: 'blob', digest: digestOf(bytes) }, 0)
      expect(digestOf(await collect(body))).toBe(digestOf(bytes))
    }
    const bytes = manifestOf(small, large)
    const mediaType = manifestTypes.ociManifest
    const tag = parseTag('v1')
    expect(await writer.resolve(repository, tag)).toBeUndefined()
    expect(await writer.has({ repository, kind: 'manifest', digest: digestOf(bytes) })).toBe(false)
    // It knows nothing of referrers.
    expect(await writer.putManifest(repository, digestOf(bytes), { bytes, mediaType })).toEqual({ subject: false })
    await writer.putManifest(repository, tag, { bytes, mediaType })
    expect(await writer.resolve(repository, tag)).toBe(digestOf(bytes))
    expect(await writer.has({ repository, kind: 'manifest', digest: digestOf(bytes) })).toBe(true)
  })

  test('is not sent what it has', async () => {
    const { writer, repository } = setUp()
    const bytes = noise(1000, 21)
    await writer.putBlob(repository, readable(bytes))
    const reads: number[] = []
    expect(await writer.putBlob(repository, readable(bytes, reads))).toBe('there already')
    expect(reads).toEqual([])
  })

  test('takes over from another repository what is there', async () => {
    const { writer, repository, host } = setUp()
    const bytes = noise(1000, 22)
    await writer.putBlob(repository, readable(bytes))
    const reads: number[] = []
    const other = repositoryOf(host, 'org/other')
    expect(await writer.putBlob(other, readable(bytes, reads), { from: [repository] })).toBe('mounted')
    expect(reads).toEqual([])
    expect(await writer.has({ repository: other, kind: 'blob', digest: digestOf(bytes) })).toBe(true)
  })

  test('is sent what is not where it was thought to be', async () => {
    const { writer, repository, host } = setUp()
    const from = [repositoryOf(host, 'nobody/knows')]
    expect(await writer.putBlob(repository, readable(noise(1000, 23)), { from })).toBe('sent')
  })

  test('takes away a manifest, and what is not there is no error', async () => {
    const { writer, repository } = setUp()
    await writer.putBlob(repository, readable(small))
    const bytes = manifestOf(small)
    const location = { repository, kind: 'manifest', digest: digestOf(bytes) } as const
    await writer.putManifest(repository, location.digest, { bytes, mediaType: manifestTypes.ociManifest })
    await writer.remove(location)
    expect(await writer.has(location)).toBe(false)
    await writer.remove(location)
  })

  test('refuses bytes that are not what was promised, and nothing of them is there', async () => {
    const { writer, repository } = setUp()
    const wrong = { ...readable(noise(1000, 24)), digest: digestOf(Buffer.from('another')) }
    await refuses(writer.putBlob(repository, wrong), 'bad-request')
    expect(await writer.has({ repository, kind: 'blob', digest: wrong.digest })).toBe(false)
    const short = { ...readable(noise(1000, 25)), size: 1001 }
    await refuses(writer.putBlob(repository, short), 'corrupt')
  })

  test('lets in nobody without a login, and says what to do', async () => {
    const { writer, repository } = setUp({ credentialsFile: join(dir, 'none.json') })
    const failure = await refuses(writer.putBlob(repository, readable(small)), 'denied')
    expect(failure.message).toContain(`put credentials for ${repository.registry} into`)
  })

  test('is sent no faster than the limit says', async () => {
    let asked = 0
    const { writer, repository } = setUp({
      limit: async (bytes) => {
        asked += bytes
      },
    })
    const bytes = noise(3 * run, 26)
    await writer.putBlob(repository, readable(bytes))
    expect(asked).toBe(bytes.length)
  })
})

describe('a registry that is not at its best', () => {
  const bytes = noise(4 * run + 3, 30)
  let server: Bun.Server<undefined> | undefined
  afterEach(async () => {
    await server?.stop(true)
    server = undefined
  })

  /** Uploads as one registry keeps them; `meddle` answers in its place. */
  function serve(meddle: (request: Request, count: number) => Response | undefined | Promise<Response | undefined>) {
    const taken: Buffer[] = []
    const requests: { method: string; path: string; login: string | null }[] = []
    const blobs = new Map<string, Buffer>()
    server = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      async fetch(request) {
        const url = new URL(request.url)
        const { method } = request
        requests.push({ method, path: url.pathname, login: request.headers.get('authorization') })
        const instead = await meddle(request, requests.filter((r) => r.method === method).length)
        if (instead) return instead
        const location = { location: '/v2/org/app/blobs/uploads/1?state=x' }
        const range = () => ({ range: `0-${Math.max(0, Buffer.concat(taken).length - 1)}` })
        if (method === 'HEAD') return new Response(null, { status: blobs.has(url.pathname) ? 200 : 404 })
        if (method === 'POST') {
          taken.length = 0
          return new Response(null, { status: 202, headers: location })
        }
        if (method === 'GET') return new Response(null, { status: 204, headers: { ...location, ...range() } })
        const body = Buffer.from(await request.arrayBuffer())
        if (method === 'PATCH') {
          const start = Number(request.headers.get('content-range')?.split('-')[0])
          if (start !== Buffer.concat(taken).length) return new Response(null, { status: 416 })
          taken.push(body)
          return new Response(null, { status: 202, headers: { ...location, ...range() } })
        }
        taken.push(body)
        const whole = Buffer.concat(taken)
        if (digestOf(whole) !== url.searchParams.get('digest')) return new Response(null, { status: 400 })
        blobs.set(`/v2/org/app/blobs/${digestOf(whole)}`, whole)
        return new Response(null, { status: 201 })
      },
    })
    const { options, host, log } = optionsFor(`http://127.0.0.1:${server.port}`)
    const repository = repositoryOf(host, 'org/app')
    return { writer: new RegistryWriter(options, run), repository, requests, log, host }
  }

  test('that breaks off in the middle is asked how far it came, and is sent the rest', async () => {
    const { writer, repository, requests } = serve((request, count) =>
      request.method === 'PATCH' && count === 3 ? new Response(null, { status: 503 }) : undefined,
    )
    const reads: number[] = []
    expect(await writer.putBlob(repository, readable(bytes, reads))).toBe('sent')
    expect(reads).toEqual([0, run, 2 * run, 2 * run, 3 * run, 4 * run])
    expect(requests.filter(({ method }) => method === 'GET')).toHaveLength(1)
  })

  test('that takes no blobs in runs is sent all of it at once', async () => {
    const { writer, repository, requests } = serve((request) =>
      request.method === 'PATCH' ? new Response(null, { status: 405 }) : undefined,
    )
    expect(await writer.putBlob(repository, readable(bytes))).toBe('sent')
    expect(requests.map(({ method }) => method)).toEqual(['HEAD', 'POST', 'PATCH', 'POST', 'PUT'])
  })

  test('that fails with a small blob is sent it again, in an upload of its own', async () => {
    const { writer, repository, requests } = serve((request, count) =>
      request.method === 'PUT' && count === 1 ? new Response(null, { status: 502 }) : undefined,
    )
    expect(await writer.putBlob(repository, readable(small))).toBe('sent')
    expect(requests.map(({ method }) => method)).toEqual(['HEAD', 'POST', 'PUT', 'POST', 'PUT'])
  })

  test('that says nothing about where an upload goes on is not believed', async () => {
    const { writer, repository } = serve((request) =>
      request.method === 'POST' ? new Response(null, { status: 202 }) : undefined,
    )
    await refuses(writer.putBlob(repository, readable(small)), 'corrupt')
  })

  test('that sends an upload elsewhere does not send the login there', async () => {
    const logins: (string | null)[] = []
    const other = Bun.serve({
      hostname: '127.0.0.1',
      port: 0,
      async fetch(request) {
        logins.push(request.headers.get('authorization'))
        await request.arrayBuffer()
        return new Response(null, { status: 201 })
      },
    })
    try {
      const { writer, repository, requests } = serve((request) => {
        if (!request.headers.has('authorization')) {
          return new Response(null, { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' } })
        }
        const location = `http://127.0.0.1:${other.port}/upload`
        return request.method === 'POST' ? new Response(null, { status: 202, headers: { location } }) : undefined
      })
      expect(await writer.putBlob(repository, readable(small))).toBe('sent')
      expect(requests.some(({ login }) => login?.startsWith('Basic '))).toBe(true)
      expect(logins).toEqual([null])
    } finally {
      await other.stop(true)
    }
  })

  test('that takes nothing for long is given up, however much is to be sent', async () => {
    const { options, host } = optionsFor('http://127.0.0.1:1', {
      retry: { attempts: 1, firstMs: 1, maxMs: 1, patienceMs: 1 },
    })
    const deaf = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
    try {
      const url = new URL(`http://127.0.0.1:${deaf.port}`)
      const writer = new RegistryWriter({
        ...options,
        upstreams: new Map([[host, [{ url }]]]),
        timeouts: { headersMs: 20_000, idleMs: 20_000 },
      })
      const failure = await refuses(writer.putBlob(repositoryOf(host, 'org/app'), readable(small)), 'unavailable')
      expect(failure.message).toContain('no answer within 20 s')
    } finally {
      deaf.stop(true)
    }
  })

  test('gets no login into the log', async () => {
    const { writer, repository, log } = serve((request, count) =>
      request.method === 'PATCH' && count < 3 ? new Response(null, { status: 500 }) : undefined,
    )
    await writer.putBlob(repository, readable(bytes))
    expect(log.lines.length).toBeGreaterThan(0)
    for (const line of log.lines) expect(line).not.toContain(account.password)
  })
})

function manifestOf(...layers: readonly Uint8Array[]): Uint8Array {
  const describe = (bytes: Uint8Array, mediaType: string) => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
  })
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestTypes.ociManifest,
      config: describe(layers[0]!, 'application/vnd.oci.image.config.v1+json'),
      layers: layers.map((layer) => describe(layer, 'application/vnd.oci.image.layer.v1.tar')),
    }),
  )
}
