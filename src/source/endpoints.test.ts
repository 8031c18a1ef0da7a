/** A registry that is at several places: which of them is asked, and what happens when one of them fails. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { collect, refuses } from '../../test/conformance/source.ts'
import { type FakeImage, FakeRegistry, type Fault, noise } from '../../test/fakes/registry.ts'
import { type SourceKit, sourceOver } from '../../test/fakes/registry-source.ts'
import { Secret } from '../config/secret.ts'
import { digestOf } from '../oci/digest.ts'
import { parseTag } from '../oci/reference.ts'

const layer = noise(2_500_000, 3)
const digest = digestOf(layer)
const v1 = parseTag('v1')

let first: FakeRegistry
let second: FakeRegistry
let image: FakeImage
let kit: SourceKit
beforeEach(async () => {
  first = await FakeRegistry.start()
  second = await FakeRegistry.start()
  image = first.image('org/app', 'v1', [layer])
  second.image('org/app', 'v1', [layer])
  kit = over()
})
afterEach(async () => {
  kit.source.close()
  await Promise.all([first.stop(), second.stop()])
})

function over(options: Parameters<typeof sourceOver>[1] = {}): SourceKit {
  const upstreams = new Map([[first.host, [{ url: first.url }, { url: second.url }]]])
  return sourceOver(first, { upstreams, timeouts: { headersMs: 600_000, idleMs: 600_000 }, ...options })
}
const blob = () => ({ repository: kit.repository, kind: 'blob', digest }) as const
const open = async () => (await kit.source.open(blob(), 0)).body
const resolve = () => kit.source.resolve(kit.repository, v1)
const states = () => kit.source.endpoints()[0]!.endpoints.map(({ state }) => state)
const fault = (registry: FakeRegistry, of: Fault) => registry.fault(of)
const until = async (holds: () => boolean) => {
  for (let i = 0; i < 1000 && !holds(); i++) await Bun.sleep(2)
  expect(holds()).toBe(true)
}

describe('the endpoints of a registry', () => {
  test('are asked in order of preference: while the first works, nobody else is', async () => {
    expect((await resolve()).digest).toBe(image.manifest)
    expect(digestOf(await collect(await open()))).toBe(digest)
    expect([second.requests, states()]).toEqual([[], ['up', 'up']])
  })

  test('of which one is gone are no less: the next answers at once, and the first is not asked again', async () => {
    await first.stop()
    expect((await resolve()).digest).toBe(image.manifest)
    expect(digestOf(await collect(await open()))).toBe(digest)
    expect(states()).toEqual(['down', 'up'])
    expect(kit.log.lines.filter((line) => line.startsWith('an endpoint of a registry is out of use'))).toHaveLength(1)
  })

  test('of which one does not answer have less patience with it, since another may', async () => {
    fault(first, { silent: true })
    kit = over({ timeouts: { headersMs: 180_000, idleMs: 600_000 } })
    expect((await resolve()).digest).toBe(image.manifest)
    expect(kit.clock.waits).toContain(60_000)
    expect(states()).toEqual(['down', 'up'])
  })

  test('of which one has problems of its own are asked in turn, and it is out of use after three', async () => {
    fault(first, { status: 503 })
    for (const state of ['up', 'up', 'down'] as const) {
      expect((await resolve()).digest).toBe(image.manifest)
      expect(states()).toEqual([state, 'up'])
    }
    const asked = first.requests.length
    await resolve()
    expect(first.requests.filter(({ path }) => path !== '/v2/').length).toBe(asked)
  })

  test('of which one limits how often it is asked leave it alone', async () => {
    fault(first, { status: 429, headers: { 'retry-after': '3600' } })
    expect((await resolve()).digest).toBe(image.manifest)
  })

  test('come back: one that answers /v2/ again is tried by one request, and in use when that is served', async () => {
    fault(first, { status: 503 })
    for (let i = 0; i < 3; i++) await resolve()
    expect(states()).toEqual(['down', 'up'])
    first.mend()
    await until(() => states()[0] === 'trying')
    const before = second.requests.length
    await resolve()
    expect([states(), second.requests.length]).toEqual([['up', 'up'], before])
    expect(kit.log.lines.join('\n')).toContain('an endpoint of a registry is in use again')
  })

  test('do not come back for answering /v2/ alone', async () => {
    fault(first, { path: '/v2/org/', status: 503 })
    for (let i = 0; i < 3; i++) await resolve()
    await until(() => states()[0] === 'trying')
    expect((await resolve()).digest).toBe(image.manifest)
    expect(states()).toEqual(['down', 'up'])
  })

  test('that are all down are asked all the same', async () => {
    await Promise.all([first.stop(), second.stop()])
    const quick = { attempts: 1, firstMs: 1, maxMs: 1, patienceMs: 1 }
    kit = over({ retry: quick })
    await refuses(resolve(), 'unavailable')
    expect(states()).toEqual(['down', 'down'])
    const again = await refuses(resolve(), 'unavailable')
    expect(again.message).toContain('nothing listens there')
  })
})

describe('a body', () => {
  test('that breaks off goes on at the next endpoint, from where it is', async () => {
    fault(first, { path: '/blobs/', method: 'GET', cutAfter: 1_000_000 })
    expect(digestOf(await collect(await open()))).toBe(digest)
    expect(first.requests.map(({ headers }) => headers.range)).toEqual([undefined])
    expect(second.requests.map(({ headers }) => headers.range)).toEqual(['bytes=1000000-'])
    const bytes = await kit.metrics.endpointBytes.get()
    expect(bytes.values.map(({ value }) => value)).toEqual([1_000_000, 1_500_000])
  })

  test('that falls silent goes on at the next', async () => {
    kit = over({ timeouts: { headersMs: 600_000, idleMs: 100_000 } })
    fault(first, { path: '/blobs/', method: 'GET', stallAfter: 700_000 })
    expect(digestOf(await collect(await open()))).toBe(digest)
    expect(second.requests.map(({ headers }) => headers.range)).toEqual(['bytes=700000-'])
  })

  test('that breaks off everywhere is tried everywhere again, a bounded number of times', async () => {
    for (const registry of [first, second]) fault(registry, { path: '/blobs/', method: 'GET', cutAfter: 1000 })
    await refuses(collect(await open()), 'unavailable')
    const asked = [first, second].map(({ requests }) => requests.filter(({ path }) => path.includes('/blobs/')).length)
    // Four tries, each of them at both as long as both are in use.
    expect(asked[0]! + asked[1]!).toBeGreaterThan(4)
    expect(asked[0]! + asked[1]!).toBeLessThanOrEqual(8)
  })

  test('that breaks off at the one that is in use is not asked for there without end', async () => {
    await second.stop()
    fault(first, { path: '/blobs/', method: 'GET', cutAfter: 1000 })
    await refuses(collect(await open()), 'unavailable')
    expect(first.requests.filter(({ path }) => path.includes('/blobs/')).length).toBeLessThanOrEqual(8)
  })

  test('that the first does not have is had from the next, and is not there when none has it', async () => {
    const more = noise(1000, 9)
    const location = { ...blob(), digest: second.blob('org/app', more) }
    expect(digestOf(await collect((await kit.source.open(location, 0)).body))).toBe(digestOf(more))
    expect(states()).toEqual(['up', 'up'])
    await refuses(kit.source.stat({ ...blob(), digest: digestOf(noise(10, 8)) }), 'no-blob')
  })

  test('that one lacks while another is out of reach may be there', async () => {
    await second.stop()
    const location = { ...blob(), digest: digestOf(noise(10, 8)) }
    kit = over({ retry: { attempts: 1, firstMs: 1, maxMs: 1, patienceMs: 1 } })
    await refuses(kit.source.stat(location), 'unavailable')
  })
})

describe('a tag', () => {
  test('is what the first endpoint that works says: where that has none, there is none', async () => {
    second.image('org/app', 'v2', [noise(100, 4)])
    await refuses(kit.source.resolve(kit.repository, parseTag('v2')), 'no-manifest')
    expect(second.requests).toEqual([])
  })

  test('that is refused by the first is not asked of the next: rights are what it says', async () => {
    first.auth = { kind: 'basic', user: 'me', password: 'secret' }
    await refuses(resolve(), 'denied')
    expect(second.requests).toEqual([])
  })
})

describe('logins', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'shoal-endpoints-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  test('are those of the host that is asked, and never sent to another', async () => {
    first.auth = { kind: 'basic', user: 'one', password: 'first-secret' }
    second.auth = { kind: 'basic', user: 'two', password: 'second-secret' }
    const auths = {
      [first.host]: { username: 'one', password: 'first-secret' },
      [second.host]: { username: 'two', password: 'second-secret' },
    }
    const credentialsFile = join(folder, 'config.json')
    writeFileSync(credentialsFile, JSON.stringify({ auths }))
    kit = over({ credentialsFile })
    await resolve()
    fault(first, { status: 503 })
    expect((await resolve()).digest).toBe(image.manifest)
    const sent = (registry: FakeRegistry) =>
      [...new Set(registry.requests.map(({ headers }) => headers.authorization))].filter((each) => each !== undefined)
    expect(sent(first)).toEqual([`Basic ${btoa('one:first-secret')}`])
    expect(sent(second)).toEqual([`Basic ${btoa('two:second-secret')}`])
  })

  test('that a client lends are for all endpoints that the registry has', async () => {
    for (const registry of [first, second]) registry.auth = { kind: 'basic', user: 'me', password: 'secret' }
    kit.source.lend(kit.repository, { kind: 'basic', username: 'me', password: new Secret('secret') })
    fault(first, { status: 503 })
    expect((await resolve()).digest).toBe(image.manifest)
  })
})

describe('other endpoints', () => {
  test('can be put in their place while the node runs; what is known of those that stay is kept', async () => {
    await first.stop()
    await resolve()
    const third = await FakeRegistry.start()
    try {
      third.image('org/app', 'v1', [layer])
      const urls = [first.url, third.url]
      kit.source.reroute(new Map([[kit.repository.registry, urls.map((url) => ({ url }))]]), true)
      expect(states()).toEqual(['down', 'up'])
      expect((await resolve()).digest).toBe(image.manifest)
      const up = await kit.metrics.endpointUp.get()
      expect(up.values.map(({ labels, value }) => [labels.endpoint, value])).toEqual([
        [`http://${first.host}/v2`, 0],
        [`http://${third.host}/v2`, 1],
      ])
    } finally {
      await third.stop()
    }
  })

  test('that leave one alone are no choice any more', () => {
    kit.source.reroute(new Map([[kit.repository.registry, [{ url: second.url }]]]), true)
    expect(kit.source.endpoints()).toEqual([])
  })
})
