import { beforeEach, describe, expect, test } from 'bun:test'
import { FakeClock, settle } from '../../test/fakes/clock.ts'
import { FakeContent } from '../../test/fakes/content.ts'
import { FakeDoor } from '../../test/fakes/door.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { seededRandom } from '../clock.ts'
import { Failure } from '../failure.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { parseTag, repositoryOf, type Tag } from '../oci/reference.ts'
import { Rights } from '../rights/rights.ts'
import { type Visitor, visitorOf } from '../rights/visitor.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { GuardedContent } from './guarded-content.ts'

const app = repositoryOf('ghcr.io', 'org/app')
const v1 = parseTag('v1')
const signal = new AbortController().signal
const layer = Buffer.from('a layer of the private image')
const foreign = Buffer.from('a layer of another image, which this one names as kept elsewhere')
const linked = Buffer.from('another one, with a URL')

const ann = visitorOf(`Basic ${Buffer.from('ann:open').toString('base64')}`, async () => false)
const stranger = visitorOf(undefined, async () => false)

let clock: FakeClock
let store: MemoryStore
let content: FakeContent
let door: FakeDoor
let rights: Rights
let manifest: Digest
let layerDigest: Digest
beforeEach(() => {
  clock = new FakeClock()
  store = new MemoryStore({ clock })
  content = new FakeContent()
  door = new FakeDoor()
  const metrics = createMetrics()
  const [random, key] = [seededRandom(1), new Uint8Array(32)]
  const about = { store, door, clock, random, log: silentLog, metrics, key }
  rights = new Rights({ ...about, loginsFor: 'root', isHome: () => false })
  layerDigest = content.addBlob({ bytes: layer })
  const config = content.addBlob({ bytes: Buffer.from('{}') })
  const part = (digest: Digest, bytes: Uint8Array, mediaType: string) => ({ digest, size: bytes.length, mediaType })
  const layers = [
    part(layerDigest, layer, 'application/vnd.oci.image.layer.v1.tar'),
    part(content.addBlob({ bytes: foreign }), foreign, 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip'),
    {
      ...part(content.addBlob({ bytes: linked }), linked, 'application/vnd.docker.image.rootfs.diff.tar.gzip'),
      urls: ['https://elsewhere.example/layer'],
    },
  ]
  const image = { mediaType: manifestTypes.ociManifest, config: { digest: config, size: 2 }, layers }
  manifest = content.addManifest('ghcr.io/org/app', Buffer.from(JSON.stringify(image)), 'v1')
})

const as = (visitor: Visitor) => new GuardedContent({ content, rights, door }, visitor)
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'given',
    (error) => Failure.from(error).code,
  )

describe('a private image', () => {
  beforeEach(() => {
    door.login = true
    door.let(app, 'ann')
  })

  test('is given to who may have it, for one question to the source', async () => {
    expect((await as(ann).manifest(app, v1)).digest).toBe(manifest)
    expect((await as(ann).manifest(app, manifest)).digest).toBe(manifest)
    expect((await as(ann).stat(app, layerDigest)).size).toBe(layer.length)
    const reader = await as(ann).open(app, layerDigest)
    expect(Buffer.concat(await Array.fromAsync(reader.read({ start: 0, end: layer.length }, signal)))).toEqual(layer)
    reader.close()
    expect(door.asked).toHaveLength(1)
  })

  test('is not given to who may not, by whatever name, also when another one just had it', async () => {
    await as(ann).manifest(app, v1)
    for (const who of [stranger, visitorOf('Basic x', async () => false)]) {
      const denied = who.shown ? 'denied' : 'unauthorized'
      expect(await codeOf(as(who).manifest(app, v1))).toBe(denied)
      expect(await codeOf(as(who).manifest(app, manifest))).toBe(denied)
      expect(await codeOf(as(who).stat(app, layerDigest))).toBe(denied)
      expect(await codeOf(as(who).open(app, layerDigest))).toBe(denied)
    }
    expect(content.opened).toEqual([])
  })

  test('is asked for once more where it was not found before its login was lent again', async () => {
    await as(ann).manifest(app, v1)
    clock.advance(60_000)
    const find = content.manifest.bind(content)
    let early = true
    content.manifest = async (...named) => {
      if (!early) return find(...named)
      early = false
      throw new Failure('no-manifest', 'a registry that hides it from who may not read it')
    }
    expect((await as(ann).manifest(app, v1)).digest).toBe(manifest)
  })

  test('does not tell a stranger which tags it has', async () => {
    expect(await codeOf(as(stranger).manifest(app, parseTag('none')))).toBe('unauthorized')
    expect(await codeOf(as(ann).manifest(app, parseTag('none')))).toBe('no-manifest')
  })

  test('has its tags listed in the name of who asks', async () => {
    expect(Buffer.from((await as(ann).pass(app, 'tags/list', '')).body).toString()).toBe('ann')
    expect(await codeOf(as(stranger).pass(app, 'tags/list', ''))).toBe('unauthorized')
    expect(door.asked).toEqual(['ann ghcr.io/org/app tags/list', 'anyone ghcr.io/org/app tags/list'])
  })

  test('asks who shows nothing for a login, before its tags are listed, where what is shown can help', async () => {
    const bob = visitorOf(`Basic ${Buffer.from('bob:guess').toString('base64')}`, async () => false)
    const root = visitorOf(undefined, async () => true)
    const told = (who: Visitor) =>
      as(who)
        .pass(app, 'tags/list', '')
        .catch((error) => Failure.from(error))
    expect(await codeOf(as(bob).pass(app, 'tags/list', ''))).toBe('denied')
    const about = 'tags/list of ghcr.io/org/app'
    const message = `registry ghcr.io does not give ${about} to a client without credentials; show some`
    expect(await told(stranger)).toMatchObject({ status: 401, message: expect.stringContaining(message) })
    const refused = `registry ghcr.io refused the login of this node (ann, from /config.json) for ${about}`
    expect(await told(root)).toMatchObject({ code: 'unauthorized', message: expect.stringContaining(refused) })
    door.listed = []
    expect(await told(stranger)).toMatchObject({ code: 'denied' })
    door.listed = undefined
    door.failure = new Failure('no-name', 'it hides what it has')
    expect(await told(stranger)).toMatchObject({ code: 'no-name' })
  })
})

