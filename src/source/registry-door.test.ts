import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeRegistry, type Fault, noise } from '../../test/fakes/registry.ts'
import { sourceOver } from '../../test/fakes/registry-source.ts'
import { Secret } from '../config/secret.ts'
import { Failure } from '../failure.ts'
import { parseTag } from '../oci/reference.ts'
import type { Credential } from './docker-config.ts'
import type { Asker, Named } from './door.ts'
import { lentMs } from './lent.ts'

const ann = { user: 'ann', password: 'open-sesame' }
const shows = (username: string, password: string): Credential => ({
  kind: 'basic',
  username,
  password: new Secret(password),
})
const asAnn = shows(ann.user, ann.password)
const asBob = shows('bob', 'guess')
const tag = parseTag('v1')

let registry: FakeRegistry
let dir: string
beforeEach(async () => {
  registry = await FakeRegistry.start()
  dir = mkdtempSync(join(tmpdir(), 'shoal-door-'))
})
afterEach(async () => {
  await registry.stop()
  rmSync(dir, { recursive: true, force: true })
})

/** A source with Ann's login, if it is `hers`. */
function setUp(hers: boolean) {
  const { layers, manifest } = registry.image('org/app', 'v1', [noise(1000)])
  const credentialsFile = join(dir, 'config.json')
  const auth = Buffer.from(`${ann.user}:${ann.password}`).toString('base64')
  writeFileSync(credentialsFile, JSON.stringify({ auths: { [registry.host]: { auth } } }))
  const told: string[] = []
  const { source, repository, log, clock } = sourceOver(registry, {
    ...(hers ? { credentialsFile } : {}),
    admitted: (_, asker) => told.push(asker),
  })
  const ask = (asker: Asker, named: Omit<Named, 'repository'> = { kind: 'manifest', reference: tag }) =>
    source.admits({ repository, ...named }, asker).then(
      () => 'in',
      (error) => Failure.from(error).code,
    )
  return { source, repository, log, clock, told, ask, layer: layers[0]!, manifest }
}
const sent = () => registry.requests.map(({ method, headers }) => `${method} ${headers.authorization ?? 'nobody'}`)

describe.each([{ kind: 'basic', ...ann } as const, { kind: 'bearer', ...ann } as const])(
  'a registry with $kind authentication',
  (auth) => {
    beforeEach(() => {
      registry.auth = auth
    })

    test('lets in whose credentials it knows, and sends no content for the question', async () => {
      const { ask, layer, manifest } = setUp(false)
      expect(await ask(asAnn)).toBe('in')
      expect(await ask(asAnn, { kind: 'manifest', reference: manifest })).toBe('in')
      expect(await ask(asAnn, { kind: 'blob', reference: layer })).toBe('in')
      expect(registry.sentBytes('/v2/')).toBe(0)
    })

    test('lets in nobody else', async () => {
      const { ask } = setUp(true)
      expect(await ask('anyone')).toBe('denied')
      expect(await ask(asBob)).toBe('denied')
      const secret = new Secret('not-a-token')
      expect(await ask({ kind: 'registry', token: secret })).toBe('denied')
    })

    test("lets the node in by the node's login, and nobody in by it who asks after the node did", async () => {
      const { ask, source } = setUp(true)
      expect(await source.hasLogin(registry.host)).toBe(true)
      const login = { who: expect.stringMatching(/^ann, from \/.*config\.json$/), account: registry.host }
      expect(await source.loginAt(registry.host)).toEqual(login)
      expect(await ask('node')).toBe('in')
      expect(await ask('anyone')).toBe('denied')
      expect(await ask(asBob)).toBe('denied')
    })

    test('is asked afresh each time: what it has withdrawn is noticed', async () => {
      const { ask } = setUp(false)
      expect(await ask(asAnn)).toBe('in')
      registry.auth = { ...auth, password: 'changed' }
      expect(await ask(asAnn)).toBe('denied')
    })

    test('lists tags for whom it lets in', async () => {
      const { source, repository } = setUp(true)
      const list = (asker: Asker) => source.passFor(asker, repository, 'tags/list', '', undefined)
      expect(Buffer.from((await list(asAnn)).body).toString()).toContain('v1')
      expect(await list('anyone').catch((error) => Failure.from(error).code)).toBe('denied')
    })

    test('tells apart what it gave to anyone and what to a login', async () => {
      const { source, repository, told, layer } = setUp(true)
      await source.resolve(repository, tag)
      registry.auth = { kind: 'none' }
      const open = setUp(false)
      await open.source.stat({ repository, kind: 'blob', digest: layer })
      expect([told, open.told]).toEqual([['node'], ['anyone']])
    })
  },
)

