import { describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { FakeContent } from '../../test/fakes/content.ts'
import type { Wanted } from '../content/content.ts'
import { Failure, type FailureCode } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import type { Visitor } from '../rights/visitor.ts'
import type { Fields, Log } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createRegistry } from './registry.ts'

const encode = (text: string) => new TextEncoder().encode(text)
const unknown = digestOf(encode('unknown'))
const layer = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7) >> 4)

function setUp() {
  const content = new FakeContent()
  const clock = new FakeClock()
  const metrics = createMetrics()
  const lines: { level: string; message: string; fields: Fields }[] = []
  const line =
    (level: string) =>
    (message: string, fields: Fields = {}) =>
      void lines.push({ level, message, fields })
  const log: Log = {
    debug: line('debug'),
    info: line('info'),
    warn: line('warn'),
    error: line('error'),
    child: () => log,
  }
  const app = createRegistry({ content, clock, metrics, log, random: () => 0.5 })
  const get = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
    app.request(path, { method, headers })
  const counted = async (name: string) =>
    (await metrics.registry.metrics()).split('\n').filter((line) => line.startsWith(name) && !line.startsWith('#'))
  return { content, clock, metrics, log, lines, get, counted }
}

async function errorsOf(response: Response) {
  return ((await response.json()) as { errors: { code: string; message: string; detail: unknown }[] }).errors
}
async function errorOf(response: Response) {
  const errors = await errorsOf(response)
  expect(errors).toHaveLength(1)
  return errors[0]!
}

test('the base answers that this is a registry', async () => {
  const { get } = setUp()
  const response = await get('/v2/')
  expect(response.status).toBe(200)
  expect(response.headers.get('docker-distribution-api-version')).toBe('registry/2.0')
  expect(await response.text()).toBe('{}')
  const head = await get('/v2/', {}, 'HEAD')
  expect([head.status, await head.text()]).toEqual([200, ''])
})

describe('a client', () => {
  const basic = `Basic ${btoa('ann:open-sesame')}`
  /** An app that gives each client a manifest named after it. */
  function setUpForEach() {
    const { log, clock, metrics } = setUp()
    const content = ({ credential }: Visitor) => {
      const its = new FakeContent()
      its.manifest = credential ? its.manifest : () => Promise.reject(new Failure('unauthorized', 'show who you are'))
      const name = credential?.kind === 'basic' ? credential.username : 'nobody'
      its.addManifest('library/app', encode(JSON.stringify({ for: name })), 'v1')
      return its
    }
    const app = createRegistry({ content, clock, metrics, log })
    return (path: string, headers: Record<string, string> = {}) => app.request(path, { headers })
  }

  test('hears that credentials may make a difference, before it shows any and when they would have', async () => {
    const get = setUpForEach()
    for (const [path, status] of [
      ['/v2/', 200],
      ['/v2/app/manifests/v1', 401],
    ] as const) {
      const response = await get(path)
      expect(response.status).toBe(status)
      expect(response.headers.get('www-authenticate')).toMatch(/^Basic realm="[^"]+"$/)
    }
    expect((await errorOf(await get('/v2/app/manifests/v1'))).code).toBe('UNAUTHORIZED')
  })

  test('gets what it may have by what it shows', async () => {
    const get = setUpForEach()
    expect(await (await get('/v2/app/manifests/v1', { authorization: basic })).json()).toEqual({ for: 'ann' })
  })
})

