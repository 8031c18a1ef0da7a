import { afterEach, describe, expect, test } from 'bun:test'
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { FakeContent } from '../../test/fakes/content.ts'
import { FakeContext } from '../../test/fakes/context.ts'
import { FakeNodeView } from '../../test/fakes/node-view.ts'
import { createAdmin, serveAdmin } from '../admin/admin.ts'
import { Failure } from '../failure.ts'
import { formatAddress } from '../listen.ts'
import { digestOf } from '../oci/digest.ts'
import { createRegistry } from '../registry/registry.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { run } from './program.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** A node's two ports over content in memory, and a folder to download to. */
function setUp() {
  const dir = mkdtempSync(join(tmpdir(), 'shoal-get-'))
  closers.push(() => rmSync(dir, { recursive: true, force: true }))
  const content = new FakeContent()
  const metrics = createMetrics()
  const app = createRegistry({ content, clock: new FakeClock(), log: silentLog, metrics })
  const registry = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: (request) => app.fetch(request) })
  closers.push(() => registry.stop(true))
  const view = new FakeNodeView()
  const facts = view.node()
  view.node = () => ({ ...facts, addresses: { ...facts.addresses, registry: `127.0.0.1:${registry.port}` } })
  const admin = serveAdmin(createAdmin(view, metrics, { log: silentLog }), { host: '127.0.0.1', port: 0 })
  closers.push(() => admin.close())
  const get = async (...args: string[]) => {
    const context = new FakeContext()
    const code = await run(['get', '--admin-addr', formatAddress(admin.address), ...args], context)
    const { printed, complained, poured } = context
    return { code, out: printed.join('\n'), err: complained.join('\n'), poured: Buffer.concat(poured) }
  }
  return { dir, content, get, port: registry.port }
}

const bytes = bytesOf(500_000)
const url = 'https://files.corp/disk.img'

