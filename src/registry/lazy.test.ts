import { describe, expect, test } from 'bun:test'
import { Readable } from 'node:stream'
import { FakeClock } from '../../test/fakes/clock.ts'
import { FakeContent } from '../../test/fakes/content.ts'
import { Failure } from '../failure.ts'
import type { Found } from '../lazy/indexes.ts'
import { mostReads } from '../lazy/reads.ts'
import { digestOf } from '../oci/digest.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createRegistry } from './registry.ts'

const layer = Buffer.from('a layer')
const digest = digestOf(layer)
const index = Buffer.from('the index of a layer')

function setUp({ lazy: has = true } = {}) {
  const content = new FakeContent()
  const own = new FakeContent()
  content.addBlob({ bytes: layer })
  const stat = content.stat.bind(content)
  content.stat = async (repository, wanted) => {
    if (repository.name === 'library/private') throw new Failure('unauthorized', 'show who you are')
    return stat(repository, wanted)
  }
  const indexDigest = own.addBlob({ bytes: index })
  const state = {
    found: {
      state: 'here',
      statement: {
        ...{ layer: digest, diffId: digest, index: indexDigest, size: index.length },
        signer: 'seed',
        signature: new Uint8Array(),
      },
    } as Found | Failure,
    /** Why the client may not have the layer, as it turns out while its index is looked for. */
    learned: undefined as Failure | undefined,
    anew: [] as boolean[],
    reads: [] as number[],
  }
  const lazy = {
    content: own,
    mounted: { hear: () => {} },
    indexes: {
      index: async (_: object, anew: boolean) => {
        state.anew.push(anew)
        if (state.found instanceof Failure) throw state.found
        if (state.learned) content.stat = () => Promise.reject(state.learned)
        return state.found
      },
    },
    reads: {
      of: async () => state.reads,
      add: async (_: string, reads: readonly number[]) => {
        state.reads = [...reads]
      },
    },
  }
  const about = { content, clock: new FakeClock(), metrics: createMetrics(), log: silentLog }
  const app = createRegistry({ ...about, ...(has ? { lazy } : {}) })
  const path = (what: string, name = 'debian') => `/v2/${name}/_shoal/lazy/${digest}/${what}`
  const get = (what: string, headers: Record<string, string> = {}, name?: string) =>
    app.request(path(what, name), { headers })
  const put = (body: string, { from = '127.0.0.1', headers = {}, what = 'reads' } = {}) => {
    const incoming = Object.assign(Readable.from([Buffer.from(body)]), {
      url: path(what),
      socket: { remoteAddress: from },
    })
    return app.request(path(what), { method: 'PUT', headers }, { incoming } as object)
  }
  return { ...about, state, get, put, indexDigest }
}

const errorOf = async (response: Response) => {
  const { errors } = (await response.json()) as { errors: { code: string; message: string }[] }
  return `${response.status} ${errors[0]?.code}: ${errors[0]?.message}`
}

describe('the index of a layer', () => {
  test('comes as a blob, whole or in ranges, with its digest and who signed it', async () => {
    const { get, indexDigest, state } = setUp()
    const whole = await get('index')
    expect(whole.status).toBe(200)
    expect(whole.headers.get('shoal-index-digest')).toBe(indexDigest)
    expect(whole.headers.get('shoal-index-signer')).toBe('seed')
    expect(await whole.text()).toBe(index.toString())
    const part = await get('index', { range: 'bytes=4-8' })
    expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([
      206,
      `bytes 4-8/${index.length}`,
      'index',
    ])
    expect(state.anew).toEqual([false, false])
  })

  test('is looked at again for who found it wrong', async () => {
    const { get, state } = setUp()
    expect((await get('index', { 'cache-control': 'no-cache' })).status).toBe(200)
    expect(state.anew).toEqual([true])
  })

  test('is not given to whom the layer turns out not to be for while it is looked for', async () => {
    const { get, state } = setUp()
    state.learned = new Failure('no-blob', 'that registry does not have it')
    const response = await get('index')
    expect(response.headers.get('shoal-index-digest')).toBeNull()
    expect(await errorOf(response)).toBe('404 BLOB_UNKNOWN: that registry does not have it')
  })

  test('that is being made is a 202 with how far that is', async () => {
    const { get, state } = setUp()
    state.found = { state: 'making', done: 5, total: 20 }
    const response = await get('index')
    expect([response.status, response.headers.get('retry-after')]).toEqual([202, '1'])
    expect(await response.json()).toEqual({ state: 'making', done: 5, total: 20 })
  })

  test('that there will not be is a 404 which says why, and differs from one that cannot be asked for now', async () => {
    const { get, state } = setUp()
    state.found = new Failure('unsupported', 'it is one zstd frame')
    expect(await errorOf(await get('index'))).toBe('404 UNSUPPORTED: it is one zstd frame')
    state.found = new Failure('unavailable', 'no seed answers')
    expect(await errorOf(await get('index'))).toBe('404 UNAVAILABLE: no seed answers')
    expect(await errorOf(await setUp({ lazy: false }).get('index'))).toStartWith('404 UNSUPPORTED')
  })

  test('is for those only who may have the layer', async () => {
    const { get, state } = setUp()
    expect((await get('index', {}, 'private')).status).toBe(401)
    expect((await get('reads', {}, 'private')).status).toBe(401)
    expect(state.anew).toEqual([])
  })
})

describe('what starts read first', () => {
  test('is told by a PUT from this host, and given to who asks', async () => {
    const { get, put } = setUp()
    const told = await put('[7,3,5]')
    expect([told.status, await told.text()]).toEqual([204, ''])
    expect(await (await get('reads')).json()).toEqual([7, 3, 5])
  })

  test('is not taken from other hosts, through a proxy, or from a page in a browser', async () => {
    const { put, state } = setUp()
    const refused = [
      { from: '10.0.0.9' },
      { headers: { 'x-forwarded-for': '10.0.0.9' } },
      { headers: { origin: 'http://evil.example' } },
    ]
    for (const how of refused) expect((await put('[1]', how)).status).toBe(403)
    expect(state.reads).toEqual([])
  })

  test.each([
    ['no JSON', '[1,'],
    ['no list', '{"0":1}'],
    ['no numbers', '["1"]'],
    ['numbers that no chunk has', '[-1]'],
    ['too many of them', JSON.stringify(Array.from({ length: mostReads + 1 }, (_, i) => i))],
  ])('is not taken when it is %s', async (_, body) => {
    const { put, state } = setUp()
    expect(await errorOf(await put(body))).toStartWith('400 UNSUPPORTED: expected a JSON list')
    expect(state.reads).toEqual([])
  })

  test('is not taken when it has more bytes than any list needs', async () => {
    expect((await setUp().put(' '.repeat(100_000))).status).toBe(413)
  })

  test('is all that can be written', async () => {
    expect((await setUp().put('[]', { what: 'index' })).status).toBe(405)
    expect(await errorOf(await setUp().get('else'))).toStartWith('404 NAME_UNKNOWN: there is nothing of a layer but')
  })
})
