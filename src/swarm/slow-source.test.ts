/** A source that is slow, but not silent: it is read once, by one node, for as long as it takes. */
import { afterEach, expect, test } from 'bun:test'
import { SwarmNetwork } from '../../test/fakes/swarm-network.ts'

let network: SwarmNetwork
afterEach(() => network.close())

test.each([
  [2, 'themselves'],
  [5, 'themselves'],
  [3, 'another'],
  [6, 'another'],
] as const)(
  '%d nodes have a source that sends a piece in eight seconds read by one of them, scheduled by %s',
  async (nodes, schedulers) => {
    network =
      schedulers === 'themselves'
        ? new SwarmNetwork({ nodes, options: () => ({ modes: ['scheduler', 'seed', 'peer'] }) })
        : new SwarmNetwork({
            nodes: nodes + 1,
            options: (i) => ({ modes: i === 0 ? ['scheduler'] : ['seed', 'peer'] }),
          })
    const { location, bytes } = network.blob(8)
    for (const node of network.nodes) {
      node.source.gate = () => new Promise((resolve) => network.clock.after(2000, resolve))
    }
    const readers = network.nodes.slice(-nodes).map((node) => node.reader(location))
    expect(await network.until(() => readers.every((reader) => reader.over), 100_000)).toBe(true)
    for (const reader of readers) expect(Buffer.concat(reader.read).equals(bytes)).toBe(true)
    expect(network.sourceBytes).toBeLessThan(1.3 * bytes.length)
  },
  60_000,
)
