import { describe, expect, test } from 'bun:test'
import { FakeClock } from '../../../test/fakes/clock.ts'
import { eventually, startTestNode, type TestNode } from '../../../test/fakes/network.ts'
import type { NodeInfo } from '../../cluster/node-info.ts'
import { SeedList } from './seed-list.ts'

/** Nodes by address, names by what they resolve to, and what was dialled. */
class Stage {
  readonly clock = new FakeClock()
  readonly nodes = new Map<string, string>()
  readonly names = new Map<string, readonly string[]>()
  readonly members = new Set<string>()
  readonly dialled: string[] = []
  readonly warnings: string[] = []
  self = ''

  list(...join: string[]): SeedList {
    return new SeedList({
      join,
      clock: this.clock,
      random: () => 0.5,
      table: { find: (id) => (this.members.has(id) ? infoOf(id) : undefined) },
      lookup: async (host) => {
        const found = this.names.get(host)
        if (!found) throw new Error(`no such name: ${host}`)
        return found
      },
      dial: async (address) => {
        this.dialled.push(address)
        if (address === this.self) throw new Error('Can not dial self')
        const id = this.nodes.get(address)
        if (id === undefined) throw new Error('nobody there')
        this.members.add(id)
        return infoOf(id)
      },
      log: {
        debug() {},
        info() {},
        warn: (message) => void this.warnings.push(message),
        error() {},
        child() {
          return this
        },
      },
    })
  }

  /** What was dialled since this was asked last. */
  since(): string[] {
    return this.dialled.splice(0)
  }
}

const infoOf = (id: string): NodeInfo => ({
  id,
  url: 'http://10.0.0.1:4881',
  p2p: [],
  modes: ['seed'],
  version: '1',
  epoch: '1',
})
const at = (n: number) => `/ip4/10.0.0.${n}/tcp/4882`

describe('a name in the seed list', () => {
  test('stands for all addresses it has, and this node may be at one of them', async () => {
    const stage = new Stage()
    stage.names.set('seeds', ['10.0.0.1', '10.0.0.2', '10.0.0.3'])
    stage.nodes.set(at(1), 'one').set(at(3), 'three')
    stage.self = at(2)
    const list = stage.list('/dns/seeds/tcp/4882')
    list.start()
    await stage.clock.run(100)
    expect(stage.since()).toEqual([at(1), at(2), at(3)])
    expect(stage.members).toEqual(new Set(['one', 'three']))
    await stage.clock.run(120_000)
    expect(stage.since()).toEqual([])
    list.close()
    expect(stage.clock.pending).toBe(0)
  })

  test('is asked again: who comes is met, and who is gone from it is dialled no more', async () => {
    const stage = new Stage()
    stage.names.set('seeds', ['10.0.0.1', '10.0.0.2'])
    stage.nodes.set(at(1), 'one').set(at(2), 'two')
    const list = stage.list('/dns/seeds/tcp/4882')
    list.start()
    await stage.clock.run(100)
    stage.since()
    // The second one's pod is another one now.
    stage.nodes.delete(at(2))
    stage.nodes.set(at(9), 'nine')
    stage.members.delete('two')
    stage.names.set('seeds', ['10.0.0.1', '10.0.0.9'])
    await stage.clock.run(60_000)
    expect(stage.members).toEqual(new Set(['one', 'nine']))
    stage.since()
    await stage.clock.run(120_000)
    expect(stage.since()).toEqual([])
    list.close()
  })

  test('that has no address yet is told of once, and asked for until it has one', async () => {
    const stage = new Stage()
    const list = stage.list('/dns/seeds/tcp/4882')
    list.start()
    await stage.clock.run(60_000)
    expect(stage.warnings).toHaveLength(1)
    stage.names.set('seeds', ['10.0.0.1'])
    stage.nodes.set(at(1), 'one')
    await stage.clock.run(5_000)
    expect(stage.members).toEqual(new Set(['one']))
    list.close()
  })

  test('that cannot be resolved for a while still has the addresses it had', async () => {
    const stage = new Stage()
    stage.names.set('seeds', ['10.0.0.1'])
    const list = stage.list('/dns/seeds/tcp/4882')
    list.start()
    await stage.clock.run(100)
    stage.names.clear()
    stage.nodes.set(at(1), 'one')
    await stage.clock.run(30_000)
    expect(stage.members).toEqual(new Set(['one']))
    list.close()
  })
})

test('a node joins all that are behind one name, though they do not know each other', async () => {
  const nodes: TestNode[] = []
  const start = async (...args: Parameters<typeof startTestNode>) => {
    const node = await startTestNode(...args)
    nodes.push(node)
    return node
  }
  try {
    const first = await start({ p2pAddr: { host: '127.0.0.2', port: 0 } })
    const port = Number(first.p2p.split('/').at(-1))
    const second = await start({ p2pAddr: { host: '127.0.0.3', port } })
    const behind = ['127.0.0.2', '127.0.0.3', '127.0.0.4']
    const joining = await start({
      p2pAddr: { host: '127.0.0.4', port },
      join: [`seeds.test:${port}`],
      lookup: async (host) => (host === 'seeds.test' ? behind : []),
    })
    const { membership } = joining.network
    const ids = [first, second].map(({ network }) => network.membership.self.id)
    await eventually('it knows both', () => ids.every((id) => membership.find(id) !== undefined))
    expect(membership.withMode('scheduler')).toHaveLength(3)
  } finally {
    await Promise.all(nodes.map(({ network }) => network.close()))
  }
})
