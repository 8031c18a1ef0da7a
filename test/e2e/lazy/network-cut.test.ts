/** Processes that read from a mounted image while their host is off the network, and after it is back. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Lab } from '../../lab/lab.ts'
import { syntheticBlob, syntheticLayers } from '../../lab/layers.ts'
import { LazyHost } from '../../lab/lazy-host.ts'
import { lazyObstacle } from '../../lab/mount-lab.ts'
import { LabNode } from '../../lab/node.ts'
import { stocked } from '../../lab/stock.ts'
import { until } from '../../lab/until.ts'

const obstacle = lazyObstacle('a host off the network') ?? (await Lab.obstacle())
if (obstacle) console.log(`skipped: readers of a host that is off the network: ${obstacle}`)

const mebibyte = 1 << 20
const block = 64 * 1024
/** Of the file of each of two layers. */
const size = 8 * mebibyte
const deadlineSeconds = 5
const shortCutMs = 700
const rate = '40mbit'
const root = '/run/image'

describe.skipIf(obstacle !== undefined)('processes that read from a mounted image', () => {
  const contents = [1, 2].map((seed) => syntheticBlob(size, seed))
  let lab: Lab
  let lazy: LazyHost
  let reads = 0

  beforeAll(async () => {
    lab = await Lab.create({ hosts: ['registry', 'seed', 'host'] })
    await lab.host('host').shape(rate)
    const { registry } = await stocked(lab, 'lab/image', 'latest', (folder) => syntheticLayers(folder, [size, size], 1))
    const flags = ['--no-mdns', '--upstream', `docker.io=${registry.url}`]
    const seed = new LabNode({ host: lab.host('seed'), flags: [...flags, '--mode', 'scheduler,seed'] })
    await seed.ready()
    const join = ['--mode', 'peer', '--join', seed.p2p]
    await new LabNode({ host: lab.host('host'), flags: [...flags, ...join] }).ready()
    lazy = await LazyHost.start(lab.host('host'), ['--read-deadline', `${deadlineSeconds}s`])
    await lazy.exec(['mkdir', root])
    await lazy.mount('docker.io/lab/image:latest', root, '--no-prefetch')
  }, 60_000)
  afterAll(async () => {
    await lazy?.stop()
    await lab?.close()
  }, 30_000)

  /** All bytes that a process got are the right ones, however it ended; `whole`: and it got all. */
  async function read(file: 1 | 2, start: number): Promise<{ whole: boolean; code: number; said: string }> {
    const out = join(lab.host('host').dir, `read-${reads++}`)
    const { code, stderr } = await lazy.tryExec([
      ...['timeout', '-k', '1', String(4 * deadlineSeconds), 'dd', `if=${root}/synthetic/${file}`, `of=${out}`],
      ...[`bs=${block}`, `skip=${start / block}`, `count=${mebibyte / block}`, 'status=none'],
    ])
    const bytes = readFileSync(out)
    expect(Buffer.compare(bytes, contents[file - 1]!.subarray(start, start + bytes.length))).toBe(0)
    return { whole: bytes.length === mebibyte, code, said: stderr }
  }

  test('go on when the network comes back before the deadline of their reads', async () => {
    // On a busy machine all would have come before anybody looks.
    await lab.host('host').shape('20mbit')
    const reading = Array.from({ length: 8 }, (_, i) => read(1, i * mebibyte))
    const fetched = async () => (await lazy.client.layers()).reduce((sum, layer) => sum + layer.fetched, 0)
    await until('some of it has come', 20, async () => (await fetched()) > mebibyte, 10)
    await lab.host('host').unplug()
    try {
      expect((await lazy.client.facts()).reads.waiting).toBeGreaterThan(0)
      await Bun.sleep(shortCutMs)
      await lab.host('host').shape(rate)
    } finally {
      await lab.host('host').plug()
    }
    expect(await Promise.all(reading)).toEqual(Array(8).fill({ whole: true, code: 0, said: '' }))
    expect((await lazy.client.facts()).reads.failed).toBe(0)
  }, 60_000)

  test('get an error by the deadline when it stays away, and the right bytes when it is back', async () => {
    const starts = [0, 2, 4, 6].map((at) => at * mebibyte)
    await lab.host('host').unplug()
    try {
      for (const { code, said } of await Promise.all(starts.map((start) => read(2, start)))) {
        expect(said).toContain('Input/output error')
        expect(code).toBe(1)
      }
      expect((await lazy.client.facts()).reads.waiting).toBe(0)
    } finally {
      await lab.host('host').plug()
    }
    for (const start of starts) await until('it is read again', 30, async () => (await read(2, start)).whole, 50)
  }, 90_000)
})
