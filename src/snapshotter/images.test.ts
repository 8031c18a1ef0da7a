import { describe, expect, test } from 'bun:test'
import { type Digest, digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import { type ImageFiles, Images, layersOf, type ManifestFacts } from './images.ts'

const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
const named = (text: string) => digestOf(new TextEncoder().encode(text))

/** A content store of containerd. */
class Store implements ImageFiles {
  readonly files = new Map<Digest, Uint8Array>()
  readonly facts: ManifestFacts[] = []
  reads = 0

  put(value: unknown): Digest {
    const content = bytes(value)
    this.files.set(digestOf(content), content)
    return digestOf(content)
  }
  image(names: readonly string[], ...repositories: readonly string[]): ManifestFacts {
    const config = this.put({ rootfs: { diff_ids: names.map((name) => named(`tar of ${name}`)) } })
    const layers = names.map((name) => ({ digest: named(name), mediaType: 'application/gzip', size: name.length }))
    const facts = {
      digest: this.put({ layers, of: repositories }),
      config,
      repositories: repositories.map((name) => repositoryOf('registry.lab', name)),
    }
    this.facts.push(facts)
    return facts
  }
  async manifests() {
    return this.facts
  }
  async read(_: string, digest: Digest) {
    this.reads++
    const found = this.files.get(digest)
    if (!found) throw new Error('not there')
    return found
  }
}

/** OCI image spec, "Layer ChainID". */
const chainOf = (...names: string[]) =>
  names.map((name) => named(`tar of ${name}`)).reduce((chain, diffId) => named(`${chain} ${diffId}`))
const asked = (ref: string, labels = {}) => ({ ref, namespace: 'default', labels })

describe('the layer with a chain ID', () => {
  test('is found in the image that has it in that place, with what the mounter has to know', async () => {
    const store = new Store()
    store.image(['x', 'b'], 'org/other')
    const { digest } = store.image(['a', 'b', 'c'], 'org/app')
    const images = new Images(store)
    const found = await images.find(asked(chainOf('a', 'b')))
    expect(found.layer).toEqual({
      repository: 'registry.lab/org/app',
      digest: named('b'),
      mediaType: 'application/gzip',
      size: 1,
      diffId: named('tar of b'),
    })
    expect(found.manifest).toBe(digest)
    expect(found.others.map((layer) => layer.digest)).toEqual([named('a'), named('c')])
  })

  test('is read from where the client pulled it from, and is the one that the client names', async () => {
    const store = new Store()
    store.image(['a'], 'org/app')
    const other = { digest: named('same tar, compressed otherwise'), mediaType: 'application/zstd', size: 7 }
    const [first] = store.facts
    store.facts.push({ ...first!, digest: store.put({ layers: [other] }) })
    const images = new Images(store)
    const labels = {
      'containerd.io/snapshot/cri.image-ref': 'registry.lab:5000/team/app:v1',
      'containerd.io/snapshot/cri.layer-digest': other.digest,
    }
    expect((await images.find(asked(chainOf('a'), labels))).layer).toMatchObject({
      ...other,
      repository: 'registry.lab:5000/team/app',
    })
    const stargz = { 'containerd.io/snapshot/remote/stargz.reference': 'docker.io/library/a:1' }
    expect((await images.find(asked(chainOf('a'), stargz))).layer.repository).toBe('docker.io/library/a')
    expect((await images.find(asked(chainOf('a')))).layer.repository).toBe('registry.lab/org/app')
  })

  test('is looked for once in each image', async () => {
    const store = new Store()
    store.image(['a', 'b'], 'org/app')
    const images = new Images(store)
    await images.find(asked(chainOf('a')))
    const { reads } = store
    await images.find(asked(chainOf('a', 'b')))
    expect(store.reads).toBe(reads)
  })

  test('is not known where no image has it, or none that came from a registry; what cannot be read is passed over', async () => {
    const store = new Store()
    store.facts.push({ digest: named('gone'), config: named('gone too'), repositories: [] })
    store.facts.push({ digest: store.put({ manifests: [] }), config: store.put('text'), repositories: [] })
    store.image(['imported'])
    const images = new Images(store)
    const why = (ref: string) => images.find(asked(ref)).then(String, (error: Error) => error.message)
    expect(await why(chainOf('a'))).toContain('no manifest')
    expect(await why(chainOf('imported'))).toContain('came from no registry')
    store.image(['imported'], 'org/app')
    expect((await images.find(asked(chainOf('imported')))).layer.repository).toBe('registry.lab/org/app')
  })

  test('is none when an image has not as many layers as tars', () => {
    expect(layersOf([], [named('x')]).size).toBe(0)
  })
})
