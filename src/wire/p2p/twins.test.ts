import { afterEach, expect, setDefaultTimeout, test } from 'bun:test'
import { FakeClock } from '../../../test/fakes/clock.ts'
import { eventually, startTestNode, type TestNode } from '../../../test/fakes/network.ts'
import { Identity } from '../../cluster/identity.ts'
import { type Fields, type Log, silentLog } from '../../telemetry/log.ts'
import { Seldom } from '../../telemetry/seldom.ts'
import { OwnKey } from './twins.ts'

setDefaultTimeout(30_000)

const nodes: TestNode[] = []
afterEach(async () => {
  await Promise.all(nodes.splice(0).map((node) => node.network.close()))
})

interface Teller {
  readonly errors: { readonly message: string; readonly fields: Fields | undefined }[]
  readonly log: Log
}

function teller(): Teller {
  const errors: Teller['errors'] = []
  return { errors, log: { ...silentLog, error: (message, fields) => void errors.push({ message, fields }) } }
}

async function start(options: Parameters<typeof startTestNode>[0]): Promise<TestNode> {
  const node = await startTestNode(options)
  nodes.push(node)
  return node
}

const atOnce = /^another host runs with the node key of this one: each host needs its own; remove node\.key /

test('a node that joins another with its own key is told so, and joins when the key is another one', async () => {
  const identity = await Identity.temporary()
  const clone = await start({ identity })
  const { errors, log } = teller()
  const node = await start({ identity, join: [clone.p2p], log })
  await eventually('it tells', () => errors.length > 0)
  expect(errors[0]).toMatchObject({ message: expect.stringMatching(atOnce), fields: { at: clone.p2p } })
  expect(node.network.membership.all()).toHaveLength(1)
  // Somebody mends it: another key at the same address.
  const port = Number(clone.p2p.split('/').at(-1))
  await nodes.splice(nodes.indexOf(clone), 1)[0]!.network.close()
  await start({ p2pAddr: { host: '127.0.0.1', port } })
  await eventually('they meet', () => node.network.membership.all().length === 2)
})

test('who hears two hosts with one key keeps to one of them, and tells the other one and operators', async () => {
  const identity = await Identity.temporary()
  const there = teller()
  const third = await start({ log: there.log })
  const [one, two] = [teller(), teller()]
  const first = await start({ identity, modes: ['peer'], join: [third.p2p], log: one.log })
  const { membership } = third.network
  const urlOf = (node: TestNode) => node.network.membership.self.url
  await eventually('the first is known', () => membership.find(identity.id)?.url === urlOf(first))
  // The next announce of the first one may come at once, and would be taken for a late one.
  await Bun.sleep(1_100)
  const second = await start({ identity, modes: ['peer'], join: [third.p2p], log: two.log })
  await eventually('the other one is known', () => membership.find(identity.id)?.url === urlOf(second))
  const news: string[] = []
  membership.onJoin(({ url }) => news.push(url))
  await eventually('the first one is told', () => one.errors.length > 0)
  expect(one.errors[0]).toMatchObject({
    message: 'a scheduler does not take this node for a member',
    fields: { url: urlOf(third), reason: expect.stringContaining(`another host, at ${urlOf(second)}, runs with the`) },
  })
  expect(there.errors[0]).toMatchObject({
    message: expect.stringMatching(/^two hosts run with one node key: /),
    fields: { node: identity.id, url: urlOf(first), other: urlOf(second) },
  })
  expect(two.errors).toEqual([])
  // Nor does the one that is stopped take the other one with it.
  await nodes.splice(nodes.indexOf(first), 1)[0]!.network.close()
  expect(membership.find(identity.id)?.url).toBe(urlOf(second))
  expect(news).toEqual([])
})

test('who is named on the local network at an address that this node never had is another host', () => {
  const { errors, log } = teller()
  const clock = new FakeClock()
  const own = new OwnKey({ log, seldom: new Seldom(clock) })
  own.at(['/ip4/10.0.0.7/tcp/4882'])
  own.at(['/ip4/10.0.0.8/tcp/4882'])
  own.named(['/ip4/10.0.0.8/tcp/4882'])
  // A host that passes on what is said may be late with it.
  own.named(['/ip4/10.0.0.7/tcp/4882'])
  expect(errors).toEqual([])
  for (let i = 0; i < 3_600; i++) {
    own.named(['/ip4/10.0.0.9/tcp/4882'])
    clock.advance(1_000)
  }
  expect(errors[0]).toMatchObject({
    message: expect.stringMatching(atOnce),
    fields: { at: '/ip4/10.0.0.9/tcp/4882' },
  })
  expect(errors.length).toBeLessThan(10)
})