describe('a manifest', () => {
  const manifest = encode('{ "mediaType": "application/vnd.oci.image.index.v1+json",\n\t"manifests": [] }')

  test('is sent byte for byte with its digest and type, by tag and by digest', async () => {
    const { content, get } = setUp()
    const digest = content.addManifest('library/app', manifest, 'v1')
    for (const path of [
      '/v2/library/app/manifests/v1',
      '/v2/app/manifests/v1',
      `/v2/library/app/manifests/${digest}`,
    ]) {
      const response = await get(path)
      expect(response.status).toBe(200)
      expect(response.headers.get('docker-content-digest')).toBe(digest)
      expect(response.headers.get('etag')).toBe(`"${digest}"`)
      expect(response.headers.get('content-type')).toBe('application/vnd.oci.image.index.v1+json')
      expect(response.headers.get('content-length')).toBe(String(manifest.length))
      expect(await response.bytes()).toEqual(manifest)
    }
  })

  test('is described by HEAD without its bytes', async () => {
    const { content, get } = setUp()
    content.addManifest('ghcr.io/org/app', manifest, 'v1')
    const response = await get('/v2/org/app/manifests/v1?ns=ghcr.io', {}, 'HEAD')
    expect(response.headers.get('content-length')).toBe(String(manifest.length))
    expect(await response.text()).toBe('')
  })

  test('that the client has already is not sent again', async () => {
    const { content, get } = setUp()
    const digest = content.addManifest('library/app', manifest, 'v1')
    for (const etag of [`"${digest}"`, `W/"${digest}"`, '*', `"x", "${digest}"`]) {
      const response = await get('/v2/app/manifests/v1', { 'if-none-match': etag })
      expect([response.status, await response.text()]).toEqual([304, ''])
      expect(response.headers.get('etag')).toBe(`"${digest}"`)
    }
    expect((await get('/v2/app/manifests/v1', { 'if-none-match': '"x"' })).status).toBe(200)
  })

  test('that is nowhere is a 404 in the words of the specification', async () => {
    const { get, counted } = setUp()
    const response = await get('/v2/app/manifests/v1')
    expect(response.status).toBe(404)
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(await errorOf(response)).toMatchObject({ code: 'MANIFEST_UNKNOWN' })
    expect(await counted('shoal_registry_requests_total')).toEqual([
      'shoal_registry_requests_total{method="GET",kind="manifest",status="404"} 1',
    ])
  })
})

