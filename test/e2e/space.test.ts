/** Nodes with little room: what stays, what goes, what is passed on, and that nobody who reads notices. */
import { afterEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { z } from 'zod'
import { seededRandom } from '../../src/clock.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { type FakeImage, noise } from '../fakes/registry.ts'
import { mounting, noMounts } from '../faults/disks.ts'
import { Stage } from '../faults/stage.ts'
import { scratchRoot } from '../lab/lab.ts'
import { pull } from '../lab/pull.ts'
import { run } from '../lab/run.ts'
import { until } from '../lab/until.ts'

const obstacle = await noMounts()
if (obstacle) console.log(`skipped: nodes with little room: ${obstacle}`)

const MB = 1_000_000
let undo = new AsyncDisposableStack()
afterEach(async () => {
  await undo.disposeAsync()
  undo = new AsyncDisposableStack()
})

/** A node whose data is on a disk of its own, and others that have room. */
async function nodeOn(disk: string, others = 0): Promise<Stage> {
  const dir = mkdtempSync(join(scratchRoot, 'shoal-space-'))
  undo.defer(() => rmSync(dir, { recursive: true, force: true }))
  const binary = mounting(`mount -t tmpfs -o size=${disk} none data`)
  return Stage.open(
    { dir, undo, random: seededRandom(1), processes: [], notes: [] },
    { nodes: 1 + others, layers: [1000], binary },
  )
}

function publish(stage: Stage, name: string, megabytes: number): FakeImage {
  return stage.registry.image(`team/${name}`, 'v1', [noise(megabytes * MB, name.length + name.charCodeAt(0))])
}
const pulled = (stage: Stage, name: string) => pull(stage.node(0).mirror, `team/${name}`, 'v1')
const ask = (stage: Stage, method: string, path: string) => fetch(`${stage.node(0).admin}${path}`, { method })
const known = async (stage: Stage, digest: Digest) =>
  (await ask(stage, 'GET', `/api/v1/blobs/${digest}`)).status === 200
/** All of it is there. */
const held = async (stage: Stage, digest: Digest) =>
  z.object({ complete: z.literal(true) }).safeParse(await (await ask(stage, 'GET', `/api/v1/blobs/${digest}`)).json())
    .success
const evictions = (stage: Stage) =>
  stage
    .node(0)
    .process.logged()
    .split('\n')
    .filter((line) => line.includes('evicted blobs'))

/** A client that takes the first bytes of a blob, and the rest when it is told to. */
class SlowReader {
  readonly #socket: Socket
  readonly #chunks: Buffer[] = []
  readonly #ended: Promise<unknown>

  constructor(mirror: string, path: string) {
    const { hostname, port } = new URL(mirror)
    this.#socket = connect(Number(port), hostname)
    this.#socket.write(`GET ${path} HTTP/1.1\r\nhost: mirror\r\nconnection: close\r\n\r\n`)
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    this.#ended = promise
    promise.catch(() => {})
    this.#socket.on('error', reject)
    this.#socket.on('close', resolve)
    this.#socket.on('data', (chunk: Buffer) => {
      if (this.#chunks.push(chunk) === 1) this.#socket.pause()
    })
  }

  async begun(): Promise<void> {
    await until('the first bytes are here', 30, async () => this.#chunks.length > 0)
  }

  /** The body. */
  async rest(): Promise<Buffer> {
    this.#socket.resume()
    await this.#ended
    const all = Buffer.concat(this.#chunks)
    return all.subarray(all.indexOf('\r\n\r\n') + 4)
  }
}

function reader(stage: Stage, name: string, digest: Digest): SlowReader {
  return new SlowReader(stage.node(0).mirror, `/v2/docker.io/team/${name}/blobs/${digest}`)
}

describe.skipIf(obstacle !== undefined)('on a small disk', () => {
  test('an image larger than it is passed on, the node says so and keeps what it has', async () => {
    const stage = await nodeOn('24m')
    const small = publish(stage, 'small', 4)
    publish(stage, 'enormous', 40)
    await pulled(stage, 'small')
    const before = stage.registry.sentBytes()
    expect((await pulled(stage, 'enormous')).bytes).toBeGreaterThan(40 * MB)
    const times = (stage.registry.sentBytes() - before) / (40 * MB)
    expect(times).toBeLessThan(1.5)
    expect(stage.node(0).process.running).toBe(true)
    expect([await held(stage, small.layers[0]!), evictions(stage)]).toEqual([true, []])
    const ready = await ask(stage, 'GET', '/readyz')
    expect([ready.status, await ready.json()]).toMatchObject([200, { ready: true, warnings: [expect.any(String)] }])
    const facts = z.object({ store: z.object({ trouble: z.string() }) })
    const { store } = facts.parse(await (await ask(stage, 'GET', '/api/v1/node')).json())
    expect(store.trouble).toMatch(/no room for sha256:.*--keep-free|more than fit into the whole store/)
    await pulled(stage, 'small')
  }, 120_000)

  test('an image larger than it comes from another node that has it, and nothing of it from the registry', async () => {
    const stage = await nodeOn('24m', 1)
    publish(stage, 'enormous', 40)
    await pull(stage.node(1).mirror, 'team/enormous', 'v1')
    const before = stage.registry.sentBytes()
    expect((await pulled(stage, 'enormous')).bytes).toBeGreaterThan(40 * MB)
    expect(stage.registry.sentBytes() - before).toBeLessThan(MB)
    const sent = (from: string) => stage.node(0).metric('shoal_registry_sent_bytes_total', { from })
    expect(await sent('swarm')).toBeGreaterThan(39 * MB)
    expect(await sent('source')).toBeLessThan(MB)
  }, 120_000)

  test('what was used least goes, with the reason in the log; what is pinned stays, and fills the disk if need be', async () => {
    const stage = await nodeOn('40m')
    const images = new Map(['one', 'three', 'four', 'fifth'].map((name) => [name, publish(stage, name, 11)]))
    const layer = (name: string) => images.get(name)!.layers[0]!
    await pulled(stage, 'one')
    await pulled(stage, 'three')
    const name = encodeURIComponent('team/one:v1')
    expect((await ask(stage, 'PUT', `/api/v1/blobs/${name}/pin?for=1h`)).status).toBe(200)
    await pulled(stage, 'four')
    // Full with three of them; which was used least is the one that may go.
    await pulled(stage, 'fifth')
    expect(await held(stage, layer('one'))).toBe(true)
    expect(await held(stage, layer('three'))).toBe(false)
    expect(await held(stage, layer('fifth'))).toBe(true)
    expect(evictions(stage).join('\n')).toContain('least recently used')
    expect((await ask(stage, 'DELETE', `/api/v1/blobs/${layer('one')}`)).status).toBe(409)
    const plan = await (await ask(stage, 'GET', '/api/v1/eviction?to=0')).text()
    expect(plan).toMatch(/"reason":"pinned until 20/)
    for (const other of ['four', 'fifth']) {
      await ask(stage, 'PUT', `/api/v1/blobs/${encodeURIComponent(`team/${other}:v1`)}/pin`)
    }
    // Everything is pinned: the next one works all the same, and is not kept.
    await pulled(stage, 'three')
    expect(await held(stage, layer('fifth'))).toBe(true)
    expect(await held(stage, layer('three'))).toBe(false)
    expect((await ask(stage, 'DELETE', `/api/v1/blobs/${name}/pin`)).status).toBe(204)
    expect((await ask(stage, 'DELETE', `/api/v1/blobs/${layer('one')}`)).status).toBe(204)
    await pulled(stage, 'three')
    expect(await held(stage, layer('three'))).toBe(true)
  }, 180_000)

  test('what a slow client reads is not evicted, whatever else is pulled meanwhile', async () => {
    const stage = await nodeOn('56m')
    const { layers } = publish(stage, 'slow', 24)
    for (const name of ['a', 'bb', 'ccc', 'dddd']) publish(stage, name, 12)
    await pulled(stage, 'slow')
    const slow = reader(stage, 'slow', layers[0]!)
    await slow.begun()
    for (const name of ['a', 'bb', 'ccc', 'dddd']) await pulled(stage, name)
    expect(evictions(stage).length).toBeGreaterThan(0)
    expect(digestOf(await slow.rest())).toBe(layers[0]!)
    await pulled(stage, 'a')
    await until('it is evicted once nobody reads it', 30, async () => {
      for (const name of ['bb', 'ccc', 'dddd', 'a']) await pulled(stage, name)
      return !(await held(stage, layers[0]!))
    })
  }, 180_000)
})

test.skipIf(obstacle !== undefined)(
  'on a disk that turned read-only images are passed on, and once it takes something again they are kept',
  async () => {
    const stage = await nodeOn('64m')
    publish(stage, 'image', 8)
    const { layers } = publish(stage, 'later', 4)
    const { pid } = stage.node(0).process
    const blobs = join(stage.node(0).dataDir, 'blobs')
    const there = (...command: string[]) => run(['nsenter', '--target', String(pid), '--mount', ...command])
    await there('mount', '--bind', blobs, blobs)
    await there('mount', '-o', 'remount,bind,ro', blobs)
    expect((await pulled(stage, 'image')).bytes).toBeGreaterThan(8 * MB)
    expect(await (await ask(stage, 'GET', '/api/v1/node')).text()).toContain('check that disk')
    await there('umount', blobs)
    await until('a layer is kept', 30, async () => {
      await pulled(stage, 'later')
      return held(stage, layers[0]!)
    })
  },
  120_000,
)

describe.skipIf(obstacle !== undefined)('a blob that is removed', () => {
  test('while a client reads it goes when the client has it all', async () => {
    const stage = await nodeOn('64m')
    const { layers } = publish(stage, 'read', 24)
    await pulled(stage, 'read')
    const slow = reader(stage, 'read', layers[0]!)
    await slow.begun()
    const answer = await ask(stage, 'DELETE', `/api/v1/blobs/${layers[0]}`)
    expect([answer.status, await held(stage, layers[0]!)]).toEqual([202, true])
    expect(digestOf(await slow.rest())).toBe(layers[0]!)
    await until('it is gone', 10, async () => !(await known(stage, layers[0]!)))
    expect((await ask(stage, 'DELETE', `/api/v1/blobs/${layers[0]}`)).status).toBe(404)
    await pulled(stage, 'read')
  }, 120_000)

  test('while it is fetched comes whole to who waits for it, goes, and is fetched anew for the next', async () => {
    const stage = await nodeOn('64m')
    const { layers } = publish(stage, 'fetched', 8)
    stage.deviate({ path: `/blobs/${layers[0]}`, rate: 4 * MB })
    const pulling = pulled(stage, 'fetched')
    await until('a part of it is here', 30, () => known(stage, layers[0]!), 20)
    expect((await ask(stage, 'DELETE', `/api/v1/blobs/${layers[0]}`)).status).toBe(202)
    expect((await pulling).bytes).toBeGreaterThan(8 * MB)
    await until('it is gone', 10, async () => !(await known(stage, layers[0]!)))
    stage.registry.mend()
    const before = stage.registry.sentBytes()
    await pulled(stage, 'fetched')
    expect(stage.registry.sentBytes() - before).toBeGreaterThan(7 * MB)
  }, 120_000)
})
