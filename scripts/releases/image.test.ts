import { expect, test } from 'bun:test'
import { gunzipSync } from 'node:zlib'
import { extract } from 'tar-stream'
import { imageArchive, type Platform } from './image.ts'
import type { Entry } from './tar.ts'

const facts = {
  version: '1.2.3',
  commit: 'c'.repeat(40),
  license: 'Apache-2.0',
  description: 'as the package has it',
  date: new Date('2026-11-22T08:00:00Z'),
}
const library: readonly Entry[] = [
  { type: 'directory', name: 'usr' },
  { type: 'directory', name: 'usr/lib' },
  { type: 'file', name: 'usr/lib/libc.so.6', bytes: Buffer.from('library'), mode: 0o755 },
]
const platforms: Platform[] = ['amd64', 'arm64'].map((architecture) => ({
  architecture,
  binary: Buffer.from(`binary for ${architecture}`),
  library,
}))

async function filesIn(
  tar: Uint8Array,
): Promise<Map<string, { bytes: Buffer; mode: number; uid: number; date: Date }>> {
  const found = new Map<string, { bytes: Buffer; mode: number; uid: number; date: Date }>()
  const archive = extract()
  archive.end(tar)
  for await (const entry of archive) {
    const { name, mode = 0, uid = 0, mtime } = entry.header
    const plain = name.replace(/\/$/, '')
    expect([...found.keys()]).not.toContain(plain)
    const chunks: Uint8Array[] = []
    for await (const chunk of entry) chunks.push(chunk as Uint8Array)
    found.set(plain, { bytes: Buffer.concat(chunks), mode, uid, date: mtime! })
  }
  return found
}

/** The blobs of an archive by digest, each looked at: a layout names them by what is in them. */
async function opened(archive: Uint8Array) {
  const files = await filesIn(archive)
  const blob = (descriptor: { digest: string; size: number }) => {
    const { bytes } = files.get(`blobs/${descriptor.digest.replace(':', '/')}`)!
    expect(`sha256:${new Bun.CryptoHasher('sha256').update(bytes).digest('hex')}`).toBe(descriptor.digest)
    expect(bytes.length).toBe(descriptor.size)
    return bytes
  }
  const json = (descriptor: { digest: string; size: number }) => JSON.parse(blob(descriptor).toString())
  return { top: JSON.parse(files.get('index.json')!.bytes.toString()), blob, json, files }
}

test('an image has a manifest for each platform, with the library below the binary', async () => {
  const { top, json, blob, files } = await opened(await imageArchive(platforms, facts))
  expect(JSON.parse(files.get('oci-layout')!.bytes.toString())).toEqual({ imageLayoutVersion: '1.0.0' })
  expect(top.manifests).toHaveLength(1)
  expect(top.manifests[0].annotations['io.containerd.image.name']).toBe('localhost/shoal:1.2.3')
  const { manifests } = json(top.manifests[0])
  expect(manifests.map(({ platform }: { platform: unknown }) => platform)).toEqual([
    { os: 'linux', architecture: 'amd64' },
    { os: 'linux', architecture: 'arm64' },
  ])
  for (const [i, entry] of manifests.entries()) {
    const manifest = json(entry)
    const config = json(manifest.config)
    expect(config).toMatchObject({
      os: 'linux',
      architecture: platforms[i]!.architecture,
      created: '2026-11-22T08:00:00Z',
    })
    const layers = manifest.layers.map((layer: { digest: string; size: number }) => gunzipSync(blob(layer)))
    const digests = layers.map((tar: Buffer) => `sha256:${new Bun.CryptoHasher('sha256').update(tar).digest('hex')}`)
    expect(config.rootfs.diff_ids).toEqual(digests)
    const below = await filesIn(layers[0])
    expect(below.get('usr/lib/libc.so.6')).toMatchObject({ bytes: Buffer.from('library'), mode: 0o755, uid: 0 })
    expect(below.get('var/lib/shoal')).toMatchObject({ mode: 0o700, uid: 65532 })
    expect(below.get('tmp')!.mode).toBe(0o1777)
    const above = await filesIn(layers[1])
    expect(above.get('usr/local/bin/shoal')).toMatchObject({
      bytes: platforms[i]!.binary,
      mode: 0o755,
      date: facts.date,
    })
  }
})

test('made again, an image is the same', async () => {
  expect(await imageArchive(platforms, facts)).toEqual(await imageArchive(platforms, { ...facts }))
})

test('platforms share the layer of what they have in common', async () => {
  const { top, json } = await opened(await imageArchive(platforms, facts))
  const [first, second] = json(top.manifests[0]).manifests.map(json)
  expect(first.layers[0]).toEqual(second.layers[0])
  expect(first.layers[1]).not.toEqual(second.layers[1])
})
