/** How a node ends: SIGTERM lets pulls under way finish for a bounded time, and what was fetched is there afterwards. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { allModes, Cluster } from '../lab/cluster.ts'
import { Lab } from '../lab/lab.ts'
import type { LabProcess } from '../lab/process.ts'
import { until } from '../lab/until.ts'

const obstacle = await Lab.obstacle()
if (obstacle) console.log(`skipped: how a node ends: ${obstacle}`)

const size = 40e6
const name = 'host1'

describe.skipIf(obstacle !== undefined)('a node that is told to end', () => {
  let swarm: Cluster
  beforeEach(async () => {
    // At this rate the layer takes as long as any of what is looked at while it comes. Then it is hurried up.
    swarm = await Cluster.create({ members: allModes(1), discovery: 'join', size, rate: '30mbit' })
    await swarm.start()
  }, 60_000)
  afterEach(() => swarm?.close(), 60_000)

  /** A client on the node's own host that takes so many bytes a second. */
  function slowClient(bytesPerSecond: number): LabProcess {
    const into = join(swarm.lab.host(name).dir, 'layer')
    const limit = ['--limit-rate', String(bytesPerSecond)]
    const quiet = ['--silent', '--show-error', '--fail']
    return swarm.lab.host(name).spawn(['curl', ...quiet, ...limit, '--output', into, swarm.layerUrl(name)])
  }

  async function clientHasLayer(): Promise<boolean> {
    const sum = await swarm.lab.host(name).exec(['sha256sum', join(swarm.lab.host(name).dir, 'layer')])
    return `sha256:${sum.split(' ')[0]}` === swarm.layer.digest
  }

  async function holdsMoreThan(share: number): Promise<void> {
    await until(
      `${share} of the layer is there`,
      60,
      async () => (await swarm.held(name)) > share * swarm.layer.size,
      20,
    )
  }

  async function hurry(): Promise<void> {
    for (const host of swarm.lab.hosts) await host.shape('400mbit')
  }

  /** Its exit code; `undefined` when it has not ended after a minute. */
  function ended(process: LabProcess): Promise<number | undefined> {
    return Promise.race([process.exited, Bun.sleep(60_000).then(() => undefined)])
  }

  async function restartHasAll(): Promise<void> {
    await swarm.launch(name).ready()
    expect(await swarm.held(name)).toBe(swarm.layer.size)
    const { digest } = await swarm.pull(name)
    expect(digest).toBe(swarm.image.digest)
    // Only to ask what the tag means now.
    expect(await swarm.node(name).metric('shoal_source_bytes_total')).toBeLessThan(10_000)
  }

  test('finishes the layer that is still arriving, takes no new requests meanwhile, and exits 0', async () => {
    const client = slowClient(1e9)
    await holdsMoreThan(0.15)
    const { process } = swarm.node(name)
    process.signal('SIGTERM')
    const probe = ['curl', '--silent', '--output', '/dev/null', '--max-time', '5', `${swarm.node(name).mirror}/v2/`]
    await until('its registry port is closed', 20, async () => (await swarm.lab.host(name).tryExec(probe)).code === 7)
    expect(process.running).toBe(true)
    await hurry()
    expect(await ended(client)).toBe(0)
    expect(await ended(process)).toBe(0)
    expect(await clientHasLayer()).toBe(true)
    await restartHasAll()
  }, 120_000)

  test('cuts a client that is too slow for it, exits 0, and has the layer after its restart', async () => {
    await hurry()
    const client = slowClient(1e6)
    await until('the layer is there', 60, async () => (await swarm.held(name)) === swarm.layer.size)
    const { process } = swarm.node(name)
    process.signal('SIGTERM')
    expect(await ended(process)).toBe(0)
    // What the kernel had taken still arrives; then the body is shorter than it was said to be, and curl says so.
    expect([18, 56]).toContain((await ended(client))!)
    await restartHasAll()
  }, 120_000)

  test('ends at once when it is told a second time, and goes on after its restart where it was', async () => {
    slowClient(1e9)
    await holdsMoreThan(0.3)
    const { process } = swarm.node(name)
    process.signal('SIGTERM')
    await until('it has said that it ends', 10, () => process.logged().includes('node ends'))
    process.signal('SIGTERM')
    expect(await ended(process)).toBe(1)
    expect(process.logged()).toContain('came a second time')
    await hurry()

    await swarm.launch(name).ready()
    const kept = await swarm.held(name)
    expect(kept).toBeGreaterThan(0.2 * swarm.layer.size)
    expect((await swarm.pull(name)).digest).toBe(swarm.image.digest)
    // What it says it holds is not fetched again: no piece was recorded without its digest.
    const fetched = await swarm.node(name).metric('shoal_source_bytes_total')
    expect(fetched).toBeLessThan(swarm.layer.size - kept + 10_000)
  }, 120_000)
})
