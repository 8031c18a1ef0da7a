/**
 * What every {@link Backend} must do, wherever it keeps things. It is a source of what was laid out in it; one that
 * writes keeps whole what it is given, and nothing of what it is not given whole.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import type { Backend, BackendWrites, Kept } from '../../src/home/backends/backend.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { manifestTypes } from '../../src/oci/media.ts'
import { parseTag, type Repository, repositoryOf } from '../../src/oci/reference.ts'
import type { Location } from '../../src/source/source.ts'
import { noise } from '../fakes/registry.ts'
import { collect, refuses, sourceConformance } from './source.ts'

export interface BackendFixture {
  /** The same place again: as another seed has it, or this one after a restart. */
  again(): Backend
  /** What lays content out in it; the backend itself where that writes. */
  readonly through?: Backend
  /** What it cannot: say what it has, tell repositories with the same bytes apart, know when a tag was set. */
  readonly lists?: boolean
  readonly referrers?: boolean
  readonly separate?: boolean
  readonly ordered?: boolean
  /** Take a tag away and leave the manifest. */
  readonly untags?: boolean
  stop(): Promise<void>
}

const repository = repositoryOf('apps.corp', 'team/app')
const layer = noise(3 * 1024 * 1024 + 17, 7)
const config = Buffer.from('{"os":"linux","architecture":"amd64"}')

export function backendConformance(name: string, start: () => Promise<BackendFixture>): void {
  sourceConformance(name, async () => {
    const fixture = await start()
    try {
      const source = fixture.again()
      const { manifest } = await layOut((fixture.through ?? source).writes!)
      const { stop, lists = true } = fixture
      return { source, repository, tag: 'v1', manifest, layer, lists, stop: () => stop.call(fixture) }
    } catch (error) {
      await fixture.stop()
      throw error
    }
  })

  describe(`${name} is a backend`, () => {
    let fixture: BackendFixture
    let backend: Backend
    let writes: BackendWrites
    beforeAll(async () => {
      fixture = await start()
      backend = fixture.again()
      writes = (fixture.through ?? backend).writes!
    }, 30_000)
    afterAll(() => fixture.stop())

    const blob = (digest: Digest, of: Repository = repository): Location => ({ repository: of, kind: 'blob', digest })
    const manifestAt = (digest: Digest): Location => ({ repository, kind: 'manifest', digest })
    const has = async (location: Location) => digestOf(await collect((await backend.open(location, 0)).body))

    test('has what was put, also for others who look there', async () => {
      const { manifest } = await layOut(writes)
      const other = fixture.again()
      expect(await has(blob(digestOf(layer)))).toBe(digestOf(layer))
      expect(digestOf(await collect((await other.open(manifestAt(digestOf(manifest)), 0)).body))).toBe(
        digestOf(manifest),
      )
      expect((await other.resolve(repository, parseTag('v1'))).digest).toBe(digestOf(manifest))
    })

    test('is not sent again what it has', async () => {
      await layOut(writes)
      let asked = 0
      const content = keptOf(layer, 'application/octet-stream')
      await writes.put(blob(digestOf(layer)), {
        ...content,
        read: (from) => {
          asked++
          return content.read(from)
        },
      })
      expect(asked).toBe(0)
    })

    test('has nothing of what was cut in the middle, and takes it whole afterwards', async () => {
      const bytes = noise(700_001, 21)
      const cut = {
        ...keptOf(bytes, 'application/octet-stream'),
        async *read() {
          yield bytes.subarray(0, 300_000)
          throw new Error('the disk it is read from broke')
        },
      }
      await expect(writes.put(blob(digestOf(bytes)), cut)).rejects.toThrow()
      await refuses(backend.stat(blob(digestOf(bytes))), 'no-blob')
      await writes.put(blob(digestOf(bytes)), keptOf(bytes, 'application/octet-stream'))
      expect(await has(blob(digestOf(bytes)))).toBe(digestOf(bytes))
    })

    test('has nothing of what turned out shorter or longer than it was said to be', async () => {
      for (const difference of [-1, 1]) {
        const bytes = noise(400_000, 22 + difference)
        const content = { ...keptOf(bytes, 'application/octet-stream'), size: bytes.length + difference }
        await expect(writes.put(blob(digestOf(bytes)), content)).rejects.toThrow()
        await refuses(backend.stat(blob(digestOf(bytes))), 'no-blob')
      }
    })

    test('takes the same from two at once', async () => {
      const bytes = noise(500_003, 31)
      const put = () => writes.put(blob(digestOf(bytes)), keptOf(bytes, 'application/octet-stream'))
      await Promise.all([put(), put()])
      expect(await has(blob(digestOf(bytes)))).toBe(digestOf(bytes))
    })

    test('takes a blob without bytes', async () => {
      const nothing = new Uint8Array(0)
      await writes.put(blob(digestOf(nothing)), keptOf(nothing, 'application/octet-stream'))
      expect((await backend.stat(blob(digestOf(nothing)))).size).toBe(0)
      expect(await has(blob(digestOf(nothing)))).toBe(digestOf(nothing))
    })

    test('does not give a repository what only another one has', async () => {
      if (fixture.separate === false) return
      await layOut(writes)
      const other = repositoryOf('apps.corp', 'other/app')
      await refuses(backend.stat(blob(digestOf(layer), other)), 'no-blob')
      await refuses(backend.open(blob(digestOf(layer), other), 0), 'no-blob')
      await writes.put(blob(digestOf(layer), other), keptOf(layer, 'application/octet-stream'))
      expect((await backend.stat(blob(digestOf(layer), other))).size).toBe(layer.length)
    })

    test('lets a tag move, and not back by who comes late', async () => {
      const { manifest } = await layOut(writes)
      const second = manifestOf(config, [], { n: '2' })
      await putManifest(writes, second)
      const tag = parseTag('moving')
      await writes.setTag(repository, tag, resolvedOf(manifest), 1000)
      await writes.setTag(repository, tag, resolvedOf(second), 3000)
      expect(await backend.resolve(repository, tag)).toEqual(resolvedOf(second))
      if (fixture.ordered === false) return
      await writes.setTag(repository, tag, resolvedOf(manifest), 2000)
      expect((await backend.resolve(repository, tag)).digest).toBe(digestOf(second))
    })

    test('forgets what is removed, and says nothing when it is removed again', async () => {
      const { manifest } = await layOut(writes)
      const tag = parseTag('short-lived')
      await writes.setTag(repository, tag, resolvedOf(manifest), 1000)
      for (let times = 0; times < (fixture.untags === false ? 0 : 2); times++) {
        await writes.removeTag(repository, tag)
        await refuses(backend.resolve(repository, tag), 'no-manifest')
      }
      const bytes = noise(1000, 41)
      await writes.put(blob(digestOf(bytes)), keptOf(bytes, 'application/octet-stream'))
      for (let times = 0; times < 2; times++) {
        await writes.remove(blob(digestOf(bytes)))
        await refuses(backend.stat(blob(digestOf(bytes))), 'no-blob')
      }
      await writes.put(blob(digestOf(bytes)), keptOf(bytes, 'application/octet-stream'))
      expect(await has(blob(digestOf(bytes)))).toBe(digestOf(bytes))
    })

    test('lists what refers to a manifest, by type if asked, until that is removed', async () => {
      if (fixture.referrers === false || fixture.lists === false) return
      const { manifest } = await layOut(writes)
      const signature = manifestOf(config, [], {}, { subject: descriptorOf(manifest), artifactType: 'test/signature' })
      await putManifest(writes, signature)
      const listed = async (search: string) => {
        const answer = await backend.pass(repository, `referrers/${digestOf(manifest)}`, search, undefined)
        const { manifests } = JSON.parse(new TextDecoder().decode(answer.body)) as {
          manifests: { digest: string; artifactType: string }[]
        }
        return manifests.map(({ digest, artifactType }) => ({ digest, artifactType }))
      }
      const expected = [{ digest: digestOf(signature), artifactType: 'test/signature' }]
      expect(await listed('')).toEqual(expected)
      expect(await listed('?artifactType=test/signature')).toEqual(expected)
      expect(await listed('?artifactType=test/other')).toEqual([])
      await writes.remove(manifestAt(digestOf(signature)))
      expect(await listed('')).toEqual([])
    })

    test('lists what refers to it whatever annotations that has', async () => {
      if (fixture.referrers === false || fixture.lists === false) return
      const subject = manifestOf(config, [], { n: 'subject' })
      await putManifest(writes, subject)
      const about = manifestOf(config, [], { long: 'x'.repeat(100_000) }, { subject: descriptorOf(subject) })
      await putManifest(writes, about)
      const answer = await backend.pass(repository, `referrers/${digestOf(subject)}`, '', undefined)
      const { manifests } = JSON.parse(new TextDecoder().decode(answer.body)) as { manifests: { digest: string }[] }
      expect(manifests.map(({ digest }) => digest)).toEqual([digestOf(about)])
    })
  })
}

