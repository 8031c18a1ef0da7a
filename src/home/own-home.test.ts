/** What a seed knows of its repositories when its state was lost, and a backend has them. */
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { keptOf, layOut } from '../../test/conformance/backend.ts'
import { collect, refuses } from '../../test/conformance/source.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { systemClock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import { startForgetting } from '../state/forgetting.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { State } from '../state/state.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { FolderObjects } from './backends/folder-objects.ts'
import { ObjectBackend } from './backends/object-backend.ts'
import { Homes } from './homes.ts'
import { OwnHome } from './own-home.ts'
import { WriteBack } from './write-back.ts'

const day = 86_400_000
const repository = repositoryOf('apps.corp', 'team/app')
let dir: string
let state: State
let backend: ObjectBackend
let own: OwnHome
let manifest: Uint8Array

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'shoal-own-home-'))
  state = await openSqlite(':memory:')
  backend = new ObjectBackend(new FolderObjects(dir, systemClock))
  own = new OwnHome({ homes: new Homes([{ pattern: 'apps.corp/**', backend }]), state })
  manifest = (await layOut(backend.writes!, repository)).manifest
})
afterEach(async () => {
  await state.close()
  await rm(dir, { recursive: true, force: true })
})

const tags = async (search = '') => {
  const { body, headers } = await own.list(repository, 'tags/list', search)
  return { tags: (JSON.parse(body) as { tags: string[] }).tags, more: 'link' in headers }
}
const set = (tag: string, digest: ReturnType<typeof digestOf> | undefined, at = Date.now()) =>
  state.tags.set(repository, parseTag(tag), {
    ...(digest ? { digest } : {}),
    mediaType: manifestTypes.ociManifest,
    size: manifest.length,
    at,
    by: 'ann',
  })

test('tags, content and bytes are those of the backend', async () => {
  const { digest, size } = await own.resolve(repository, parseTag('v1'))
  expect(digest).toBe(digestOf(manifest))
  expect(await own.stat({ repository, kind: 'manifest', digest })).toEqual({
    size,
    mediaType: manifestTypes.ociManifest,
  })
  expect((await own.open({ repository, kind: 'manifest', digest }, 0)).size).toBe(manifest.length)
  expect(await tags()).toEqual({ tags: ['a', 'b', 'v1'], more: false })
})

test('what is pushed since stands beside it in one list, page by page', async () => {
  await set('aa', digestOf(manifest))
  expect(await tags('?n=2')).toEqual({ tags: ['a', 'aa'], more: true })
  expect(await tags('?n=2&last=aa')).toEqual({ tags: ['b', 'v1'], more: false })
})

test('what is deleted since is gone, whatever the backend still says', async () => {
  await set('b', undefined)
  expect((await tags()).tags).toEqual(['a', 'v1'])
  await refuses(own.resolve(repository, parseTag('b')), 'no-manifest')
})

test('what was deleted stays so for good where the backend deletes nothing, as a registry that answers 405', async () => {
  const clock = new FakeClock(Date.now())
  const refused = async () => {
    throw new Failure('bad-request', 'this registry deletes nothing')
  }
  backend.writes!.remove = refused
  backend.writes!.removeTag = refused
  const digest = digestOf(manifest)
  const fact = { digest, kind: 'manifest', mediaType: manifestTypes.ociManifest, size: manifest.length } as const
  await state.contents.add(repository, { ...fact, at: clock.wall(), parts: [digest] })
  await set('v1', digest, clock.wall())
  const homes = new Homes([{ pattern: 'apps.corp/**', backend }])
  const metrics = createMetrics()
  const bring = async () => {
    throw new Failure('unavailable', 'nobody has it')
  }
  const about = { homes, state, store: new MemoryStore({ clock }), bring, clock, metrics }
  const writeBack = new WriteBack({ ...about, mode: 'through', pinnedFor: 'home', random: () => 0, log: silentLog })
  await set('v1', undefined, clock.wall() + 1)
  await state.contents.remove(repository, digest)
  await writeBack.tag(repository, parseTag('v1'))
  await writeBack.content(repository, digest)
  await writeBack.close()
  const gone = async () => {
    await refuses(own.resolve(repository, parseTag('v1')), 'no-manifest')
    await refuses(own.stat({ repository, kind: 'manifest', digest }), 'no-manifest')
    await refuses(own.open({ repository, kind: 'manifest', digest }, 0), 'no-manifest')
  }
  await gone()
  const lasting = (each: typeof repository) => homes.lasting(each)
  const stop = startForgetting({ state, tagHistoryMs: 90 * day, lasting, clock, log: silentLog })
  clock.advance(91 * day)
  await Bun.sleep(20)
  stop()
  expect(await state.tags.history(repository, parseTag('v1'), 9)).toHaveLength(1)
  await gone()
})