describe('a layer', () => {
  test('is begun while the source is asked again, and closed if the answer is no', async () => {
    door.let(app, 'ann')
    await as(ann).manifest(app, v1)
    clock.advance(60_000)
    const { promise, resolve } = Promise.withResolvers<void>()
    door.gate = promise
    door.let(app)
    const opening = codeOf(as(ann).open(app, layerDigest))
    await settle()
    expect(content.opened.map(({ digest }) => digest)).toEqual([layerDigest])
    resolve()
    expect(await opening).toBe('denied')
    await settle()
    expect(content.openReaders).toBe(0)
  })

  test('is part of a repository whose manifest lists it, unless the registry did not have to have it', async () => {
    door.let(app, 'anyone')
    await as(stranger).manifest(app, v1)
    expect(store.repositoriesOf(manifest)).toEqual([app])
    expect(store.repositoriesOf(layerDigest)).toEqual([app])
    for (const digest of [digestOf(foreign), digestOf(linked)]) {
      expect(store.repositoriesOf(digest)).toEqual([])
      door.absent.add(digest)
      expect(await codeOf(as(stranger).open(app, digest))).toBe('no-blob')
    }
  })

  test('of a private repository is not given by the name of another one whose manifest lists it', async () => {
    door.let(app, 'ann')
    await as(ann).manifest(app, v1)
    const hers = repositoryOf('ghcr.io', 'mallory/x')
    door.let(hers, 'mallory')
    const mallory = visitorOf(`Basic ${Buffer.from('mallory:x').toString('base64')}`, async () => false)
    const listing = { mediaType: manifestTypes.ociManifest, layers: [{ digest: layerDigest, size: layer.length }] }
    content.addManifest('ghcr.io/mallory/x', Buffer.from(JSON.stringify(listing)), 'v1')
    expect((await as(mallory).manifest(hers, v1)).bytes).toBeDefined()
    door.absent.add(layerDigest)
    expect(await codeOf(as(mallory).stat(hers, layerDigest))).toBe('no-blob')
    expect(await codeOf(as(mallory).open(hers, layerDigest))).toBe('no-blob')
    door.absent.clear()
    clock.advance(10_000)
    expect(await codeOf(as(mallory).open(hers, layerDigest))).toBe('given')
  })

  test('is asked for once where two private repositories have it, and neither its manifest nor its config', async () => {
    const same = repositoryOf('ghcr.io', 'org/same')
    for (const repository of [app, same]) door.let(repository, 'ann')
    const { bytes } = await as(ann).manifest(app, v1)
    content.addManifest('ghcr.io/org/same', bytes, 'v1')
    await as(ann).manifest(same, v1)
    for (let i = 0; i < 3; i++) expect(await codeOf(as(ann).open(same, layerDigest))).toBe('given')
    expect(door.asked).toEqual([
      'ann ghcr.io/org/app v1',
      'ann ghcr.io/org/same v1',
      `ann ghcr.io/org/same ${layerDigest}`,
    ])
  })

  test('of a manifest that was refused becomes part of nothing', async () => {
    await codeOf(as(stranger).manifest(app, v1))
    expect(store.repositoriesOf(layerDigest)).toEqual([])
  })
})