describe('what a client showed', () => {
  beforeEach(() => {
    registry.auth = { kind: 'bearer', ...ann }
  })
  const codeOf = (work: Promise<unknown>) =>
    work.then(
      () => 'given',
      (error) => Failure.from(error).code,
    )

  test('is what a node without a login reads that repository with, and no other', async () => {
    const { source, repository, layer, told } = setUp(false)
    expect(await codeOf(source.resolve(repository, tag))).toBe('denied')
    source.lend(repository, asAnn)
    expect(await codeOf(source.resolve(repository, tag))).toBe('given')
    const { body } = await source.open({ repository, kind: 'blob', digest: layer }, 0)
    expect(Buffer.concat(await Array.fromAsync(body))).toHaveLength(1000)
    expect(await codeOf(source.resolve({ ...repository, name: 'org/other' }, tag))).toBe('denied')
    // It says nothing about who else may have it.
    expect(told).toEqual([])
  })

  test('is not shown where the login of the node is enough', async () => {
    const { source, repository, told } = setUp(true)
    source.lend(repository, shows('carol', 'of-carol'))
    expect(await codeOf(source.resolve(repository, tag))).toBe('given')
    expect(told).toEqual(['node'])
    expect(sent().join()).not.toContain(Buffer.from('carol:of-carol').toString('base64'))
  })

  test('spares the registry what it would refuse: the own name is tried once', async () => {
    const { source, repository, layer } = setUp(false)
    source.lend(repository, asAnn)
    await source.resolve(repository, tag)
    registry.requests = []
    await source.resolve(repository, tag)
    await source.stat({ repository, kind: 'blob', digest: layer })
    expect(registry.requests.map(({ method, status }) => `${method} ${status}`)).toEqual(['HEAD 200', 'HEAD 200'])
  })

  test('gives nobody else what the registry is asked for in the name of the node, or of nobody', async () => {
    const { source, repository, ask } = setUp(false)
    source.lend(repository, asAnn)
    await source.resolve(repository, tag)
    expect([await ask('node'), await ask('anyone'), await ask(asBob)]).toEqual(['denied', 'denied', 'denied'])
    for (const asker of ['node', 'anyone', asBob] as const) {
      expect(await codeOf(source.passFor(asker, repository, 'tags/list', '', undefined))).toBe('denied')
    }
  })

  test('is not tried again once the registry takes it no more', async () => {
    const { source, repository } = setUp(false)
    source.lend(repository, asAnn)
    await source.resolve(repository, tag)
    registry.auth = { kind: 'bearer', user: 'ann', password: 'changed' }
    registry.tokens = []
    expect(await codeOf(source.resolve(repository, tag))).toBe('denied')
    expect(source.borrows(repository)).toBe(false)
    registry.requests = []
    expect(await codeOf(source.resolve(repository, tag))).toBe('denied')
    const basic = Buffer.from(`${ann.user}:${ann.password}`).toString('base64')
    expect(sent().join()).not.toContain(basic)
  })

  test('goes nowhere else when the name of the registry comes to lead elsewhere', async () => {
    const { source, repository } = setUp(false)
    source.lend(repository, asAnn)
    const other = await FakeRegistry.start()
    try {
      other.image('org/app', 'v1', [noise(1000)])
      other.auth = { kind: 'basic', ...ann }
      source.reroute(new Map([[repository.registry, [{ url: new URL(`http://${other.host}`) }]]]), true)
      expect(await codeOf(source.resolve(repository, tag))).toBe('denied')
      expect(other.requests.length).toBeGreaterThan(0)
      for (const { headers } of other.requests) expect(headers.authorization).toBeUndefined()
      source.lend(repository, asAnn)
      expect(await codeOf(source.resolve(repository, tag))).toBe('given')
    } finally {
      await other.stop()
    }
  })

  test('is forgotten after a while', async () => {
    const { source, repository, clock } = setUp(false)
    source.lend(repository, asAnn)
    expect(source.borrows(repository)).toBe(true)
    clock.skip(lentMs)
    expect(source.borrows(repository)).toBe(false)
    expect(await codeOf(source.resolve(repository, tag))).toBe('denied')
  })

  test('does not get into the log', async () => {
    const { source, repository, log } = setUp(false)
    source.lend(repository, asAnn)
    await source.resolve(repository, tag)
    registry.auth = { kind: 'bearer', user: 'ann', password: 'changed' }
    registry.tokens = []
    const refused = await source.resolve(repository, tag).catch((error) => Failure.from(error).message)
    for (const text of [...log.lines, String(refused)]) expect(text).not.toContain(ann.password)
  })
})

describe('whether a registry has what it says it has', () => {
  const bytes = noise(300_000, 7)
  async function outcome(start: number, expected: Uint8Array, fault: Partial<Fault> = {}) {
    const digest = registry.blob('org/app', bytes)
    const { source, repository } = setUp(false)
    registry.fault({ path: digest, ...fault })
    const named: Named = { repository, kind: 'blob', reference: digest }
    return source.shows(named, 'anyone', start, expected).then(
      () => 'shown',
      (error) => Failure.from(error).code,
    )
  }

  test.each([{ ignoreRange: false }, { ignoreRange: true }])('is told by a part of it: %p', async (fault) => {
    expect(await outcome(0, bytes.subarray(0, 10), fault)).toBe('shown')
    expect(await outcome(200_000, bytes.subarray(200_000, 265_536), fault)).toBe('shown')
    expect(await outcome(299_000, bytes.subarray(299_000), fault)).toBe('shown')
    expect(await outcome(200_000, bytes.subarray(200_001, 265_537), fault)).toBe('no-blob')
    expect(await outcome(299_000, noise(1000, 8), fault)).toBe('no-blob')
  })

  test('is not told by fewer bytes than were asked for', async () => {
    expect(await outcome(299_999, new Uint8Array([bytes.at(-1)!, 1, 2]))).toBe('no-blob')
  })

  test('is told in the name of who asks', async () => {
    registry.auth = { kind: 'bearer', ...ann }
    const { source, repository, layer } = setUp(false)
    const named: Named = { repository, kind: 'blob', reference: layer }
    await source.shows(named, asAnn, 0, noise(1000).subarray(0, 100))
    const refused = source.shows(named, 'anyone', 0, noise(1000).subarray(0, 100))
    expect(await refused.catch((error) => Failure.from(error).code)).toBe('denied')
  })
})

