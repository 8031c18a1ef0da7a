/** A source that is slow, but not silent: it is read once, by one node, for as long as it takes. */
import { afterEach, expect, test } from 'bun:test'
import { SwarmNetwork } from '../../test/fakes/swarm-network.ts'

let network: SwarmNetwork
afterEach(() => network.close())

test.each([2, 5])(
  '%d nodes have a source that sends a piece in eight seconds read by one of them',
  async (nodes) => {
    network = new SwarmNetwork({ nodes, options: () => ({ modes: ['scheduler', 'seed', 'peer'] }) })
    const { location, bytes } = network.blob(8)
    for (const node of network.nodes) {
      node.source.gate = () => new Promise((resolve) => network.clock.after(2000, resolve))
    }
    const readers = network.nodes.map((node) => node.reader(location))
    expect(await network.until(() => readers.every((reader) => reader.over), 100_000)).toBe(true)
    for (const reader of readers) expect(Buffer.concat(reader.read).equals(bytes)).toBe(true)
    expect(network.sourceBytes).toBeLessThan(1.3 * bytes.length)
  },
  60_000,
)