describe('get', () => {
  test('writes a file under the name it is given, and says what came from where', async () => {
    const { dir, content, get } = setUp()
    const digest = content.addBlob({ bytes, from: 'swarm' })
    content.addFile(url, digest)
    const { code, out } = await get(url, '-o', join(dir, 'disk'), '--json')
    expect(code).toBe(0)
    expect(readFileSync(join(dir, 'disk')).equals(bytes)).toBe(true)
    expect(JSON.parse(out)).toEqual({
      downloads: [
        {
          path: join(dir, 'disk'),
          digests: { [url]: digest },
          bytes: bytes.length,
          received: bytes.length,
          from: { store: 0, swarm: bytes.length, source: 0 },
          seconds: expect.any(Number),
        },
      ],
    })
  })

  test('goes on with what an earlier one left, and leaves what is whole alone', async () => {
    const { dir, content, get } = setUp()
    const digest = content.addBlob({ bytes })
    writeFileSync(join(dir, 'disk.img.part'), bytes.subarray(0, 400_000))
    const args = [url, '--digest', digest, '-o', `${dir}/`, '--json']
    expect(JSON.parse((await get(...args)).out).downloads[0].received).toBe(100_000)
    expect(readdirSync(dir)).toEqual(['disk.img'])
    expect(JSON.parse((await get(...args)).out).downloads[0].received).toBe(0)
    expect(readFileSync(join(dir, 'disk.img')).equals(bytes)).toBe(true)
  })

  test('writes a file to standard output, and nothing else', async () => {
    const { content, get } = setUp()
    content.addFile(url, content.addBlob({ bytes }))
    const { code, out, poured } = await get(url, '-o', '-', '--quiet')
    expect([code, out, poured.equals(bytes)]).toEqual([0, '', true])
  })

  test('takes an image by the name that engines have for it, with the node before it', async () => {
    const { dir, content, get, port } = setUp()
    const config = Buffer.from('{}')
    const media = 'application/vnd.oci.image.config.v1+json'
    const described = { mediaType: media, digest: content.addBlob({ bytes: config }), size: config.length }
    const manifest = JSON.stringify({
      schemaVersion: 2,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      config: described,
      layers: [],
    })
    content.addManifest('r.corp/one', Buffer.from(manifest), 'v1')
    const { code, err, out } = await get(`localhost:${port}/r.corp/one:v1`, '-o', join(dir, 'one'), '--json')
    expect([code, err]).toEqual([0, ''])
    expect(JSON.parse(out).downloads[0].digests).toEqual({ 'r.corp/one:v1': digestOf(Buffer.from(manifest)) })
  })

  test('writes into a FIFO, which stays one', async () => {
    const { dir, content, get } = setUp()
    content.addFile(url, content.addBlob({ bytes }))
    const fifo = join(dir, 'fifo')
    Bun.spawnSync(['mkfifo', fifo])
    const reader = Bun.spawn(['cat', fifo])
    const [{ code, err }, read] = await Promise.all([get(url, '-o', fifo, '--quiet'), reader.stdout.bytes()])
    expect([code, err, Buffer.from(read).equals(bytes), lstatSync(fifo).isFIFO()]).toEqual([0, '', true, true])
    expect(readdirSync(dir)).toEqual(['fifo'])
  })

  test.each([
    ['a file', 'target/real'],
    ['no file yet', 'target/none'],
    ['a link', 'target/link'],
  ])('follows a link to %s, and leaves the link alone', async (_, leadsTo) => {
    const { dir, content, get } = setUp()
    content.addFile(url, content.addBlob({ bytes }))
    mkdirSync(join(dir, 'target'))
    writeFileSync(join(dir, 'target/real'), 'old')
    symlinkSync('later', join(dir, 'target/link'))
    symlinkSync(leadsTo, join(dir, 'disk'))
    expect(await get(url, '-o', join(dir, 'disk'), '--quiet')).toMatchObject({ code: 0, err: '' })
    expect(readlinkSync(join(dir, 'disk'))).toBe(leadsTo)
    expect(readFileSync(join(dir, 'disk')).equals(bytes)).toBe(true)
    expect(readlinkSync(join(dir, 'target/link'))).toBe('later')
    expect(readdirSync(dir).sort()).toEqual(['disk', 'target'])
  })

  test('brings what can be had when something cannot, and says what failed', async () => {
    const { dir, content, get } = setUp()
    content.addFile(url, content.addBlob({ bytes }))
    const { code, err, out } = await get('org/nothing:v1', url, '-o', `${dir}/`, '--json')
    expect(code).toBe(1)
    expect(err).toContain('docker.io/org/nothing:v1: ')
    expect(err).toContain('1 of 2 downloads failed')
    expect(JSON.parse(out).downloads).toHaveLength(1)
    expect(readdirSync(dir)).toEqual(['disk.img'])
  })

  test('leaves nothing of what cannot be right', async () => {
    const { dir, content, get } = setUp()
    const wrong = new Failure('corrupt', 'it is not what it should be')
    const digest = content.addBlob({ bytes, fail: { at: 0, error: wrong } })
    writeFileSync(join(dir, 'disk.part'), bytes.subarray(0, 400_000))
    const { code, err } = await get(url, '--digest', digest, '-o', join(dir, 'disk'))
    expect([code, err]).toEqual([1, 'shoal: the node could not get it: it is not what it should be'])
    expect(readdirSync(dir)).toEqual([])
  })

  test('gives no file its name that has another digest', async () => {
    const { dir, content, get } = setUp()
    const digest = content.addBlob({ bytes, fail: { at: 1000, error: new Error('the disk broke') } })
    const { code } = await get(url, '--digest', digest, '-o', join(dir, 'disk'))
    expect(code).toBe(1)
    expect(readdirSync(dir).filter((name) => !name.endsWith('.part'))).toEqual([])
  }, 30_000)

  test.each([
    [['debian', 'alpine', '-o', '-'], 'one download at a time'],
    [[url, '--digest', 'md5:abc'], 'Expected sha256'],
    [['debian', '--platform', 'amd64'], 'Expected linux/amd64'],
    [['debian', 'alpine', '--digest', digestOf(bytes)], '--digest is for one download'],
    [[url, '-o', '-', '--json'], '--json would get into'],
    [[url, '-o', '/dev/stdout', '--json'], '--json would get into'],
    [['debian', 'alpine', '-o', '/dev/null'], '/dev/null takes one download at a time'],
    [['debian', '-o', 'out.tar.gz'], 'say out.tar, or out for a folder'],
    [['ftp://files.corp/x'], 'not an http or https URL'],
    [[], 'missing required argument'],
  ])('called wrongly (%p) exits with 2 and says what is wrong', async (args, says) => {
    const { code, err } = await setUp().get(...args)
    expect([code, err]).toEqual([2, expect.stringContaining(says)])
  })
})
