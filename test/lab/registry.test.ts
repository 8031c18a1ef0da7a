import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { contentsOf, manifestTypes } from '../../src/oci/media.ts'
import { pushImage, type Written, writeImage, writeIndex } from './image.ts'
import { Lab, scratchRoot } from './lab.ts'
import { syntheticBlob, syntheticLayer } from './layers.ts'
import { sumOf } from './node.ts'
import { pull, pullOn } from './pull.ts'
import { realLayers } from './real-layers.ts'
import { LabRegistry, parseAccessLog, serveFolder } from './registry.ts'
import { run } from './run.ts'

const missing = ['docker-registry', 'skopeo', 'curl'].filter((program) => !Bun.which(program))
const obstacle = await Lab.obstacle()
const dir = mkdtempSync(join(scratchRoot, 'shoal-registry-test-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('an access log is read between other lines', () => {
  const text = `time="2026-01-01T00:00:00Z" level=warning msg="GET /v2/ HTTP/1.1"
10.77.7.2 - - [01/Jan/2026:00:00:00 +0000] "GET /v2/a/blobs/sha256:00 HTTP/1.1" 206 528 "" "containerd/1.7"
10.77.7.2 - user [01/Jan/2026:00:00:01 +0000] "HEAD /v2/a/manifests/latest HTTP/1.1" 200 0 "" ""
`
  expect(parseAccessLog(text)).toEqual([
    { method: 'GET', path: '/v2/a/blobs/sha256:00', status: 206, bytes: 528, agent: 'containerd/1.7' },
    { method: 'HEAD', path: '/v2/a/manifests/latest', status: 200, bytes: 0, agent: '' },
  ])
})

test('metrics are summed by name and labels', () => {
  const text = `# HELP x_total Things
# TYPE x_total counter
x_total{source="a",status="200"} 3
x_total{source="b",status="200"} 4
x_total_more 100
y 1.5e+06
`
  expect(sumOf(text, 'x_total')).toBe(7)
  expect(sumOf(text, 'x_total', { source: 'b' })).toBe(4)
  expect(sumOf(text, 'x_total', { source: 'c' })).toBe(0)
  expect(sumOf(text, 'y')).toBe(1.5e6)
})

test('synthetic bytes depend on the seed alone, and do not compress', () => {
  const blob = syntheticBlob(3_000_000, 7)
  expect(blob.length).toBe(3_000_000)
  expect(Bun.SHA256.hash(blob, 'hex')).toBe(Bun.SHA256.hash(syntheticBlob(3_000_000, 7), 'hex'))
  expect(Bun.SHA256.hash(blob, 'hex')).not.toBe(Bun.SHA256.hash(syntheticBlob(3_000_000, 8), 'hex'))
  expect(Bun.gzipSync(blob).length).toBeGreaterThan(blob.length)
})

test('the same layers make the same image', async () => {
  const written: Written[] = []
  for (const name of ['a', 'b', 'c', 'd']) {
    const layer = await syntheticLayer(join(dir, name), 3_000_000, 1)
    written.push(writeImage(join(dir, name, 'layout'), 'latest', { layers: [layer] }))
  }
  expect(new Set(written.map(({ digest }) => digest)).size).toBe(1)
  expect(written[0]!.size).toBeGreaterThan(3_000_000)
})