describe('a blob', () => {
  const prepared = () => {
    const setup = setUp()
    const digest = setup.content.addBlob({ bytes: layer, from: 'swarm', mediaType: 'application/x-layer' })
    const path = `/v2/library/app/blobs/${digest}`
    return { ...setup, digest, path, range: (range: string, more = {}) => setup.get(path, { range, ...more }) }
  }

  test('is sent whole with everything a client needs to check it', async () => {
    const { get, path, digest, content, counted } = prepared()
    const response = await get(path)
    expect(response.status).toBe(200)
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'accept-ranges': 'bytes',
      'content-length': '200000',
      'content-type': 'application/x-layer',
      'docker-content-digest': digest,
      etag: `"${digest}"`,
    })
    expect(digestOf(await response.bytes())).toBe(digest)
    expect(content.openReaders).toBe(0)
    expect(await counted('shoal_registry_sent_bytes_total')).toEqual([
      'shoal_registry_sent_bytes_total{from="swarm"} 200000',
    ])
    expect(await counted('shoal_first_byte_seconds_count')).toEqual(['shoal_first_byte_seconds_count 1'])
    expect(await counted('shoal_blob_seconds_count')).toEqual(['shoal_blob_seconds_count 1'])
  })

  test('is described by HEAD without being opened, whatever Range says', async () => {
    const { get, path, content } = prepared()
    const response = await get(path, { range: 'bytes=0-1' }, 'HEAD')
    expect(response.status).toBe(200)
    expect(response.headers.get('content-length')).toBe('200000')
    expect(await response.text()).toBe('')
    expect(content.opened).toEqual([])
  })

  test.each([
    ['bytes=0-1', 0, 2],
    ['bytes=199999-', 199_999, 200_000],
    ['bytes=-3', 199_997, 200_000],
    ['bytes=-999999', 0, 200_000],
    ['bytes=65530-131080', 65_530, 131_081],
    ['bytes=5-5,999999-', 5, 6],
  ])('in the range %s is a 206 with the exact place and total', async (header, start, end) => {
    const { range, content } = prepared()
    const response = await range(header)
    expect(response.status).toBe(206)
    expect(response.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/200000`)
    expect(response.headers.get('content-length')).toBe(String(end - start))
    expect(await response.bytes()).toEqual(layer.slice(start, end))
    expect(content.openReaders).toBe(0)
  })

  test('in several ranges is multipart, of exactly the announced length', async () => {
    const { range } = prepared()
    const response = await range('bytes=0-3,100-103')
    expect(response.status).toBe(206)
    expect(response.headers.get('content-type')).toStartWith('multipart/byteranges; boundary=')
    expect(response.headers.get('content-range')).toBeNull()
    const body = await response.bytes()
    expect(response.headers.get('content-length')).toBe(String(body.length))
    const text = new TextDecoder('latin1').decode(body)
    expect(text.match(/Content-Range: bytes \S+/g)).toEqual([
      'Content-Range: bytes 0-3/200000',
      'Content-Range: bytes 100-103/200000',
    ])
  })

  test('in a range outside it is a 416 with the total', async () => {
    const { range, content } = prepared()
    const response = await range('bytes=200000-')
    expect(response.status).toBe(416)
    expect(response.headers.get('content-range')).toBe('bytes */200000')
    expect(content.openReaders).toBe(0)
  })

  test('in ranges made to cost work is refused', async () => {
    const { range, content } = prepared()
    expect((await range('bytes=0-,0-')).status).toBe(400)
    expect((await range(`bytes=${Array.from({ length: 300 }, (_, i) => `${i}-${i}`)}`)).status).toBe(400)
    expect(content.openReaders).toBe(0)
  })

  test('comes whole when the range is malformed or in another unit', async () => {
    const { range } = prepared()
    for (const header of ['bytes=5-3', 'bytes=x', 'lines=1-2']) expect((await range(header)).status).toBe(200)
  })

  test('comes in the range only if If-Range names it', async () => {
    const { range, digest } = prepared()
    expect((await range('bytes=0-1', { 'if-range': `"${digest}"` })).status).toBe(206)
    for (const condition of [`"${unknown}"`, `W/"${digest}"`, 'Wed, 21 Oct 2026 07:28:00 GMT']) {
      expect((await range('bytes=0-1', { 'if-range': condition })).status).toBe(200)
    }
  })

  test('that the client has already is not opened', async () => {
    const { get, path, digest, content } = prepared()
    expect((await get(path, { 'if-none-match': `"${digest}"` })).status).toBe(304)
    expect(content.opened).toEqual([])
  })

  test('is opened with what the client reads first, as far as that is known', async () => {
    const { range, get, path, content } = prepared()
    for (const header of ['bytes=10-19', 'bytes=10-', 'bytes=-5', 'bytes=7-8,0-1']) await (await range(header)).bytes()
    await (await get(path)).bytes()
    expect(content.opened.map(({ span }) => span)).toEqual([
      { start: 10, end: 20, part: true },
      { start: 10 },
      { part: true },
      { part: true },
      undefined,
    ])
  })

  test('is fetched beside what is asked for as the client says, and a word that says nothing is refused', async () => {
    const { get, path, content } = prepared()
    for (const prefetch of ['none', 'following', 'whole']) {
      await (await get(path, { range: 'bytes=5-6', 'shoal-prefetch': prefetch })).bytes()
      expect(content.opened.at(-1)?.span).toEqual({ start: 5, end: 7, part: true, prefetch } as Wanted)
    }
    const refused = await get(path, { range: 'bytes=5-6', 'shoal-prefetch': 'some' })
    expect([refused.status, await refused.text()]).toEqual([400, expect.stringContaining('none, following, whole')])
  })

  test('that is asked for in the background is opened for somebody who does not wait', async () => {
    const { get, path, content } = prepared()
    for (const [priority, patient] of [
      ['u=7', true],
      ['i, u=7', true],
      ['u=7,i', true],
      ['u=6', false],
      ['u=77', false],
      ['', false],
    ] as const) {
      await (await get(path, { range: 'bytes=5-6', priority })).bytes()
      const expected: Wanted = { start: 5, end: 7, part: true, ...(patient ? { patient } : {}) }
      expect(content.opened.at(-1)?.span).toEqual(expected)
    }
  })

  test('of no bytes is sent as such', async () => {
    const { content, get } = setUp()
    const digest = content.addBlob({ bytes: new Uint8Array() })
    const response = await get(`/v2/app/blobs/${digest}`)
    expect([response.status, response.headers.get('content-length'), await response.text()]).toEqual([200, '0', ''])
    expect(content.openReaders).toBe(0)
  })

  test('that fails before its first byte is a clean 404, so that the engine goes elsewhere', async () => {
    const { content, get, lines, counted } = setUp()
    const error = new Failure('unavailable', 'no node has it and the source does not answer')
    const digest = content.addBlob({ bytes: layer, fail: { at: 0, error } })
    for (const range of [undefined, 'bytes=0-1', 'bytes=0-1,5-6']) {
      const response = await get(`/v2/app/blobs/${digest}`, range ? { range } : {})
      expect(response.status).toBe(404)
      expect(response.headers.get('content-length')).not.toBe('200000')
      const { message } = error
      expect(await errorsOf(response)).toMatchObject(['BLOB_UNKNOWN', 'UNAVAILABLE'].map((code) => ({ code, message })))
    }
    expect(content.openReaders).toBe(0)
    expect(lines.filter(({ level }) => level === 'warn')).toHaveLength(3)
    expect(await counted('shoal_registry_sent_bytes_total')).toEqual([])
  })

  test('that fails on the way breaks off instead of ending', async () => {
    const { content, get, lines } = setUp()
    const error = new Failure('corrupt', 'piece 2 is not what was promised')
    const digest = content.addBlob({ bytes: layer, fail: { at: 100_000, error } })
    const response = await get(`/v2/app/blobs/${digest}`)
    expect(response.status).toBe(200)
    await expect(response.bytes()).rejects.toThrow('piece 2')
    expect(content.openReaders).toBe(0)
    expect(lines.filter(({ level }) => level === 'warn').map(({ fields }) => fields.reason)).toEqual([error.message])
  })

  test('that the client stops reading is let go', async () => {
    const { content, get, path } = prepared()
    const response = await get(path)
    await response.body!.cancel()
    expect(content.openReaders).toBe(0)
  })

  test('that nobody has is a 404', async () => {
    const { get } = setUp()
    for (const method of ['GET', 'HEAD']) {
      const response = await get(`/v2/app/blobs/${unknown}`, {}, method)
      expect(response.status).toBe(404)
      if (method === 'HEAD') expect(await response.text()).toBe('')
      else expect(await errorOf(response)).toMatchObject({ code: 'BLOB_UNKNOWN' })
    }
  })
})

describe('what only the source knows', () => {
  const body = encode('{"tags":["v1"]}')
  const pass = (headers: Record<string, string>) => ({ status: 200, headers: new Headers(headers), body })

  test('is passed through: the list of tags, its query without ns, and the client Accept', async () => {
    const { content, get } = setUp()
    content.addPassed('ghcr.io/org/app', 'tags/list', pass({ 'content-type': 'application/json', 'set-cookie': 'x=y' }))
    const response = await get('/v2/org/app/tags/list?n=1&ns=ghcr.io', { accept: 'application/json' })
    expect(await response.text()).toBe('{"tags":["v1"]}')
    expect(response.headers.get('content-type')).toBe('application/json')
    expect(response.headers.get('set-cookie')).toBeNull()
    expect(content.calls).toEqual(['pass ghcr.io/org/app/tags/list?n=1 accept application/json'])
  })

  test('and the link to the next page leads back through this mirror', async () => {
    const { content, get } = setUp()
    const link = '<https://ghcr.io/v2/org/app/tags/list?last=v1&n=1>; rel="next"'
    content.addPassed('ghcr.io/org/app', 'tags/list', pass({ link }))
    expect((await get('/v2/ghcr.io/org/app/tags/list?n=1')).headers.get('link')).toBe(
      '</v2/ghcr.io/org/app/tags/list?last=v1&n=1>; rel="next"',
    )
    expect((await get('/v2/org/app/tags/list?n=1&ns=ghcr.io')).headers.get('link')).toBe(
      '</v2/org/app/tags/list?last=v1&n=1&ns=ghcr.io>; rel="next"',
    )
  })

  test('in the encoding that the source chose: nothing is unpacked here', async () => {
    const { content, get } = setUp()
    content.addPassed('org/app', 'tags/list', pass({ 'content-encoding': 'gzip' }))
    const response = await get('/v2/org/app/tags/list')
    expect(response.headers.get('content-encoding')).toBe('gzip')
    expect(await response.text()).toBe('{"tags":["v1"]}')
  })

  test('such as referrers, with the filter that was applied', async () => {
    const { content, get } = setUp()
    content.addPassed('org/app', `referrers/${unknown}`, pass({ 'oci-filters-applied': 'artifactType' }))
    const response = await get(`/v2/org/app/referrers/${unknown}?artifactType=a%2Fb`)
    expect(response.headers.get('oci-filters-applied')).toBe('artifactType')
    expect(await response.text()).toBe('{"tags":["v1"]}')
    expect(content.calls).toEqual([`pass docker.io/org/app/referrers/${unknown}?artifactType=a%2Fb`])
  })
})

describe('an error', () => {
  test('is 405 for everything that writes, and says why', async () => {
    const { get, counted } = setUp()
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) {
      const response = await get('/v2/app/blobs/uploads/', {}, method)
      expect(response.status).toBe(405)
      expect(response.headers.get('allow')).toBe('GET, HEAD')
      const { code, message } = await errorOf(response)
      expect(code).toBe('UNSUPPORTED')
      expect(message).toStartWith('this is a pull-through mirror')
    }
    expect(await counted('shoal_registry_requests_total')).toHaveLength(4)
  })

  test('is 404 UNSUPPORTED for the catalogue', async () => {
    const { get } = setUp()
    const response = await get('/v2/_catalog')
    expect(response.status).toBe(404)
    expect((await errorOf(response)).code).toBe('UNSUPPORTED')
  })

  test('that nobody expected shows an id that is also in the log, and nothing else', async () => {
    const { content, get, lines } = setUp()
    content.manifest = async () => {
      throw new TypeError('secret path /root/x is not a function')
    }
    const response = await get('/v2/app/manifests/v1')
    expect(response.status).toBe(500)
    const text = await response.text()
    expect(text).not.toContain('secret')
    const errors = lines.filter(({ level }) => level === 'error')
    expect(errors).toHaveLength(1)
    expect(text).toContain(`internal error ${errors[0]!.fields.id}`)
    expect(errors[0]!.fields.error).toBeInstanceOf(TypeError)
  })

  test('that says how long to wait says it in the header too, and sends an engine on', async () => {
    const { content, get } = setUp()
    const refuse = async () => {
      throw new Failure('too-many', 'the registry asks to wait', { detail: { waitMs: 1500 } })
    }
    Object.assign(content, { manifest: refuse, stat: refuse, open: refuse })
    const asked = [
      await get('/v2/app/manifests/v1'),
      await get(`/v2/app/blobs/${unknown}`),
      await get(`/v2/app/blobs/${unknown}`, {}, 'HEAD'),
    ]
    for (const { status, headers } of asked) expect([status, headers.get('retry-after')]).toEqual([404, '2'])
    expect((await errorOf(asked[0]!)).code).toBe('TOOMANYREQUESTS')
  })

  test.each<[FailureCode, number, string]>([
    ['denied', 404, 'DENIED'],
    ['not-listed', 404, 'NAME_UNKNOWN'],
    ['no-space', 404, 'UNAVAILABLE'],
    ['corrupt', 404, 'DIGEST_INVALID'],
    ['no-blob', 404, 'BLOB_UNKNOWN'],
    ['unauthorized', 401, 'UNAUTHORIZED'],
  ])('%s is %d %s, and a blob that is not given is first of all unknown', async (code, status, oci) => {
    const { content, get } = setUp()
    const refuse = async () => {
      throw new Failure(code, 'no')
    }
    Object.assign(content, { manifest: refuse, open: refuse })
    const manifest = await get('/v2/app/manifests/v1')
    expect([manifest.status, (await errorOf(manifest)).code]).toEqual([status, oci])
    const blob = await get(`/v2/app/blobs/${unknown}`)
    const codes = (await errorsOf(blob)).map((error) => error.code)
    const first = status === 404 ? 'BLOB_UNKNOWN' : oci
    expect([blob.status, codes[0], codes.at(-1)]).toEqual([status, first, oci])
  })

  test('of a strange method is counted as other', async () => {
    const { get, counted } = setUp()
    await get('/x', {}, 'OPTIONS')
    expect(await counted('shoal_registry_requests_total')).toEqual([
      'shoal_registry_requests_total{method="other",kind="other",status="405"} 1',
    ])
  })
})

test('a pull leaves one info line that tells where its bytes came from', async () => {
  const { content, get, lines, clock } = setUp()
  const config = encode('{}')
  const configDigest = content.addBlob({ bytes: config, from: 'source' })
  const layerDigest = content.addBlob({ bytes: layer, from: 'swarm' })
  const manifest = encode(
    JSON.stringify({
      config: { digest: configDigest, size: config.length },
      layers: [{ digest: layerDigest, size: layer.length }],
    }),
  )
  const digest = content.addManifest('library/app', manifest, 'v1')
  await (await get('/v2/app/manifests/v1')).bytes()
  await (await get(`/v2/app/blobs/${configDigest}`)).bytes()
  clock.advance(2500)
  await (await get(`/v2/app/blobs/${layerDigest}`)).bytes()
  expect(lines.filter(({ level }) => level === 'info')).toEqual([
    {
      level: 'info',
      message: 'image pulled',
      fields: {
        image: 'docker.io/library/app:v1',
        digest,
        client: 'unknown',
        store: 0,
        swarm: 200_000,
        source: 2,
        blobs: 2,
        sent: 2,
        seconds: 2.5,
      },
    },
  ])
  expect(lines.filter(({ level }) => level === 'debug')).toHaveLength(3)
})
