import { afterEach, expect, setDefaultTimeout, test } from 'bun:test'
import { eventually, startTestNode, type TestNode } from '../../test/fakes/network.ts'
import { systemClock } from '../clock.ts'
import type { Interfaces } from '../cluster/advertise.ts'
import { ClusterKey } from '../cluster/cluster-key.ts'
import { Identity } from '../cluster/identity.ts'
import { KeyRing } from '../cluster/key-ring.ts'
import { digestOf } from '../oci/digest.ts'
import { silentLog } from '../telemetry/log.ts'
import { lookEvery } from './own-place.ts'

// Refused handshakes of private networks take seconds.
setDefaultTimeout(30_000)

const nodes: TestNode[] = []
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.network.close()))
})

async function start(...args: Parameters<typeof startTestNode>): Promise<TestNode> {
  const node = await startTestNode(...args)
  nodes.push(node)
  return node
}

async function stop(node: TestNode): Promise<void> {
  nodes.splice(nodes.indexOf(node), 1)
  await node.network.close()
}

const idOf = (node: TestNode) => node.network.membership.self.id
const knows = (a: TestNode, b: TestNode) => a.network.membership.find(idOf(b)) !== undefined

test('three nodes of which two join the third all know one another', async () => {
  const a = await start()
  const b = await start({ join: [a.p2p] })
  const c = await start({ join: [a.p2p] })
  await eventually('all know all', () => [a, b, c].every((x) => [a, b, c].every((y) => knows(x, y))))
  expect(a.network.membership.withMode('scheduler')).toHaveLength(3)
})

test('a node joins an entry of its seed list that comes up after it', async () => {
  const early = await start()
  const address = early.p2p
  const port = Number(address.split('/').at(-1))
  await stop(early)
  const b = await start({ join: [`127.0.0.1:${port}`] })
  const a = await start({ p2pAddr: { host: '127.0.0.1', port } })
  await eventually('they meet', () => knows(a, b) && knows(b, a))
  expect(knows(b, a)).toBe(true)
})

test('an entry of the seed list that leads to the node itself is ignored', async () => {
  const probe = await start()
  const port = Number(probe.p2p.split('/').at(-1))
  await stop(probe)
  const said: string[] = []
  const log = {
    debug: (m: string) => said.push(m),
    info() {},
    warn: (m: string) => said.push(m),
    error() {},
    child: () => log,
  }
  await start({ p2pAddr: { host: '127.0.0.1', port }, join: [`127.0.0.1:${port}`], log })
  await eventually('it notices', () => said.includes('a node of --join is this node itself'))
  expect(said.filter((m) => m.startsWith('cannot reach'))).toEqual([])
})

test('a node with another cluster key, or none, does not get in', async () => {
  const key = () => new ClusterKey(crypto.getRandomValues(new Uint8Array(32)))
  const ring = new KeyRing([key()])
  const a = await start({ ring })
  const friend = await start({ ring, join: [a.p2p] })
  const tried: string[] = []
  const log = { debug() {}, info() {}, warn: (m: string) => tried.push(m), error() {}, child: () => log }
  const stranger = await start({ ring: new KeyRing([key()]), join: [a.p2p], log })
  const open = await start({ join: [a.p2p], log })
  await eventually('the friend gets in and the others are turned away', () => knows(a, friend) && tried.length >= 2)
  expect([knows(a, stranger), knows(stranger, a), knows(a, open), knows(open, a)]).toEqual([false, false, false, false])
})

test('a node that ends says so, and is known to be gone at once', async () => {
  const a = await start()
  const b = await start({ join: [a.p2p] })
  await eventually('they meet', () => knows(a, b) && a.inbound.announces.some((x) => x.node.id === idOf(b)))
  const reasons: string[] = []
  a.network.membership.onLeave((_, reason) => reasons.push(reason))
  await stop(b)
  expect(knows(a, b)).toBe(false)
  expect(reasons).toEqual(['it left'])
})

test('peers are known to schedulers alone; all know schedulers and seeds', async () => {
  const scheduler = await start({ modes: ['scheduler'] })
  const seed = await start({ modes: ['seed'], join: [scheduler.p2p] })
  const one = await start({ modes: ['peer'], join: [scheduler.p2p] })
  const two = await start({ modes: ['peer'], join: [scheduler.p2p] })
  await eventually('the scheduler knows all', () => [seed, one, two].every((node) => knows(scheduler, node)))
  await eventually('peers know the seed', () => knows(one, seed) && knows(two, seed))
  expect([knows(one, two), knows(two, one), knows(seed, one)]).toEqual([false, false, false])
})

