/** Nodes, schedulers and links that fail in the middle of a pull: whoever is left gets the right bytes. */
import { afterEach, describe, expect, test } from 'bun:test'
import { allModes, Cluster, type ClusterInit, splitModes } from '../lab/cluster.ts'
import { Lab } from '../lab/lab.ts'
import type { Pulled } from '../lab/pull.ts'
import { until } from '../lab/until.ts'

const obstacle = await Lab.obstacle()
if (obstacle) console.log(`skipped: faults in the middle of a pull: ${obstacle}`)

/** Of the image's one layer; at this rate it has a middle that is long enough to be met on a busy machine. */
const size = 40e6
const slow = '25mbit'
/** Eight pieces of 512 KiB: what a node may have to fetch again. */
const fewPieces = 8 * 512 * 1024

let cluster: Cluster | undefined
afterEach(async () => {
  await cluster?.close()
  cluster = undefined
})

async function started(init: Partial<ClusterInit> & Pick<ClusterInit, 'members'>): Promise<Cluster> {
  cluster = await Cluster.create({ discovery: 'join', size, rate: slow, ...init })
  await cluster.start()
  return cluster
}

/** Starts a pull on each host; what becomes of it is for {@link settled} to tell. */
function pullAll(from: Cluster, names: readonly string[]): Promise<PromiseSettledResult<Pulled>[]> {
  return Promise.allSettled(names.map((name) => from.pull(name)))
}

/** Waits until that node has a good part of the layer, but not all of it. */
async function midway(of: Cluster, name: string): Promise<number> {
  let held = 0
  await until(
    `${name} has a third of the layer`,
    60,
    async () => {
      held = await of.held(name)
      return held > of.layer.size / 3
    },
    20,
  )
  expect(held).toBeLessThan(of.layer.size * 0.9)
  return held
}

/** What is left comes sooner: its middle was met. */
async function hurry(of: Cluster): Promise<void> {
  await Promise.all(of.lab.hosts.map((host) => host.shape('100mbit')))
}

/** Fails with the reasons of those that did not finish. */
function expectAll(pulls: readonly PromiseSettledResult<Pulled>[], of: Cluster): void {
  const reasons = pulls.flatMap((pull) => (pull.status === 'rejected' ? [String(pull.reason).slice(-600)] : []))
  expect(reasons).toEqual([])
  for (const pull of pulls) if (pull.status === 'fulfilled') expect(pull.value.digest).toBe(of.image.digest)
}

function tell(what: string, pulls: readonly PromiseSettledResult<Pulled>[]): void {
  const seconds = pulls.map((pull) => (pull.status === 'fulfilled' ? pull.value.seconds.toFixed(1) : 'failed'))
  console.log(`${what}: ${seconds.join(', ')} s`)
}