test("a client's token is sent as it came", async () => {
  registry.auth = { kind: 'bearer' }
  registry.tokens.push('given-by-the-token-server')
  const { ask } = setUp(false)
  expect(await ask({ kind: 'registry', token: new Secret('given-by-the-token-server') })).toBe('in')
  expect(sent().at(-1)).toBe('HEAD Bearer given-by-the-token-server')
})

test('a question is one request to a registry that is known, whoever asks', async () => {
  registry.auth = { kind: 'basic', ...ann }
  const { ask } = setUp(false)
  await ask('anyone')
  registry.requests = []
  expect(await ask(asAnn)).toBe('in')
  expect(registry.requests).toHaveLength(1)
})

test('a registry without HEAD is asked for one byte', async () => {
  const { ask, layer } = setUp(false)
  registry.fault({ method: 'HEAD', status: 405 })
  expect(await ask('anyone', { kind: 'blob', reference: layer })).toBe('in')
  expect(registry.requests.at(-1)?.headers.range).toBe('bytes=0-0')
})

test('a cache that says of a blob that it has none, and gives it, lets in whom it gives it to', async () => {
  registry.auth = { kind: 'basic', ...ann }
  const { ask, layer, manifest } = setUp(false)
  registry.fault({ method: 'HEAD', status: 404 })
  expect(await ask(asAnn, { kind: 'blob', reference: layer })).toBe('in')
  expect(await ask('anyone', { kind: 'blob', reference: manifest })).toBe('denied')
  expect(await ask(asAnn, { kind: 'blob', reference: manifest })).toBe('no-blob')
})

describe('what is before the registry and answers 200 to everything', () => {
  const page = { 'content-type': 'text/html; charset=utf-8' }

  test('lets nobody in, and its page is no word of the registry', async () => {
    const { ask, told, source, repository, layer, manifest } = setUp(false)
    registry.fault({ status: 200, headers: page, body: '<html>Log in</html>' })
    const asked = [
      { kind: 'manifest', reference: tag },
      { kind: 'manifest', reference: manifest },
      { kind: 'blob', reference: layer },
    ] as const
    for (const named of asked) expect(await ask('anyone', named)).toBe('corrupt')
    const work = [
      () => source.resolve(repository, tag),
      () => source.stat({ repository, kind: 'blob', digest: layer }),
      () => source.open({ repository, kind: 'manifest', digest: manifest }, 0),
    ]
    for (const each of work) await expect(each()).rejects.toMatchObject({ code: 'corrupt' })
    await source.pass(repository, 'tags/list', '', undefined)
    expect(told).toEqual([])
  })

  test('lets nobody in with a page that does not say that it is one', async () => {
    const { ask, told, source, repository } = setUp(false)
    registry.fault({ status: 200, headers: { 'content-type': 'application/json' }, body: '{"login":"here"}' })
    expect(await ask('anyone')).toBe('corrupt')
    await expect(source.resolve(repository, tag)).rejects.toMatchObject({ code: 'corrupt' })
    expect(told).toEqual([])
  })
})

test('a registry that does not say what its manifests are lets in whom it gives one', async () => {
  const { ask, manifest } = setUp(false)
  registry.fault({ noDigest: true, headers: { 'content-type': 'application/octet-stream' } })
  expect(await ask('anyone')).toBe('in')
  expect(await ask('anyone', { kind: 'manifest', reference: manifest })).toBe('in')
})

test('a registry that has trouble is not asked twice, and says neither yes nor no', async () => {
  const { ask } = setUp(false)
  registry.fault({ status: 503 })
  expect(await ask('anyone')).toBe('unavailable')
  expect(registry.requests).toHaveLength(1)
})

test('credentials of clients may go where the operator said, and nowhere else', () => {
  const { source } = setUp(false)
  expect(source.takesLogins(registry.host)).toBe(true)
  expect(source.takesLogins('ghcr.io')).toBe(false)
})

test('no secret is written into the log', async () => {
  registry.auth = { kind: 'bearer', ...ann }
  const { ask, log } = setUp(false)
  registry.fault({ status: 500, times: 1 })
  await ask(asAnn)
  await ask(asAnn)
  await ask(asBob)
  for (const secret of [ann.password, 'guess', ...registry.tokens]) expect(log.lines.join('\n')).not.toContain(secret)
})
