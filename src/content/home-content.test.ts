import { beforeEach, expect, test } from 'bun:test'
import { LoneNode } from '../../test/fakes/lone-node.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import type { Location } from '../source/source.ts'
import { HomeContent } from './home-content.ts'

const repository = repositoryOf('apps.corp', 'team/app')
const tag = parseTag('v1')
const layer = Buffer.from('a layer')
const part = { mediaType: 'application/x', digest: digestOf(layer), size: layer.length }
const manifest = Buffer.from(JSON.stringify({ mediaType: manifestTypes.ociManifest, config: part, layers: [part] }))
const digest = digestOf(manifest)

let node: LoneNode
let failure: Failure | undefined
let told: string[]
let content: HomeContent

beforeEach(async () => {
  node = new LoneNode()
  failure = undefined
  told = []
  await node.store.put({ digest, kind: 'manifest', mediaType: manifestTypes.ociManifest }, manifest)
  await node.store.put({ digest: part.digest, kind: 'blob' }, layer)
  const stat = (size: number, mediaType: string) => {
    if (failure) throw failure
    return { size, mediaType }
  }
  content = new HomeContent({
    content: node.content,
    home: {
      resolve: async () => ({ digest, ...stat(manifest.length, manifestTypes.ociManifest) }),
      stat: async ({ kind }: Location) =>
        kind === 'manifest' ? stat(manifest.length, manifestTypes.ociManifest) : stat(layer.length, 'application/x'),
      pass: async () => ({ status: 200, headers: new Headers(), body: new Uint8Array() }),
    },
    store: node.store,
    open: (repository) => told.push(repository.name),
    wall: () => node.clock.wall(),
  })
})

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error) => Failure.from(error).code,
  )

test('what seeds say is there is given, by tag and by digest', async () => {
  for (const reference of [tag, digest]) {
    const got = await content.manifest(repository, reference)
    expect([got.digest, got.mediaType, Buffer.from(got.bytes).equals(manifest)]).toEqual([
      digest,
      manifestTypes.ociManifest,
      true,
    ])
  }
  expect(await content.stat(repository, part.digest)).toEqual({
    digest: part.digest,
    size: 7,
    mediaType: 'application/x',
  })
  const reader = await content.open(repository, part.digest)
  expect(reader.size).toBe(7)
  reader.close()
  expect(new Set(told)).toEqual(new Set(['team/app']))
})

test('what they say is gone is not given, although it is here', async () => {
  await content.manifest(repository, tag)
  failure = new Failure('no-manifest', 'deleted')
  expect(await codeOf(content.manifest(repository, tag))).toBe('no-manifest')
  expect(await codeOf(content.manifest(repository, digest))).toBe('no-manifest')
  failure = new Failure('no-blob', 'deleted')
  expect(await codeOf(content.open(repository, part.digest))).toBe('no-blob')
})

test('while none of them answers, what was given before is given, and nothing else', async () => {
  failure = new Failure('unavailable', 'all seeds are down')
  expect(await codeOf(content.manifest(repository, tag))).toBe('unavailable')
  expect(await codeOf(content.open(repository, part.digest))).toBe('unavailable')
  failure = undefined
  await content.manifest(repository, tag)
  failure = new Failure('unavailable', 'all seeds are down')
  expect((await content.manifest(repository, tag)).digest).toBe(digest)
  expect((await content.manifest(repository, digest)).digest).toBe(digest)
  const reader = await content.open(repository, part.digest)
  reader.close()
  const other = repositoryOf('apps.corp', 'team/other')
  expect(await codeOf(content.open(other, part.digest))).toBe('unavailable')
})

test('a client waits for a seed that comes up late, unless one has answered, and not for ever', async () => {
  const waits = new HomeContent({
    content: node.content,
    home: {
      resolve: async () => {
        if (failure) throw failure
        return { digest, mediaType: manifestTypes.ociManifest, size: manifest.length }
      },
      stat: async () => ({ size: layer.length, mediaType: 'application/x' }),
      pass: async () => ({ status: 200, headers: new Headers(), body: new Uint8Array() }),
    },
    store: node.store,
    open: () => {},
    waiting: node.clock,
    wall: () => node.clock.wall(),
  })
  failure = new Failure('unavailable', 'no seed')
  const inVain = codeOf(waits.manifest(repository, tag))
  await node.clock.run(20_000)
  expect(await inVain).toBe('unavailable')

  const waiting = codeOf(waits.manifest(repository, tag))
  await node.clock.run(3000)
  failure = undefined
  await node.clock.run(1000)
  expect(await waiting).toBe('none')

  failure = new Failure('unavailable', 'its backend is away', { detail: { status: 404 } })
  expect(await codeOf(waits.manifest(repository, parseTag('v2')))).toBe('unavailable')
})