describe.skipIf(obstacle !== undefined)('in the middle of a pull', () => {
  test('a node is killed, and fetches after its restart only what it lacked', async () => {
    const large = 200e6
    const swarm = await started({ members: allModes(1), size: large, rate: '100mbit' })
    const pulling = pullAll(swarm, ['host1'])
    await midway(swarm, 'host1')
    const held = await swarm.held('host1')
    await swarm.node('host1').process.kill()
    await hurry(swarm)
    expect((await pulling)[0]?.status).toBe('rejected')

    await swarm.launch('host1').ready()
    const kept = await swarm.held('host1')
    const pulls = await pullAll(swarm, ['host1'])
    tell('again after the restart', pulls)
    expectAll(pulls, swarm)
    const fetched = await swarm.node('host1').metric('shoal_source_bytes_total')
    await until('the registry has logged what it sent', 10, () => swarm.sent() >= large)
    console.log(
      `killed at ${held}, kept ${kept}, fetched ${fetched} more of ${swarm.layer.size}; ` +
        `the registry sent ${(swarm.sent() / swarm.image.size).toFixed(3)} times the image`,
    )
    expect(kept).toBeGreaterThan(held - fewPieces)
    expect(fetched).toBeLessThanOrEqual(swarm.layer.size - kept + fewPieces)
    expect(swarm.sent()).toBeLessThan(swarm.image.size * 1.1)
  }, 120_000)

  test('the only scheduler is killed, and six hosts finish', async () => {
    const swarm = await started({ members: splitModes(1, 1, 6) })
    const pulling = pullAll(swarm, swarm.pullers)
    await midway(swarm, 'peer1')
    await swarm.node('sched1').process.kill()
    await hurry(swarm)
    const pulls = await pulling
    tell('without the scheduler', pulls)
    expectAll(pulls, swarm)
  }, 120_000)

  test('the seed that reads the source is killed, and another seed takes over', async () => {
    const swarm = await started({ members: splitModes(1, 2, 4) })
    const pulling = pullAll(swarm, swarm.pullers)
    await midway(swarm, 'peer1')
    const fetcher = await swarm.fetcher()
    expect(fetcher).toStartWith('seed')
    const other = fetcher === 'seed1' ? 'seed2' : 'seed1'
    await swarm.node(fetcher!).process.kill()
    await hurry(swarm)
    const pulls = await pulling
    tell('with the other seed', pulls)
    expectAll(pulls, swarm)
    const read = (name: string) => swarm.node(name).metric('shoal_source_bytes_total')
    expect(await read(other)).toBeGreaterThan(fewPieces)
    expect(await read(other)).toBeLessThan(swarm.image.size * 1.1)
    for (const name of swarm.pullers) expect(await read(name)).toBeLessThan(fewPieces)
  }, 120_000)

  test('the only seed is killed, and the peers go to the source themselves', async () => {
    const swarm = await started({ members: splitModes(1, 1, 4) })
    const pulling = pullAll(swarm, swarm.pullers)
    await midway(swarm, 'peer1')
    await swarm.node('seed1').process.kill()
    await hurry(swarm)
    const pulls = await pulling
    tell('without a seed', pulls)
    expectAll(pulls, swarm)
    expect(await swarm.total('shoal_source_bytes_total')).toBeGreaterThan(0)
  }, 120_000)

  test('the host that reads the source is killed, and every other host finishes', async () => {
    const swarm = await started({ members: allModes(4) })
    const names = swarm.pullers
    const pulling = pullAll(swarm, names)
    await midway(swarm, 'host1')
    const fetcher = await swarm.fetcher()
    expect(fetcher).toBeDefined()
    await swarm.node(fetcher!).process.kill()
    await hurry(swarm)
    const pulls = await pulling
    tell(`without ${fetcher}`, pulls)
    expectAll(
      pulls.filter((_, i) => names[i] !== fetcher),
      swarm,
    )
  }, 120_000)

  test.each([
    { what: 'a host that only receives', reads: false },
    { what: 'the host that reads the source', reads: true },
  ])(
    '$what is unplugged: every other host finishes, and it does too when it is plugged in again',
    async ({ what, reads }) => {
      const swarm = await started({ members: allModes(4) })
      const names = swarm.pullers
      const pulling = names.map((name) => swarm.pull(name))
      // Their ends are looked at later.
      for (const pull of pulling) pull.catch(() => {})
      await midway(swarm, 'host1')
      const fetcher = await swarm.fetcher()
      expect(fetcher).toBeDefined()
      const victim = reads ? fetcher! : names.find((name) => name !== fetcher)!
      await swarm.lab.host(victim).unplug()
      await hurry(swarm)
      const pulls = await Promise.allSettled(pulling.filter((_, i) => names[i] !== victim))
      tell(`without ${victim}, ${what}`, pulls)
      expectAll(pulls, swarm)

      await swarm.lab.host(victim).plug()
      const late = await Promise.allSettled(pulling.filter((_, i) => names[i] === victim))
      tell(`${victim} itself`, late)
      expectAll(late, swarm)
    },
    180_000,
  )
})
