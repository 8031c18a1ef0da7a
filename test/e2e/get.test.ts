/** `shoal get` on hosts with nodes: what it brings is what skopeo takes, and what a broken one left is not lost. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { startNodes } from '../lab/engines/nodes.ts'
import { engineObstacle } from '../lab/engines/obstacle.ts'
import { pushedDigest } from '../lab/engines/pushed.ts'
import { LabFiles } from '../lab/files.ts'
import type { Host } from '../lab/host.ts'
import { pushImage, type Written, writeImage, writeIndex } from '../lab/image.ts'
import { Lab } from '../lab/lab.ts'
import { syntheticBlob, syntheticLayer } from '../lab/layers.ts'
import { builtBinary } from '../lab/node.ts'
import { LabRegistry } from '../lab/registry.ts'
import { until } from '../lab/until.ts'

const obstacle = await engineObstacle('downloads', ['skopeo'])
const layerBytes = 3_000_000
const largeBytes = 12_000_000
const registryHere = '127.0.0.1:5000'
const registryName = 'registry.lab'

const printed = z.object({
  downloads: z.array(
    z.object({
      path: z.string(),
      digests: z.record(z.string(), z.string()),
      bytes: z.number(),
      received: z.number(),
      from: z.object({ store: z.number(), swarm: z.number(), source: z.number() }),
      seconds: z.number(),
    }),
  ),
})

describe.skipIf(obstacle !== undefined)('get', () => {
  let lab: Lab
  let registry: LabRegistry
  let folder: string
  let files: LabFiles
  let unlisted: LabFiles
  const file = syntheticBlob(6_000_000, 7)
  let index: Written
  let pushed: { index: Digest; large: Digest; fresh: Digest }
  let manifestBytes = 0

  beforeAll(async () => {
    lab = await Lab.create({ hosts: ['registry', 'host1', 'host2'] })
    const host = lab.host('registry')
    registry = await LabRegistry.start({ host, dir: join(host.dir, 'registry') })
    const sizes = [layerBytes, layerBytes, largeBytes, largeBytes]
    const [first, second, third, fourth] = await Promise.all(
      sizes.map((size, seed) => syntheticLayer(lab.dir, size, seed)),
    )
    index = writeIndex(join(lab.dir, 'index'), 'v1', [
      { layers: [first!] },
      { layers: [second!], architecture: 'arm64' },
    ])
    const big = writeImage(join(lab.dir, 'large'), 'v1', { layers: [third!] })
    const other = writeImage(join(lab.dir, 'fresh'), 'v1', { layers: [fourth!] })
    const from = host
    await pushImage(index, registryHere, 'org/index', 'v1', { from })
    await pushImage(big, registryHere, 'org/large', 'v1', { from })
    await pushImage(other, registryHere, 'org/fresh', 'v1', { from })
    const old = writeImage(join(lab.dir, 'old'), 'v1', { layers: [first!] })
    await pushImage(old, registryHere, 'org/docker', 'v1', { from, format: 'v2s2' })
    pushed = {
      index: await pushedDigest(host, `${registryHere}/org/index:v1`),
      large: await pushedDigest(host, `${registryHere}/org/large:v1`),
      fresh: await pushedDigest(host, `${registryHere}/org/fresh:v1`),
    }
    manifestBytes = statSync(join(other.dir, 'blobs', 'sha256', other.digest.slice(7))).size
    folder = join(host.dir, 'files')
    mkdirSync(folder)
    writeFileSync(join(folder, 'disk.img'), file)
    files = await LabFiles.start(host, folder)
    unlisted = await LabFiles.start(host, folder, 8001)
    const hosts = ['host1', 'host2'].map((name) => lab.host(name))
    const upstreams = ['--upstream', `${registryName}=${registry.url}`, '--upstream', `files.lab=${files.url}`]
    await startNodes(hosts, [...upstreams, '--tag-ttl', '1s'])
  }, 60_000)
  afterAll(() => lab?.close())

  const get = (host: Host, ...args: string[]) =>
    host.tryExec(['sh', '-c', 'cd "$1" && shift && exec "$@"', 'sh', host.dir, builtBinary, 'get', ...args])
  const factsOf = async (host: Host, ...args: string[]) => {
    const { stdout, stderr } = await get(host, '--json', ...args)
    expect(stderr).toBe('')
    return printed.parse(JSON.parse(stdout)).downloads[0]!
  }
  /** Digest of the manifest that skopeo finds there. */
  const skopeo = async (host: Host, source: string): Promise<Digest> => {
    const copy = join(host.dir, `copy-${crypto.randomUUID()}`)
    await host.exec([
      ...['skopeo', '--insecure-policy', 'copy', '--all', '--preserve-digests'],
      ...[source, `dir:${copy}`],
    ])
    return digestOf(readFileSync(join(copy, 'manifest.json')))
  }
  const image = `${registryName}/org/index:v1`
  const large = `${registryName}/org/large:v1`
  /** No host has any of it before it is asked for: of others any node may have been told to read them. */
  const fresh = `${registryName}/org/fresh:v1`

  test('makes a layout that skopeo reads, of one platform or of all', async () => {
    const host = lab.host('host1')
    const manifests = JSON.parse(
      readFileSync(join(index.dir, 'blobs', 'sha256', index.digest.slice(7)), 'utf8'),
    ).manifests
    expect(await get(host, image, '--platform', 'linux/arm64')).toEqual({ code: 0, stdout: '', stderr: '' })
    expect(await skopeo(host, `oci:${join(host.dir, 'index-v1')}:v1`)).toBe(manifests[1].digest)
    const all = await factsOf(host, image, '--platform', 'all', '-o', 'all', '--digest', pushed.index)
    expect(await skopeo(host, `oci:${join(host.dir, 'all')}:v1`)).toBe(pushed.index)
    expect(Object.values(all.digests)).toEqual([pushed.index])
    expect(readdirSync(join(host.dir, 'all', 'blobs', 'sha256')).sort()).toEqual(
      readdirSync(join(index.dir, 'blobs', 'sha256')).sort(),
    )
    // What is there is not fetched again, and a second image is added.
    const again = await factsOf(host, image, large, '--platform', 'all', '-o', 'all')
    expect(again.received).toBeLessThan(largeBytes + 1e6)
    expect(Object.values(again.digests)).toEqual([pushed.index, pushed.large])
    expect(await skopeo(host, `oci:${join(host.dir, 'all')}:${large}`)).toBe(pushed.large)
    expect(await skopeo(host, `oci:${join(host.dir, 'all')}:v1`)).toBe(pushed.index)
  })

  test('makes a layout of what Docker pushed in its own form', async () => {
    const host = lab.host('host1')
    const { digests } = await factsOf(host, `${registryName}/org/docker:v1`)
    expect(await skopeo(host, `oci:${join(host.dir, 'docker-v1')}:v1`)).toBe(Object.values(digests)[0] as Digest)
  })

  test('makes the same archive in a file and on standard output', async () => {
    const host = lab.host('host2')
    expect((await factsOf(host, image, '-o', 'image.tar', '--platform', 'all')).path).toBe('image.tar')
    expect(await skopeo(host, `oci-archive:${join(host.dir, 'image.tar')}:v1`)).toBe(pushed.index)
    const pipe = `cd ${host.dir} && ${builtBinary} get ${image} --platform all -o - | sha256sum`
    const [hex] = (await host.exec(['sh', '-c', pipe])).split(' ')
    expect(`sha256:${hex}`).toBe(digestOf(readFileSync(join(host.dir, 'image.tar'))))
  })

  test('goes on where a killed one broke off, and does not believe what is wrong there', async () => {
    const host = lab.host('host2')
    const blobs = join(host.dir, 'large', 'blobs', 'sha256')
    const parts = () => (existsSync(blobs) ? readdirSync(blobs).filter((name) => name.endsWith('.part')) : [])
    const sizeOf = (name: string) => statSync(join(blobs, name)).size
    await host.shape('30mbit')
    const first = host.spawn([builtBinary, 'get', fresh, '-o', join(host.dir, 'large')], { log: 'get.log' })
    await until('a part is there', 20, () => parts().some((name) => sizeOf(name) > 2e6), 10)
    await first.kill()
    await host.shape(undefined)
    const [part] = parts()
    const before = sizeOf(part!)
    expect(before).toBeLessThan(largeBytes)
    const { received, bytes } = await factsOf(host, fresh, '-o', 'large')
    expect(received).toBeGreaterThan(0)
    expect(received).toBeLessThanOrEqual(bytes - before)
    expect(await skopeo(host, `oci:${join(host.dir, 'large')}:v1`)).toBe(pushed.fresh)

    // The archive's tail is lost, and a byte of its layer changed on the disk.
    expect((await factsOf(host, fresh, '-o', 'large.tar')).received).toBe(bytes - manifestBytes)
    const whole = readFileSync(join(host.dir, 'large.tar'))
    const broken = Buffer.from(whole.subarray(0, -1_000_000))
    broken[2_000_000]! ^= 1
    writeFileSync(join(host.dir, 'large.tar.part'), broken)
    await factsOf(host, fresh, '-o', 'large.tar')
    expect(readFileSync(join(host.dir, 'large.tar')).equals(whole)).toBe(true)
    expect(existsSync(join(host.dir, 'large.tar.part'))).toBe(false)
  })

  test('brings a file by its digest, from its server once and then from the other node', async () => {
    const url = `${files.url}/disk.img`
    const digest = digestOf(file)
    const [one, two] = [lab.host('host1'), lab.host('host2')]
    const first = await factsOf(one, url, '--digest', digest)
    expect([first.path, first.from.store]).toEqual(['disk.img', 0])
    expect(readFileSync(join(one.dir, 'disk.img')).equals(file)).toBe(true)
    const sent = files.sent('/disk.img')
    const second = await factsOf(two, url, '--digest', digest, '-o', 'other.img')
    // Whichever of the two was told to read it, the other has it from there.
    expect([first.from.swarm + second.from.swarm, second.from.source]).toEqual([file.length, 0])
    expect(readFileSync(join(two.dir, 'other.img')).equals(file)).toBe(true)
    expect(files.sent('/disk.img')).toBe(sent)
    expect(sent / file.length).toBeWithin(1, 1.1)
    // It is there: nothing is fetched.
    expect((await factsOf(two, url, '--digest', digest, '-o', 'other.img')).received).toBe(0)
  })

  test('brings what a URL leads to now, read from its server once for all, and notices when that changes', async () => {
    const url = `${files.url}/tool.bin`
    const [one, two] = [lab.host('host1'), lab.host('host2')]
    for (const [round, seed] of [11, 12].entries()) {
      const bytes = syntheticBlob(5_000_000, seed)
      writeFileSync(join(folder, 'tool.bin'), bytes)
      await Bun.sleep(1100)
      const before = files.sent('/tool.bin')
      const both = await Promise.all([one, two].map((host) => factsOf(host, url, '-o', `tool-${round}`)))
      for (const [i, host] of [one, two].entries()) {
        expect(readFileSync(join(host.dir, `tool-${round}`)).equals(bytes)).toBe(true)
        expect(both[i]!.digests).toEqual({ [url]: digestOf(bytes) })
      }
      expect((files.sent('/tool.bin') - before) / bytes.length).toBeWithin(1, 1.1)
    }
    // Files of several names go into a folder, and one to standard output.
    await get(one, url, `${files.url}/disk.img`, '-o', 'several/')
    expect(readdirSync(join(one.dir, 'several')).sort()).toEqual(['disk.img', 'tool.bin'])
    const pipe = `${builtBinary} get ${url} -o - | sha256sum`
    expect(await one.exec(['sh', '-c', pipe])).toStartWith(digestOf(syntheticBlob(5_000_000, 12)).slice(7))
  })

  test('says what is wrong, and with an exit code whether it is the command or the content', async () => {
    const host = lab.host('host1')
    const codes: [code: number, args: string[], says: string][] = [
      [1, [`${registryName}/org/nothing:v1`], 'not'],
      [1, [image, '--platform', 'linux/s390x'], '--platform takes linux/amd64, linux/arm64, all'],
      [1, [image, '--digest', digestOf(new Uint8Array(0))], `is ${pushed.index}`],
      [1, [image, '--admin-addr', '127.0.0.1:1'], 'no node answers'],
      [1, [`${unlisted.url}/disk.img`], 'private network'],
      [1, ['http://169.254.169.254/latest', '--digest', digestOf(file)], 'metadata'],
      [1, [`${files.url}/nothing`], 'not there'],
      [1, [`${files.url}/tool.bin`, '--digest', digestOf(new Uint8Array(5)), '-o', 'liar'], 'could not get it'],
      [2, [image, '--digest', 'sha256:abc'], 'Expected sha256'],
      [2, ['https://files.corp/'], 'give one with --output'],
      [2, [image, image, '-o', '-'], 'one download at a time'],
    ]
    for (const [code, args, says] of codes) {
      const output = await get(host, ...args)
      expect(output).toMatchObject({ code, stdout: '' })
      expect(output.stderr).toContain(says)
    }
  })
})
