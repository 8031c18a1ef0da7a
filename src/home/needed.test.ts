import { afterEach, beforeEach, expect, spyOn, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { keptOf } from '../../test/conformance/backend.ts'
import { refuses } from '../../test/conformance/source.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { systemClock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { State } from '../state/state.ts'
import { FolderObjects } from './backends/folder-objects.ts'
import { ObjectBackend } from './backends/object-backend.ts'
import { Homes } from './homes.ts'
import { neededAt, neededBeside } from './needed.ts'

const repository = repositoryOf('apps.corp', 'team/app')
const d = (name: string): Digest => digestOf(Buffer.from(name))
const described = (name: string) => ({ mediaType: 'application/octet-stream', digest: d(name), size: name.length })
const imageOf = (name: string, subject?: Digest) =>
  Buffer.from(
    JSON.stringify({
      mediaType: manifestTypes.ociManifest,
      config: described(`config of ${name}`),
      layers: [described(`layer of ${name}`)],
      ...(subject ? { subject: { ...described(name), digest: subject } } : {}),
    }),
  )
const partsOf = (name: string) => [d(`config of ${name}`), d(`layer of ${name}`)]

let dir: string
let state: State
let backend: ObjectBackend

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'shoal-needed-'))
  state = await openSqlite(':memory:')
  backend = new ObjectBackend(new FolderObjects(dir, systemClock))
})
afterEach(async () => {
  await state.close()
  await rm(dir, { recursive: true, force: true })
})

async function put(bytes: Uint8Array, ...tags: string[]): Promise<Digest> {
  const [digest, mediaType] = [digestOf(bytes), manifestTypes.ociManifest]
  await backend.writes!.put({ repository, kind: 'manifest', digest }, keptOf(bytes, mediaType))
  const to = { digest, mediaType, size: bytes.length }
  for (const tag of tags) await backend.writes!.setTag(repository, parseTag(tag), to, 1)
  return digest
}
const heard = (tag: string, digest?: Digest) =>
  state.tags.set(repository, parseTag(tag), { ...(digest ? { digest } : {}), mediaType: '', size: 1, at: 1, by: 'ann' })
const needed = async (...staying: Digest[]) => [...(await neededBeside({ backend, state }, repository, staying))].sort()

test('what tags lead to that the state never heard of, through indexes and what refers to it', async () => {
  const child = await put(imageOf('child'))
  const listed = { mediaType: manifestTypes.ociManifest, digest: child, size: imageOf('child').length }
  const gone = { ...listed, digest: d('never brought here') }
  const index = await put(Buffer.from(JSON.stringify({ manifests: [listed, gone] })), 'v1', 'also')
  const signature = await put(imageOf('signature', child))
  await put(imageOf('untagged'))
  expect(await needed()).toEqual(
    [index, child, gone.digest, signature, ...partsOf('child'), ...partsOf('signature')].sort(),
  )
})

test('not what the state speaks of: tags it has or had, and referrers', async () => {
  const stays = await put(imageOf('stays'), 'stays')
  await put(imageOf('deleted'), 'deleted')
  const known = await put(imageOf('known', stays))
  const signature = await put(imageOf('signature', stays))
  await heard('stays', stays)
  await heard('deleted')
  const fact = { digest: known, kind: 'manifest', mediaType: '', size: 1, at: 1, subject: stays } as const
  await state.contents.add(repository, fact)
  expect(await needed(stays)).toEqual([signature, ...partsOf('signature')].sort())
  expect(await needed()).toEqual([])
})

test('of all pages, more at once than are asked for at a time', async () => {
  const inner = backend
  const pages: string[] = []
  for (let i = 0; i < 40; i++) await put(imageOf(`image ${i}`), `v${i}`)
  const pass: ObjectBackend['pass'] = (of, path, search, ...rest) => {
    pages.push(search)
    return inner.pass(of, path, search.replace('n=1000', 'n=7'), ...rest)
  }
  const paged = { name: inner.name, resolve: inner.resolve.bind(inner), open: inner.open.bind(inner), pass }
  expect((await neededBeside({ backend: paged, state }, repository, [])).size).toBe(120)
  expect(pages.filter((search) => search !== '')).toHaveLength(6)
})

test('nothing is said where the backend does not tell its tags', async () => {
  const silent = {
    ...{ name: 'silent', resolve: backend.resolve.bind(backend), open: backend.open.bind(backend) },
    pass: async () => ({ status: 405, headers: new Headers(), body: new Uint8Array() }),
  }
  const failure = await refuses(neededBeside({ backend: silent, state }, repository, []), 'unsupported')
  expect(failure.message).toBe('silent does not tell tags/list of apps.corp/team/app: it answers 405')
  const broken = { ...silent, pass: () => Promise.reject(new Failure('unavailable', 'it is away')) }
  await refuses(neededBeside({ backend: broken, state }, repository, []), 'unavailable')
})

test('what refers to an image is found under its tags at a registry that does not list it', async () => {
  const child = await put(imageOf('child'), 'v1')
  const signature = await put(imageOf('signature', child), 'sha256-child.sig')
  const pass: ObjectBackend['pass'] = async (of, path, ...rest) =>
    path === 'tags/list'
      ? backend.pass(of, path, ...rest)
      : { status: 405, headers: new Headers(), body: new Uint8Array() }
  const old = { name: 'old', resolve: backend.resolve.bind(backend), open: backend.open.bind(backend), pass }
  const found = await neededBeside({ backend: old, state }, repository, [d('a')])
  expect([...found].sort()).toEqual([child, signature, ...partsOf('child'), ...partsOf('signature')].sort())
})

test('nothing is asked where the repository has no backend', async () => {
  const at = neededAt(new Homes([{ pattern: 'apps.corp/**' }]), state, systemClock)
  expect((await at(repository, [d('a')])).size).toBe(0)
})

test('what refers to a manifest is asked again when something did, and after a day', async () => {
  const clock = new FakeClock()
  const [bare, signed] = [await put(imageOf('bare')), await put(imageOf('signed'))]
  const signature = await put(imageOf('signature', signed))
  const asked = spyOn(backend, 'pass')
  const at = neededAt(new Homes([{ pattern: 'apps.corp/**', backend }]), state, clock)
  const look = async () => {
    asked.mockClear()
    expect([...(await at(repository, [bare, signed]))].sort()).toEqual([signature, ...partsOf('signature')].sort())
    return asked.mock.calls.map(([, path]) => path).filter((path) => path.endsWith(bare)).length
  }
  expect([await look(), await look()]).toEqual([1, 0])
  clock.advance(86_400_000)
  expect(await look()).toBe(1)
})