/** An image under `v1`, `a` and `b`. */
export async function layOut(writes: BackendWrites, of: Repository = repository): Promise<{ manifest: Uint8Array }> {
  for (const bytes of [config, layer]) {
    const location: Location = { repository: of, kind: 'blob', digest: digestOf(bytes) }
    await writes.put(location, keptOf(bytes, 'application/octet-stream'))
  }
  const manifest = manifestOf(config, [layer])
  await putManifest(writes, manifest, of)
  for (const tag of ['a', 'b', 'v1']) await writes.setTag(of, parseTag(tag), resolvedOf(manifest), 1000)
  return { manifest }
}

export function keptOf(bytes: Uint8Array, mediaType: string): Kept {
  return {
    size: bytes.length,
    mediaType,
    async *read(start) {
      for (let at = start; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000)
    },
  }
}

function putManifest(writes: BackendWrites, manifest: Uint8Array, of: Repository = repository): Promise<void> {
  const location: Location = { repository: of, kind: 'manifest', digest: digestOf(manifest) }
  return writes.put(location, keptOf(manifest, manifestTypes.ociManifest))
}

function manifestOf(config: Uint8Array, layers: readonly Uint8Array[], annotations = {}, more = {}): Uint8Array {
  const part = (mediaType: string, bytes: Uint8Array) => ({ mediaType, digest: digestOf(bytes), size: bytes.length })
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestTypes.ociManifest,
      config: part('application/vnd.oci.image.config.v1+json', config),
      layers: layers.map((layer) => part('application/vnd.oci.image.layer.v1.tar', layer)),
      annotations,
      ...more,
    }),
  )
}

function descriptorOf(manifest: Uint8Array) {
  return { mediaType: manifestTypes.ociManifest, digest: digestOf(manifest), size: manifest.length }
}

const resolvedOf = descriptorOf
