import { describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import { Pinning } from './pinning.ts'

const repository = repositoryOf('docker.io', 'debian')
const bytesOf = (value: unknown) => new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value))
const describeBytes = (bytes: Uint8Array, mediaType: string) => ({
  digest: digestOf(bytes),
  size: bytes.length,
  mediaType,
})
const layerType = 'application/vnd.oci.image.layer.v1.tar+gzip'

/** An index of two platforms, of which one is here, with one of its two layers. */
async function pulled() {
  const clock = new FakeClock()
  const store = new MemoryStore({ clock })
  const [config, here, absent] = [bytesOf('config'), bytesOf('the layer that is here'), bytesOf('the other layer')]
  const manifest = bytesOf({
    schemaVersion: 2,
    mediaType: manifestTypes.ociManifest,
    config: describeBytes(config, 'application/vnd.oci.image.config.v1+json'),
    layers: [here, absent].map((layer) => describeBytes(layer, layerType)),
  })
  const index = bytesOf({
    schemaVersion: 2,
    mediaType: manifestTypes.ociIndex,
    manifests: [manifest, bytesOf('another platform')].map((each) => describeBytes(each, manifestTypes.ociManifest)),
  })
  for (const [kind, bytes] of [
    ['manifest', index],
    ['manifest', manifest],
    ['blob', config],
    ['blob', here],
  ] as const) {
    await store.put({ digest: digestOf(bytes), kind, mediaType: 'application/x' }, bytes)
  }
  const record = { digest: digestOf(index), mediaType: manifestTypes.ociIndex, size: index.length, resolvedAt: 0 }
  store.setTag(repository, parseTag('13'), record)
  const bytes = index.length + manifest.length + config.length + here.length
  return { clock, store, pinning: new Pinning(store), index, manifest, config, here, absent, bytes }
}

describe('an image', () => {
  test('is pinned with its manifests that are here and all its layers, also one that is yet to come', async () => {
    const { clock, store, pinning, index, manifest, config, here, absent, bytes } = await pulled()
    const until = clock.wall() + 1000
    expect(await pinning.pin('debian:13', until)).toEqual({
      name: 'docker.io/library/debian:13',
      until,
      blobs: 5,
      bytes,
      missing: 1,
    })
    expect(new Set(store.pins().map((pin) => pin.digest))).toEqual(
      new Set([index, manifest, config, here, absent].map((each) => digestOf(each))),
    )
    await store.put({ digest: digestOf(absent), kind: 'blob' }, absent)
    expect(store.plan(0).remove).toEqual([])
    expect(pinning.list()).toMatchObject([{ blobs: 5, missing: 0 }])
    clock.advance(1000)
    expect(pinning.list()).toEqual([])
    expect(store.plan(0).remove).toHaveLength(5)
  })

  test('pinned again counts from then on alone, and what its tag does not mean any more may go', async () => {
    const { clock, store, pinning, manifest } = await pulled()
    await pinning.pin('debian:13', clock.wall() + 1000)
    const record = { digest: digestOf(manifest), mediaType: 'application/m', size: manifest.length, resolvedAt: 0 }
    store.setTag(repository, parseTag('13'), record)
    const again = await pinning.pin('docker.io/library/debian:13')
    expect([again.blobs, again.until]).toEqual([4, undefined])
    expect(store.plan(0).remove).toHaveLength(1)
  })

  test('leaves a layer alone that another pin still holds', async () => {
    const { store, pinning, here } = await pulled()
    await pinning.pin('debian:13')
    await pinning.pin(digestOf(here))
    expect(pinning.list(digestOf(here)).map(({ name }) => name)).toEqual([
      'docker.io/library/debian:13',
      digestOf(here),
    ])
    expect([pinning.unpin('debian:13'), pinning.unpin('debian:13')]).toEqual([true, false])
    expect(store.plan(0).keep.map(({ digest }) => digest)).toEqual([digestOf(here)])
  })
})

test.each(['debian:12', 'ghcr.io/org/app', digestOf(bytesOf('nowhere'))])(
  'what is not here, %s, is not pinned',
  async (name) => {
    const { pinning, store } = await pulled()
    await expect(pinning.pin(name)).rejects.toMatchObject({ code: 'no-blob' })
    expect(store.pins()).toEqual([])
  },
)

test('what a manifest lists is pinned only while the disk has kept the manifest', async () => {
  const { store, pinning, manifest } = await pulled()
  store.find(digestOf(manifest))!.rot(0)
  await expect(pinning.pin('debian:13')).rejects.toMatchObject({ code: 'unavailable' })
  expect(store.pins()).toEqual([])
})

test('a name that is none is refused', async () => {
  const { pinning } = await pulled()
  await expect(pinning.pin('No Name')).rejects.toMatchObject({ code: 'bad-name' })
  expect(() => pinning.list('debian@sha256:short')).toThrow()
})