test('a backend that cannot be asked does not keep what the state knows from being listed', async () => {
  await set('v2', digestOf(manifest))
  const broken = new ObjectBackend(new FolderObjects(join(dir, 'file'), systemClock))
  await Bun.write(join(dir, 'file'), '')
  own = new OwnHome({ homes: new Homes([{ pattern: 'apps.corp/**', backend: broken }]), state })
  expect((await tags()).tags).toEqual(['v2'])
})

test('referrers of both are in one list, each once, and none that was deleted', async () => {
  const subject = digestOf(manifest)
  const of = (type: string) =>
    Buffer.from(JSON.stringify({ schemaVersion: 2, artifactType: type, subject: { digest: subject } }))
  const put = async (bytes: Uint8Array) => {
    const kept = keptOf(bytes, manifestTypes.ociManifest)
    await backend.writes!.put({ repository, kind: 'manifest', digest: digestOf(bytes) }, kept)
  }
  const add = (bytes: Uint8Array, artifactType: string) => {
    const common = { kind: 'manifest', mediaType: manifestTypes.ociManifest, at: Date.now() } as const
    const content = { ...common, digest: digestOf(bytes), size: bytes.length, subject, artifactType }
    return state.contents.add(repository, content)
  }
  await put(of('old/sbom'))
  await put(of('both/sbom'))
  await add(of('both/sbom'), 'both/sbom')
  await add(of('new/sbom'), 'new/sbom')
  await put(of('gone/sbom'))
  await add(of('gone/sbom'), 'gone/sbom')
  await state.contents.remove(repository, digestOf(of('gone/sbom')))
  const { body } = await own.list(repository, `referrers/${subject}`, '')
  const { manifests } = JSON.parse(body) as { manifests: { artifactType: string }[] }
  expect(manifests.map(({ artifactType }) => artifactType).sort()).toEqual(['both/sbom', 'new/sbom', 'old/sbom'])
})

test('what came from another repository is read there, until its own backend has it too', async () => {
  const [other, stranger] = [repositoryOf('apps.corp', 'other'), repositoryOf('loose.corp', 'app')]
  const [digest, bytes] = [digestOf(Buffer.from('shared')), Buffer.from('shared')]
  const blob = (of: typeof repository) => ({ repository: of, kind: 'blob', digest }) as const
  await backend.writes!.put(blob(repository), keptOf(bytes, 'application/octet-stream'))
  await refuses(own.open(blob(other), 0), 'no-blob')
  const fact = { digest, kind: 'blob', mediaType: 'application/octet-stream', size: bytes.length, at: 1 } as const
  for (const has of [other, repository]) await state.contents.add(has, fact)
  expect(Buffer.from(await collect((await own.open(blob(other), 2)).body))).toEqual(bytes.subarray(2))
  own = new OwnHome({ homes: new Homes([{ pattern: 'apps.corp/**', backend }, { pattern: 'loose.corp/**' }]), state })
  await refuses(own.open(blob(stranger), 0), 'unavailable')
  await state.contents.add(stranger, fact)
  expect(await collect((await own.open(blob(stranger), 0)).body)).toEqual(new Uint8Array(bytes))
})