describe('a registry that claims what is of a private repository of another', () => {
  const evil = repositoryOf('evil.example', 'x/y')
  const codesOf = async (who: Visitor, reference: Tag | Digest) => [
    await codeOf(as(who).manifest(evil, reference)),
    await codeOf(as(who).stat(evil, layerDigest)),
    await codeOf(as(who).open(evil, layerDigest)),
  ]
  let bytes: Uint8Array

  beforeEach(async () => {
    door.let(app, 'ann')
    door.let(evil, 'anyone')
    bytes = (await as(ann).manifest(app, v1)).bytes
    await store.put({ digest: manifest, kind: 'manifest', mediaType: manifestTypes.ociManifest }, bytes)
    await store.put({ digest: layerDigest, kind: 'blob' }, layer)
  })

  test('with a tag that points to it has it given to nobody', async () => {
    content.addManifest('evil.example/x/y', bytes, 'v1')
    for (const who of [stranger, ann]) {
      expect(await codesOf(who, v1)).toEqual(['no-manifest', 'no-blob', 'no-blob'])
      expect(await codesOf(who, manifest)).toEqual(['no-manifest', 'no-blob', 'no-blob'])
    }
    expect(content.openReaders).toBe(0)
  })

  test('with a manifest that lists it, before or after the private one came, has its layers given to nobody', async () => {
    const layers = [{ digest: layerDigest, size: layer.length, mediaType: 'application/vnd.oci.image.layer.v1.tar' }]
    const bait = { mediaType: manifestTypes.ociManifest, config: { digest: layerDigest, size: layer.length }, layers }
    content.addManifest('evil.example/x/y', Buffer.from(JSON.stringify(bait)), 'v1')
    expect(await codesOf(stranger, v1)).toEqual(['given', 'no-blob', 'no-blob'])
    expect(content.openReaders).toBe(0)
    // The claim was made and is remembered; the owner of the layer still has it, without another question.
    const questions = door.asked.length
    expect(await codeOf(as(ann).stat(app, layerDigest))).toBe('given')
    expect(door.asked.length).toBe(questions)
  })

  test('and has its bytes may give them', async () => {
    content.addManifest('evil.example/x/y', bytes, 'v1')
    door.has.set(`evil.example/x/y ${manifest}`, bytes)
    door.has.set(`evil.example/x/y ${layerDigest}`, layer)
    expect(await codesOf(stranger, v1)).toEqual(['given', 'given', 'given'])
    const questions = door.asked.length
    expect(await codesOf(stranger, v1)).toEqual(['given', 'given', 'given'])
    expect(door.asked.length).toBe(questions)
  })
})

test('a client that leaves while the source is asked is not waited for', async () => {
  door.gate = new Promise(() => {})
  const client = new AbortController()
  const work = codeOf(as(ann).manifest(app, v1, client.signal))
  client.abort()
  expect(await work).toBe('cancelled')
})

describe('a layer that comes from other nodes', () => {
  const evil = repositoryOf('evil.example', 'x/y')
  const bytes = Buffer.alloc(200_000, 'of a private image')
  const hers = repositoryOf('corp.example', 'org/private')
  let digest: Digest
  let open: () => void

  /** Half of it is read when they say whose it is. */
  async function readHalf() {
    const gate = Promise.withResolvers<void>()
    open = gate.resolve
    digest = content.addBlob({ bytes, chunk: 100_000, gate: { at: 100_000, open: gate.promise } })
    door.let(evil, 'anyone')
    const reader = await as(stranger).open(evil, digest)
    const chunks = reader.read({ start: 0, end: bytes.length }, signal)[Symbol.asyncIterator]()
    expect((await chunks.next()).value).toHaveLength(100_000)
    await store.put({ digest, kind: 'blob' }, bytes)
    return { reader, chunks }
  }

  test('is given no further when they say that it is of a private repository of another registry', async () => {
    const { reader, chunks } = await readHalf()
    rights.owned(digest, [hers])
    open()
    expect(await codeOf(chunks.next() as Promise<unknown>)).toBe('no-blob')
    reader.close()
    expect(content.openReaders).toBe(0)
  })

  test('is given whole when the registry by whose name it was asked for has shown that it has it', async () => {
    const { reader, chunks } = await readHalf()
    door.has.set(`evil.example/x/y ${digest}`, bytes)
    rights.owned(digest, [hers])
    open()
    expect((await chunks.next()).value).toHaveLength(100_000)
    expect((await chunks.next()).done).toBe(true)
    reader.close()
  })

  test.each(['unavailable', 'too-many'] as const)(
    'is given whole where a listed registry cannot be asked (%s), which is tried once and not for each part',
    async (code) => {
      digest = content.addBlob({ bytes, chunk: bytes.length / 100 })
      await store.put({ digest, kind: 'blob' }, bytes)
      rights.given(app, 'anyone')
      rights.contains(app, [digest])
      door.failure = new Failure(code, 'no way out')
      const reader = await as(stranger).open(app, digest)
      rights.owned(digest, [hers])
      const read = Array.fromAsync(reader.read({ start: 0, end: bytes.length }, signal))
      expect(Buffer.concat(await read)).toEqual(bytes)
      expect(door.asked).toHaveLength(1)
      clock.advance(60_000)
      await Array.fromAsync(reader.read({ start: 0, end: bytes.length }, signal))
      expect(door.asked).toHaveLength(2)
      reader.close()
    },
  )
})