test('what a node provides is found by another, with its address', async () => {
  const a = await start()
  const b = await start({ join: [a.p2p] })
  const c = await start({ join: [a.p2p] })
  await eventually('they meet', () => knows(a, b) && knows(a, c))
  const digest = digestOf(new TextEncoder().encode('a blob'))
  b.network.directory.provide(digest)
  await eventually('the record is found', async () => (await c.network.directory.find(digest)).length > 0)
  expect(await c.network.directory.find(digest)).toEqual([b.network.membership.self])
  expect(await c.network.directory.find(digestOf(new Uint8Array(1)))).toEqual([])
})

test('a port that is taken is an error that names the flag, and leaves nothing open', async () => {
  const a = await start()
  const p2pPort = Number(a.p2p.split('/').at(-1))
  const peerPort = Number(new URL(a.network.membership.self.url).port)
  const taken = (options: Parameters<typeof startTestNode>[0]) =>
    startTestNode(options).then(String, (error) => error.message)
  expect(await taken({ p2pAddr: { host: '127.0.0.1', port: p2pPort } })).toMatch(
    /:\d+ \(--p2p-addr\) is in use by another program/,
  )
  expect(await taken({ peerAddr: { host: '127.0.0.1', port: peerPort } })).toMatch(
    /:\d+ \(--peer-addr\) is in use by another program/,
  )
  expect(await taken({ join: ['10.0.0.300'] })).toMatch(/^--join 10\.0\.0\.300: not an address/)
})

test('a node that restarts under the same identity is met anew', async () => {
  const identity = await Identity.temporary()
  const a = await start()
  const b = await start({ identity, join: [a.p2p] })
  await eventually('they meet', () => knows(a, b))
  const before = a.network.membership.find(identity.id)?.epoch
  await stop(b)
  await start({ identity, join: [a.p2p] })
  await eventually('it is back', () => (a.network.membership.find(identity.id)?.epoch ?? before) !== before)
  expect(a.network.membership.find(identity.id)?.epoch).not.toBe(before)
})

test.each([false, true])(
  'a node goes by the address that its host has, and the others follow; encrypted: %p',
  async (encrypt) => {
    let has: Interfaces = {}
    const eth0 = (address: string): Interfaces => ({
      eth0: [{ address, family: 'IPv4', internal: false, netmask: '', mac: '', cidr: null }],
    })
    // The host is looked at more often.
    const clock = {
      ...systemClock,
      after: (ms: number, task: () => void) => systemClock.after(ms === lookEvery ? 50 : ms, task),
    }
    const warned: string[] = []
    const log = { ...silentLog, warn: (message: string) => void warned.push(message) }
    const a = await start({ encrypt })
    const b = await start({
      ...{ encrypt, clock, log, join: [a.p2p] },
      peerAddr: { host: '0.0.0.0', port: 0 },
      interfaces: () => has,
    })
    expect(warned).toEqual([expect.stringMatching(/^this host has no address that others could reach it at/)])
    const { membership } = b.network
    const { port, protocol } = new URL(membership.self.url)
    const told = () => a.network.membership.find(idOf(b))?.url
    const told1 = `${protocol}//127.0.0.1:${port}`
    await eventually('they meet', () => told() === told1)
    const before = membership.self.epoch
    for (const address of ['127.0.0.2', '127.0.0.3']) {
      has = eth0(address)
      await eventually(`it is told of ${address}`, () => told() === `${protocol}//${address}:${port}`)
      expect(membership.self.p2p[0]).toStartWith(`/ip4/${address}/tcp/`)
      // Its port answers there, as that node, and sessions with it are opened anew.
      const card = { id: idOf(b), url: told()! }
      expect(await a.network.outbound.ping(card)).toBeNumber()
      const session = await a.network.outbound.session(card)
      expect(session.peer).toMatchObject(card)
      await eventually('b is told everything', () =>
        a.inbound.announces.some(({ node, full }) => node.url === card.url && full),
      )
    }
    expect(membership.self.epoch).not.toBe(before)
  },
)
