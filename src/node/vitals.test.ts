import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { LoneNode } from '../../test/fakes/lone-node.ts'
import { infoOf } from '../../test/fakes/members.ts'
import { clusterHistorySchema, clusterSchema } from '../admin/view.ts'
import { Failure } from '../failure.ts'
import { Meter } from '../meter.ts'
import { repositoryOf } from '../oci/reference.ts'
import { History } from '../telemetry/history.ts'
import type { Outbound } from '../wire/wire.ts'
import { ClusterVitals, mostAsked, readings, together, type Vitals, type VitalsRequest, vitalsCall } from './vitals.ts'

const others: Vitals = {
  rates: { received: 5, sent: 6, source: 7 },
  totals: { engines: 1000, source: 100, received: 900, sent: 0 },
  pulling: { size: 40, have: 10 },
  flows: [{ from: 'source', rate: 7 }],
}

let node: LoneNode
let history: History
let asked: string[]
let answer: (request: VitalsRequest) => Vitals
let vitals: ClusterVitals
beforeEach(() => {
  node = new LoneNode()
  history = new History()
  asked = []
  answer = () => others
  const { membership, swarm, metrics, clock } = node
  const meter = () => new Meter(clock.now())
  vitals = new ClusterVitals({
    membership,
    outbound: {
      call: (async ({ id }, call, request) => {
        expect(call.name).toBe('vitals')
        asked.push(id)
        return answer(request as VitalsRequest)
      }) as Outbound['call'],
    },
    swarm,
    history,
    metrics,
    rates: { received: meter(), sent: meter(), source: meter() },
    clock,
  })
})
afterEach(() => node.close())

const meet = (count: number) => {
  for (let i = 0; i < count; i++) node.membership.heard(infoOf(`n${i}`), node.clock.now())
}

test('a node tells how far it is with what it fetches, and what of it comes from where', async () => {
  const digest = node.source.add(bytesOf(1_000_000))
  node.source.chunk = 262_144
  node.source.gate = () => (node.source.sent < 300_000 ? undefined : new Promise<void>(() => {}))
  void node.content.open(repositoryOf('docker.io', 'library/debian'), digest).catch(() => {})
  await node.clock.run(500)
  node.metrics.sourceBytes.inc({ source: 'docker.io' }, 524_288)
  const own = vitalsCall.reply.parse(await vitals.own({}))
  expect(own.pulling).toEqual({ size: 1_000_000, have: 500_000 })
  expect(own.flows).toEqual([{ from: 'source', rate: expect.any(Number) }])
  expect(own.totals).toEqual({ engines: 0, source: 524_288, received: 0, sent: 0 })
})

test('the cluster is this node and what the others say', async () => {
  meet(2)
  const { nodes, silent, unasked } = clusterSchema.parse(await vitals.now())
  expect(nodes.map(({ id }) => id)).toEqual(['self', 'n0', 'n1'])
  expect([nodes[0]?.pulling, nodes[1], silent, unasked]).toEqual([undefined, { id: 'n0', ...others }, 0, 0])
})

test('who does not answer is counted, and keeps nobody from being seen', async () => {
  meet(3)
  answer = () => {
    if (asked.length === 2) throw new Failure('unavailable', 'no answer')
    return others
  }
  const { nodes, silent } = await vitals.now()
  expect([nodes.length, silent]).toEqual([3, 1])
})

test('who is late once is still counted with what it said before, for a while', async () => {
  meet(1)
  await vitals.now()
  answer = () => {
    throw new Failure('unavailable', 'no answer')
  }
  node.clock.advance(5000)
  expect((await vitals.now()).nodes.map(({ totals }) => totals.engines)).toEqual([0, 1000])
  node.clock.advance(15_000)
  expect(await vitals.now()).toMatchObject({ nodes: [{ id: 'self' }], silent: 1 })
})

test('however many look, members are asked about once a second', async () => {
  meet(1)
  await Promise.all([vitals.now(), vitals.now()])
  await vitals.now()
  expect(asked).toHaveLength(1)
  node.clock.advance(1000)
  await vitals.now()
  expect(asked).toHaveLength(2)
})

test('of a large cluster some are asked, and the others are counted', async () => {
  meet(mostAsked + 5)
  const { nodes, unasked } = await vitals.now()
  expect([asked.length, nodes.length, unasked]).toEqual([mostAsked, mostAsked + 1, 5])
})

test('the past of the cluster is that of its nodes together, each by its own clock', async () => {
  meet(1)
  answer = ({ history: span }) => ({
    ...others,
    history:
      span === '30m'
        ? [
            [60_000, 0, 0],
            [0, 1000, 100],
          ]
        : [],
  })
  const wall = node.clock.wall()
  history.add({ at: wall - 120_000, engines: 0, source: 0, received: 0, sent: 0 })
  history.add({ at: wall - 30_000, engines: 500, source: 50, received: 0, sent: 0 })
  node.metrics.registrySentBytes.inc({ from: 'swarm' }, 500)
  node.metrics.sourceBytes.inc({ source: 'docker.io' }, 50)
  const { samples } = clusterHistorySchema.parse(await vitals.history('30m'))
  expect(Date.parse(samples[0]!.at)).toBe(wall - 120_000)
  expect(samples[0]).toMatchObject({ engines: 0, source: 0 })
  expect(samples.at(-1)).toMatchObject({ at: new Date(wall).toISOString(), engines: 1500, source: 150 })
  expect(samples.find(({ engines }) => engines === 500)).toMatchObject({ source: 50 })
})

describe('readings', () => {
  test('are thinned out, the last one being kept', () => {
    const samples = Array.from({ length: 10 }, (_, i) => ({
      at: i * 1000,
      engines: i,
      source: 0,
      received: 0,
      sent: 0,
    }))
    expect(readings(samples, 4)).toEqual([
      [9000, 0, 0],
      [6000, 3, 0],
      [3000, 6, 0],
      [0, 9, 0],
    ])
    expect(readings([], 4)).toEqual([])
  })

  test('of a node that has been up for long count as they began, not as if it had begun then', () => {
    const [first, , last] = together(
      [
        [
          [1000, 70, 7],
          [0, 90, 9],
        ],
        [
          [400, 0, 0],
          [0, 10, 1],
        ],
      ],
      1000,
      3,
    )
    expect([first, last]).toEqual([
      [1000, 70, 7],
      [0, 100, 10],
    ])
  })

  test('of nobody are flat', () => {
    expect(together([], 1000, 2)).toEqual([
      [0, 0, 0],
      [0, 0, 0],
    ])
  })
})