describe.skipIf(missing.length > 0)('a registry on loopback', () => {
  const account = { user: 'someone', password: 'secret' }
  let image: Written
  beforeAll(async () => {
    const layers = await Promise.all([1, 2].map((seed) => syntheticLayer(join(dir, 'layers'), 200_000, seed)))
    image = writeImage(join(dir, 'layout'), 'latest', { layers })
  })

  test('serves what was pushed, and its log counts what it sent', async () => {
    const registry = await LabRegistry.start({ dir: join(dir, 'plain') })
    try {
      await pushImage(image, registry.hostPort, 'some/image', 'v1')
      const pulled = await pull(registry.url, 'some/image', 'v1')
      expect(pulled).toMatchObject({ digest: image.digest, bytes: image.size, blobs: 3 })
      const sent = () => registry.sent((access) => access.method === 'GET' && access.path.includes('/blobs/sha256:'))
      for (let attempt = 0; attempt < 100 && sent().size < 3; attempt++) await Bun.sleep(10)
      const reads = sent()
      expect(reads.size).toBe(3)
      expect([...reads.values()].map((total) => total.requests)).toEqual([1, 1, 1])
      expect([...reads.values()].reduce((sum, total) => sum + total.bytes, 0)).toBeGreaterThan(400_000)
    } finally {
      await registry.stop()
    }
  })

  test('with an account sends nothing to a stranger', async () => {
    const registry = await LabRegistry.start({ dir: join(dir, 'private'), account })
    try {
      await pushImage(image, registry.hostPort, 'some/image', 'v1', { account })
      await expect(pull(registry.url, 'some/image', 'v1')).rejects.toThrow('401')
      await expect(pushImage(image, registry.hostPort, 'some/image', 'v2')).rejects.toThrow('skopeo')
    } finally {
      await registry.stop()
    }
  })

  test('takes Docker schema 2 and an index', async () => {
    const registry = await LabRegistry.start({ dir: join(dir, 'formats') })
    try {
      const layer = await syntheticLayer(join(dir, 'layers'), 100_000, 3)
      const index = writeIndex(join(dir, 'index'), 'multi', [
        { layers: [layer] },
        { layers: [await syntheticLayer(join(dir, 'layers'), 100_000, 4)], architecture: 'arm64' },
      ])
      await pushImage(image, registry.hostPort, 'old', 'v1', { format: 'v2s2' })
      await pushImage(index, registry.hostPort, 'multi', 'v1')

      const accept = { headers: { accept: Object.values(manifestTypes).join(', ') } }
      const old = await fetch(`${registry.url}/v2/old/manifests/v1`, accept)
      expect(old.headers.get('content-type')).toBe(manifestTypes.dockerManifest)
      const multi = await fetch(`${registry.url}/v2/multi/manifests/v1`, accept)
      expect(multi.headers.get('docker-content-digest')).toBe(index.digest)
      const platforms = contentsOf(await multi.bytes()).manifests.map((manifest) => manifest.platform)
      expect(platforms).toEqual(['linux/amd64', 'linux/arm64'])
    } finally {
      await registry.stop()
    }
  })

  test('that cannot start says why', async () => {
    const first = await LabRegistry.start({ dir: join(dir, 'first') })
    try {
      const second = LabRegistry.start({ dir: join(dir, 'second'), port: first.port })
      await expect(second).rejects.toThrow('is in use')
    } finally {
      await first.stop()
    }
  })
})

describe.skipIf(missing.length > 0 || obstacle !== undefined)('a registry in a lab', () => {
  let lab: Lab
  beforeAll(async () => {
    lab = await Lab.create({ hosts: ['registry', 'storage', 'client'] })
  })
  afterAll(() => lab?.close())

  test('redirects blobs to another host', async () => {
    const [registryHost, storage, client] = [lab.host('registry'), lab.host('storage'), lab.host('client')]
    const folder = join(lab.dir, 'redirecting')
    const redirect = await serveFolder(storage, join(folder, 'data'), 8080)
    const registry = await LabRegistry.start({ host: registryHost, dir: folder, redirect })
    const layer = await syntheticLayer(lab.dir, 2_000_000, 5)
    const image = writeImage(join(lab.dir, 'layout'), 'latest', { layers: [layer] })
    await pushImage(image, '127.0.0.1:5000', 'image', 'latest', { from: registryHost })
    const before = await lab.counters(storage)
    const pulled = await pullOn(client, registry.url, 'image', 'latest')
    expect(pulled.bytes).toBe(image.size)
    expect((await lab.counters(storage)).out - before.out).toBeGreaterThan(2_000_000)
    await registry.stop()
  })
})

const packaged = await realLayers(8e6)
describe.skipIf(packaged.origin !== 'packages' || process.getuid?.() !== 0)('an image of Debian packages', () => {
  test('has about the wanted size, and runs', async () => {
    const total = packaged.layers.reduce((sum, layer) => sum + layer.size, 0)
    expect(total).toBeGreaterThan(6e6)
    expect(total).toBeLessThan(8.4e6)
    const root = mkdtempSync(join(dir, 'root-'))
    for (const layer of packaged.layers)
      await run(['tar', '--extract', '--gzip', `--directory=${root}`, '--file', layer.file])
    expect(await run(['chroot', root, '/bin/sh', '-c', 'echo $((6 * 7)) && grep -c . /etc/passwd'])).toBe('42\n1\n')
    expect(readFileSync(join(root, 'etc/passwd'), 'utf8')).toStartWith('root:')
  })
})
