import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { manifestFacts } from './manifest.ts'

const [one, two] = ['one', 'two'].map((text) => digestOf(Buffer.from(text)))
const descriptor = (digest = one, mediaType = 'application/x') => ({ mediaType, digest, size: 3 })
const facts = (manifest: unknown, said?: string) => manifestFacts(Buffer.from(JSON.stringify(manifest)), said)
const image = { mediaType: manifestTypes.ociManifest, config: descriptor(), layers: [descriptor(two)] }

describe('a manifest that is pushed', () => {
  test('of an image names its config and layers', () => {
    expect(facts(image)).toEqual({
      mediaType: manifestTypes.ociManifest,
      artifactType: 'application/x',
      parts: [
        { digest: one!, size: 3, kind: 'blob' },
        { digest: two!, size: 3, kind: 'blob' },
      ],
    })
  })

  test.each(['layers', 'blobs', 'manifests'])('has none of its %s where it says null', (list) => {
    expect(facts({ ...image, layers: [], [list]: null }).parts).toEqual([{ digest: one!, size: 3, kind: 'blob' }])
    expect(facts({ mediaType: manifestTypes.ociIndex, manifests: [], [list]: null }).parts).toEqual([])
  })

  test('of an image has config and layers, and of an index manifests, however few', () => {
    const { layers: _, ...bare } = image
    expect(() => facts(bare)).toThrow('it has config and layers')
    expect(() => facts({ mediaType: manifestTypes.ociIndex })).toThrow('an index has manifests')
  })

  test('of an index names manifests', () => {
    const manifests = [descriptor(one, manifestTypes.ociManifest)]
    const index = { mediaType: manifestTypes.ociIndex, manifests, artifactType: 'a/b' }
    expect(facts(index)).toMatchObject({ artifactType: 'a/b', parts: [{ digest: one, kind: 'manifest' }] })
  })

  test("of BuildKit's cache is an index and names blobs", () => {
    const layer = descriptor(one, 'application/vnd.oci.image.layer.v1.tar+gzip')
    const config = descriptor(two, 'application/vnd.buildkit.cacheconfig.v0')
    expect(facts({ mediaType: manifestTypes.ociIndex, manifests: [layer, config] }).parts).toEqual([
      { digest: one!, size: 3, kind: 'blob' },
      { digest: two!, size: 3, kind: 'blob' },
    ])
  })

  test('says what it is about, what it is, and what others should see of it', () => {
    const about = { subject: descriptor(two), artifactType: 'a/b', annotations: { of: 'it' } }
    expect(facts({ ...image, ...about })).toMatchObject({
      subject: two!,
      artifactType: 'a/b',
      annotations: { of: 'it' },
    })
  })

  test('needs no layers that are elsewhere', () => {
    const foreign = descriptor(two, 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip')
    expect(facts({ ...image, layers: [foreign] }).parts).toHaveLength(1)
  })

  test('is of the type it came with, if it does not say another', () => {
    const { mediaType: _, ...silent } = image
    expect(facts(silent, `${manifestTypes.ociManifest}; charset=utf-8`).mediaType).toBe(manifestTypes.ociManifest)
    expect(() => facts(image, manifestTypes.dockerManifest)).toThrow('its Content-Type is')
    expect(() => facts(silent)).toThrow('neither a Content-Type nor a mediaType')
  })

  test('that is anything else is refused with a reason, and nothing worse', () => {
    const codeOf = (bytes: Uint8Array, said?: string) => {
      try {
        manifestFacts(bytes, said)
      } catch (error) {
        return Failure.from(error).code
      }
      return undefined
    }
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), fc.constantFrom(...Object.values(manifestTypes)), (text, type) => {
        expect(codeOf(Buffer.from(text), type)).toBe('bad-manifest')
      }),
    )
    expect(codeOf(Uint8Array.of(0xff, 0xfe))).toBe('bad-manifest')
  })
})
