import { describe, expect, test } from 'bun:test'
import { Failure } from '../failure.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { parseReference } from '../oci/reference.ts'
import { type Entry, type Image, imageOf, indexWith, type Manifest } from './image.ts'

/** A registry of one repository, which counts what is asked. */
class Shelf {
  readonly #manifests = new Map<string, Manifest>()
  readonly asked: string[] = []

  put(content: object, mediaType: string = manifestTypes.ociManifest, ...tags: string[]): Manifest {
    const bytes = Buffer.from(JSON.stringify(content))
    const manifest = { bytes, digest: digestOf(bytes), mediaType }
    for (const name of [manifest.digest, ...tags]) this.#manifests.set(name, manifest)
    return manifest
  }

  image(text: string, platform = 'linux/amd64'): Promise<Image> {
    return imageOf(parseReference(text), platform, async (_, reference) => {
      this.asked.push(reference)
      const found = this.#manifests.get(reference)
      if (!found) throw new Failure('no-manifest', `no ${reference}`)
      return found
    })
  }
}

const blob = (text: string) => ({
  digest: digestOf(Buffer.from(text)),
  size: text.length,
  mediaType: 'application/vnd.oci.image.layer.v1.tar',
})
const descriptor = ({ digest, bytes, mediaType }: Manifest, platform?: object) => ({
  digest,
  size: bytes.length,
  mediaType,
  ...(platform ? { platform } : {}),
})
const [amd64, arm64] = ['amd64', 'arm64'].map((architecture) => ({ os: 'linux', architecture }))
const digests = (image: Image) => image.parts.map(({ digest }) => digest)

describe('an image consists of', () => {
  const shelf = new Shelf()
  const one = shelf.put({ config: blob('c1'), layers: [blob('shared'), blob('l1'), blob('shared')] })
  const two = shelf.put({ config: blob('c2'), layers: [blob('shared'), blob('l2')] })
  const list = { manifests: [descriptor(one, amd64), descriptor(two, arm64)] }
  const index = shelf.put(list, manifestTypes.ociIndex, 'v1')

  test('the manifest of its platform, and what that lists, each once', async () => {
    const image = await shelf.image('org/app:v1', 'linux/arm64')
    expect(digests(image)).toEqual([two.digest, ...['c2', 'shared', 'l2'].map((text) => blob(text).digest)])
    expect(image.entry).toEqual({
      mediaType: manifestTypes.ociManifest,
      digest: two.digest,
      size: two.bytes.length,
      platform: { os: 'linux', architecture: 'arm64' },
      annotations: {
        'org.opencontainers.image.ref.name': 'v1',
        'io.containerd.image.name': 'docker.io/org/app:v1',
      },
    })
    expect(image.parts.filter(({ bytes }) => bytes).map(({ digest }) => digest)).toEqual([two.digest])
  })

  test('the index and all that it leads to, where all platforms are wanted', async () => {
    const image = await shelf.image('org/app:v1', 'all')
    const blobs = ['c1', 'shared', 'l1', 'c2', 'l2'].map((text) => blob(text).digest)
    expect(digests(image)).toEqual([one.digest, two.digest, index.digest, ...blobs])
    expect(image.entry.digest).toBe(index.digest)
  })

  test('no layers that are elsewhere', async () => {
    const foreign = { ...blob('windows'), mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip' }
    const { digest } = shelf.put(
      { config: blob('c3'), layers: [foreign, blob('l3')] },
      manifestTypes.ociManifest,
      'win',
    )
    expect(digests(await shelf.image('org/app:win'))).toEqual([digest, blob('c3').digest, blob('l3').digest])
  })

  test('not of itself without end', async () => {
    let inner = shelf.put({ config: blob('c'), layers: [] })
    for (let depth = 0; depth < 8; depth++)
      inner = shelf.put({ manifests: [descriptor(inner)] }, manifestTypes.ociIndex, 'deep')
    expect(await shelf.image('org/app:deep', 'all').catch((error) => Failure.from(error).code)).toBe('corrupt')
  })

  test('what Docker pushed in its own form, in OCI’s', async () => {
    const layer = { ...blob('l'), mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip' }
    const config = { ...blob('c'), mediaType: 'application/vnd.docker.container.image.v1+json' }
    const own = { schemaVersion: 2, mediaType: manifestTypes.dockerManifest, config, layers: [layer] }
    const inner = shelf.put(own, manifestTypes.dockerManifest)
    const list = { mediaType: manifestTypes.dockerList, manifests: [descriptor(inner, amd64), descriptor(one, arm64)] }
    shelf.put(list, manifestTypes.dockerList, 'docker')
    const { entry, parts } = await shelf.image('org/app:docker', 'all')
    const byDigest = new Map(parts.map((part) => [part.digest, part]))
    const index = JSON.parse(Buffer.from(byDigest.get(entry.digest)!.bytes!).toString())
    expect([entry.mediaType, index.mediaType]).toEqual([manifestTypes.ociIndex, manifestTypes.ociIndex])
    expect(index.manifests.map((manifest: Entry) => manifest.mediaType)).toEqual(
      Array(2).fill(manifestTypes.ociManifest),
    )
    // What was OCI's already stays, byte for byte.
    expect(index.manifests[1].digest).toBe(one.digest)
    const changed = byDigest.get(index.manifests[0].digest)!
    expect([changed.size, digestOf(changed.bytes!)]).toEqual([index.manifests[0].size, changed.digest])
    const manifest = JSON.parse(Buffer.from(changed.bytes!).toString())
    expect(manifest).toEqual({
      ...own,
      mediaType: manifestTypes.ociManifest,
      config: { ...config, mediaType: 'application/vnd.oci.image.config.v1+json' },
      layers: [{ ...layer, mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' }],
    })
    expect([byDigest.has(config.digest), byDigest.has(inner.digest)]).toEqual([true, false])
  })

  test('by digest, nothing that is found by a tag', async () => {
    const image = await shelf.image(`org/app@${one.digest}`)
    expect(image.entry.annotations).toEqual({ 'io.containerd.image.name': `docker.io/org/app@${one.digest}` })
  })
})

describe('the index of a layout', () => {
  const entry = (name: string, tag: string, text: string): Entry => ({
    mediaType: manifestTypes.ociManifest,
    digest: digestOf(Buffer.from(text)) as Digest,
    size: 1,
    annotations: { 'org.opencontainers.image.ref.name': tag, 'io.containerd.image.name': `docker.io/${name}:${tag}` },
  })
  const names = (text: string) =>
    (JSON.parse(text).manifests as Entry[]).map(({ annotations }) => annotations['org.opencontainers.image.ref.name'])

  test('has what it had and what was added', () => {
    expect(names(indexWith([entry('a', 'v1', '1')], [entry('b', 'v2', '2')]))).toEqual(['v1', 'v2'])
  })

  test('has one entry for an image, the newest', () => {
    const text = indexWith([entry('a', 'v1', '1'), entry('b', 'v2', '2')], [entry('a', 'v1', '3')])
    expect(names(text)).toEqual(['v2', 'v1'])
    expect(text).toContain(digestOf(Buffer.from('3')))
    expect(text).not.toContain(digestOf(Buffer.from('1')))
  })

  test('tells images of the same tag apart', () => {
    expect(names(indexWith([], [entry('a', 'v1', '1'), entry('b', 'v1', '2')]))).toEqual(['v1', 'docker.io/b:v1'])
    expect(names(indexWith([entry('a', 'v1', '1')], [entry('b', 'v1', '2')]))).toEqual(['v1', 'docker.io/b:v1'])
  })
})
