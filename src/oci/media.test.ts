import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  acceptManifests,
  contentsOf,
  isLookedFor,
  looksLikeManifest,
  manifestTypes,
  maxManifestBytes,
  mediaTypeOf,
} from './media.ts'

const bytes = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
const digest = (character: string) => `sha256:${character.repeat(64)}`
const descriptor = (character: string, size = 1) => ({ mediaType: 'a/b', digest: digest(character), size })

test('what may be a manifest is an object that says what it consists of, or by which schema', () => {
  const looks = (value: unknown) => looksLikeManifest(bytes(value))
  for (const yes of [{ manifests: [] }, { config: {}, layers: [] }, { schemaVersion: 1 }]) expect(looks(yes)).toBe(true)
  for (const no of [{}, { config: {} }, { layers: [] }, ['manifests'], 'manifests', 2, null, { errors: [] }]) {
    expect(looks(no)).toBe(false)
  }
  expect(looksLikeManifest(new TextEncoder().encode('<html>Log in</html>'))).toBe(false)
})

describe('contents', () => {
  test('of an image manifest are its config, then its layers in order', () => {
    const { blobs, manifests } = contentsOf(
      bytes({ config: descriptor('c', 10), layers: [descriptor('1'), descriptor('2')] }),
    )
    expect(blobs.map((blob) => blob.digest.slice(7, 8))).toEqual(['c', '1', '2'])
    expect(blobs[0]).toEqual({ digest: blobs[0]!.digest, size: 10, mediaType: 'a/b' })
    expect(manifests).toEqual([])
  })

  test("of BuildKit's cache are layers that an index lists, and no manifests", () => {
    const layer = { ...descriptor('1'), mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip' }
    const config = { ...descriptor('2'), mediaType: 'application/vnd.buildkit.cacheconfig.v0' }
    const { manifests, blobs } = contentsOf(bytes({ mediaType: manifestTypes.ociIndex, manifests: [layer, config] }))
    expect(manifests).toEqual([])
    expect(blobs.map((blob) => blob.digest.slice(7, 8))).toEqual(['1', '2'])
  })

  test('say whether a registry looks for them, which Go reads in any case', () => {
    const layers = [
      descriptor('1'),
      { ...descriptor('2'), mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar' },
      { ...descriptor('3'), urls: ['https://elsewhere.example'] },
      { ...descriptor('4'), urls: [], URLs: ['https://elsewhere.example'] },
      { ...descriptor('5'), url\u017f: ['https://elsewhere.example'] },
      { ...descriptor('6'), urls: [] },
      { ...descriptor('7'), urls: null },
    ]
    const looked = contentsOf(bytes({ layers })).blobs.filter(isLookedFor)
    expect(looked.map((blob) => blob.digest.slice(7, 8))).toEqual(['1', '6', '7'])
  })

  test('of an index that does not say what it lists are manifests', () => {
    const { mediaType: _, ...untyped } = descriptor('1')
    const old = { ...descriptor('2'), mediaType: 'application/vnd.oci.artifact.manifest.v1+json' }
    expect(contentsOf(bytes({ manifests: [untyped, old] })).manifests).toHaveLength(2)
  })

  test('of an index are its manifests with their platforms', () => {
    const mediaType = manifestTypes.ociManifest
    const { manifests, blobs } = contentsOf(
      bytes({
        manifests: [
          { ...descriptor('1'), mediaType, platform: { os: 'linux', architecture: 'amd64' } },
          { ...descriptor('2'), mediaType, platform: { os: 'linux', architecture: 'arm64', variant: 'v8' } },
          { ...descriptor('3'), mediaType, platform: { os: 'linux' } },
        ],
      }),
    )
    expect(manifests.map((manifest) => manifest.platform)).toEqual(['linux/amd64', 'linux/arm64/v8', undefined])
    expect(blobs).toEqual([])
  })

  test('leave out what is malformed and keep the rest', () => {
    const layers = [
      null,
      7,
      [],
      {},
      { digest: 'sha256:x', size: 1 },
      { digest: digest('1'), size: -1 },
      { digest: digest('2'), size: 1.5 },
      { digest: digest('3'), size: '4' },
      { digest: digest('4'), size: 2 ** 60 },
      { digest: digest('5'), size: 5 },
    ]
    expect(contentsOf(bytes({ config: 'none', layers })).blobs).toEqual([
      {
        digest: contentsOf(bytes({ layers: [descriptor('5')] })).blobs[0]!.digest,
        size: 5,
        mediaType: 'application/octet-stream',
      },
    ])
  })

  test('of anything at all are read without an error', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((text) => new TextEncoder().encode(text)),
        ),
        (input) => {
          const { manifests, blobs } = contentsOf(input)
          expect(Array.isArray(manifests) && Array.isArray(blobs)).toBe(true)
          expect(typeof mediaTypeOf(input)).toBe('string')
        },
      ),
    )
  })
})

test.each([
  ['broken', '['.repeat(maxManifestBytes)],
  ['whole', '['.repeat(maxManifestBytes / 2) + ']'.repeat(maxManifestBytes / 2)],
  ['in a layer', `{"layers":[${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}]}`],
])('JSON as deep as a manifest may be long, %s, is read like any other that has nothing in it', (_, text) => {
  expect(contentsOf(new TextEncoder().encode(text))).toEqual({ manifests: [], blobs: [] })
  expect(mediaTypeOf(new TextEncoder().encode(text))).toBe(manifestTypes.ociManifest)
})

describe('the media type', () => {
  test('is what the manifest says', () => {
    expect(mediaTypeOf(bytes({ mediaType: manifestTypes.dockerManifest, layers: [] }))).toBe(
      manifestTypes.dockerManifest,
    )
  })
  test('is told by the shape when the manifest does not say', () => {
    expect(mediaTypeOf(bytes({ manifests: [] }))).toBe(manifestTypes.ociIndex)
    expect(mediaTypeOf(bytes({ layers: [] }))).toBe(manifestTypes.ociManifest)
  })
  test('is not believed when it is absurdly long', () => {
    expect(mediaTypeOf(bytes({ mediaType: 'x'.repeat(300) }))).toBe(manifestTypes.ociManifest)
  })
  test('of all four kinds are accepted from a source', () => {
    expect(acceptManifests.split(', ').sort()).toEqual(Object.values(manifestTypes).sort())
  })
})
