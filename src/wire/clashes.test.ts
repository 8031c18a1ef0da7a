/** Nodes that cannot be members of one cluster, and try all the same: each is one clear line in the log, and no flood. */
import { afterEach, expect, setDefaultTimeout, test } from 'bun:test'
import { streamPair } from '@libp2p/utils'
import { FakeClock } from '../../test/fakes/clock.ts'
import { eventually, startTestNode, type TestNode } from '../../test/fakes/network.ts'
import { knock, nonceBytes, opening } from '../../test/lab/knock.ts'
import { ClusterKey } from '../cluster/cluster-key.ts'
import { Identity } from '../cluster/identity.ts'
import { KeyRing } from '../cluster/key-ring.ts'
import { MemberTable } from '../cluster/member-table.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { type Fields, silentLog } from '../telemetry/log.ts'
import { Seldom } from '../telemetry/seldom.ts'
import { watchMembers } from './members.ts'
import { Greeter } from './p2p/hello.ts'

setDefaultTimeout(30_000)

const ends: (() => unknown)[] = []
afterEach(async () => {
  await Promise.all(ends.splice(0).map((end) => end()))
})

const newKey = () => new ClusterKey(crypto.getRandomValues(new Uint8Array(32)))
const infoOf = async (more: Partial<NodeInfo> = {}): Promise<NodeInfo> => ({
  id: (await Identity.temporary()).id,
  url: 'http://10.0.0.7:4881',
  p2p: [],
  modes: ['peer', 'seed', 'scheduler'],
  version: '1.0.0',
  epoch: 'first',
  ...more,
})

/** A log that keeps what it warns of, as `message: reason`. */
function kept() {
  const lines: [string, Fields][] = []
  const keep = (message: string, fields: Fields = {}) => void lines.push([message, fields])
  return { lines, log: { ...silentLog, warn: keep, error: keep } }
}

async function start(...args: Parameters<typeof startTestNode>): Promise<TestNode> {
  const node = await startTestNode(...args)
  ends.push(() => node.network.close())
  return node
}

test('who dials without the key of the cluster, or with another, hears nothing and is told of once', async () => {
  const { lines, log } = kept()
  const key = newKey()
  const { p2p } = await start({ ring: new KeyRing([key]), log })
  const door = { host: '127.0.0.1', port: Number(p2p.split('/').at(-1)) }
  expect((await knock(door, opening(key.secret))).heard).toBeGreaterThan(nonceBytes)
  for (let i = 0; i < 5; i++) {
    expect(await knock(door, opening(newKey().secret))).toEqual({ heard: nonceBytes, ended: true })
    expect(await knock(door, opening(undefined))).toEqual({ heard: nonceBytes, ended: true })
  }
  expect(lines.map(([message, { reason }]) => `${message}: ${reason}`)).toEqual([
    'a connection was refused: whoever dials this node by libp2p is no member: the other side holds another cluster key',
    'a connection was refused: whoever dials this node by libp2p is no member: the other side holds no cluster key',
  ])
})

test.each<[string, boolean, boolean]>([
  ['another key dials a cluster', true, true],
  ['no key dials a cluster with one', false, true],
  ['a key dials a cluster without one', true, false],
])('a node that with %s reads in its own log what may be wrong', async (_, own, theirs) => {
  const { lines, log } = kept()
  const ringOf = (keyed: boolean) => (keyed ? new KeyRing([newKey()]) : undefined)
  const { p2p } = await start({ ring: ringOf(theirs) })
  await start({ ring: ringOf(own), join: [p2p], log })
  await eventually('it is told', () => lines.length > 0)
  // Random bytes are too much for who takes them for a message, or nonsense, or the beginning of something long.
  expect(lines).toEqual([
    ['cannot reach a node of --join; trying on', { address: p2p, error: expect.stringMatching(/^it .* key$/) }],
  ])
})

test('a node that is out since the key was changed is told why by its own log, once', async () => {
  const [old, next] = [newKey(), newKey()]
  const { lines, log } = kept()
  const ring = new KeyRing([old])
  const a = await start({ ring })
  const late = await start({ ring: new KeyRing([old]), log })
  const announce = () =>
    late.network.outbound
      .announce(a.network.membership.self, {
        node: late.network.membership.self,
        ...{ uploads: 0, uploadSlots: 1, full: false, holdings: [], gone: [], leaving: false },
      })
      .then(
        () => 'admitted',
        () => 'refused',
      )
  expect(await announce()).toBe('admitted')
  ring.replace([next])
  for (let i = 0; i < 3; i++) expect(await announce()).toBe('refused')
  // The other one greets it as well, which it refuses.
  const refusals = lines.filter(([message]) => message.startsWith('another node'))
  expect(refusals).toEqual([
    [
      'another node does not admit this one',
      {
        node: a.network.membership.self.id,
        url: a.network.membership.self.url,
        reason: 'the ticket was made with a key that does not admit here',
      },
    ],
  ])
})

/** Says hello to a node that knows `self`, as somebody whose connection proves `remote`. */
async function greeted(self: NodeInfo, remote: string, said: unknown, times: number) {
  const clock = new FakeClock()
  const { lines, log } = kept()
  const greeter = new Greeter({
    table: new MemberTable(self, () => clock.now()),
    clock,
    log,
    seldom: new Seldom(clock),
  })
  for (let i = 0; i < times; i++) {
    const [near, far] = await streamPair()
    const text = new TextEncoder().encode(JSON.stringify(said))
    let heard = 0
    near.addEventListener('message', ({ data }) => {
      heard += data.byteLength
    })
    // Its length as a varint of two bytes: a hello is longer than 127.
    near.send(Uint8Array.of((text.length & 127) | 128, text.length >> 7))
    near.send(text)
    await greeter.answer(far, { remotePeer: { toString: () => remote } } as never)
    await eventually('the stream is over', () => near.status !== 'open' || heard > 0)
    near.abort(new Error('the test is over'))
  }
  return lines.map(([message, { reason, url }]) => `${message}: ${reason ?? url}`)
}

test('a node whose hello cannot be understood is told of once, however often it says it', async () => {
  const self = await infoOf()
  const { epoch: _, ...older } = await infoOf()
  const lines = await greeted(self, older.id, { node: older, members: [] }, 4)
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatch(/^a node of this cluster cannot be understood: it may be of another version: .*epoch/)
})

test('a node that encrypts, where this one does not, is told of once', async () => {
  const other = await infoOf({ url: 'https://10.0.0.8:4881' })
  expect(await greeted(await infoOf(), other.id, { node: other, members: [] }, 4)).toEqual([
    'a node of this cluster cannot be spoken with: that node encrypts, and this one does not: give --encrypt to all nodes of a cluster, or to none',
  ])
})

test('members of another version are one line for that version, and those of this version none', async () => {
  const clock = new FakeClock()
  const { lines, log } = kept()
  const table = new MemberTable(await infoOf(), () => clock.now())
  watchMembers(table, log, new Seldom(clock))
  const versions = ['1.0.0', '0.9.0', '0.9.0', '0.9.0', '0.8.0']
  for (const version of versions) table.heard(await infoOf({ version }), clock.now())
  expect(lines.map(([message, { version, own }]) => [message, version, own])).toEqual(
    ['0.9.0', '0.8.0'].map((version) => [
      'a member runs another version; bring all nodes of a cluster to the same one',
      version,
      '1.0.0',
    ]),
  )
})
