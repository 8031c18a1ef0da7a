/** How long until the first byte: of a blob that the node has, and of one that it has to ask the registry for. */
import { join } from 'node:path'
import { type Asked, HostStage, inTurn } from './host-stage.ts'
import type { Figure, Scenario } from './scenario.ts'
import { median, quantile } from './statistics.ts'

const MB = 1_000_000
const client = join(import.meta.dir, 'first-byte-client.ts')
const requests = 1000
/** The requests are made in so many rounds, in turn, so that a slow moment of the machine meets both. */
const rounds = 4

export const firstByte: Scenario = {
  name: 'first-byte',
  title: 'the first byte of blobs, warm over 1,000 requests and cold',
  against: "the registry's own first byte",
  shape: { hosts: 1, rate: undefined, size: 200 * MB, layers: 20 },
  quick: { size: 20 * MB, layers: 10 },
  async run({ shape, seed, say }) {
    const { size, layers } = shape
    const stage = await HostStage.create(Array<number>(layers).fill(Math.floor(size / layers)), 1, seed)
    try {
      const host = stage.lab.host('h1')
      const ask = async (asked: Asked, count: number, many = stage.layers) => {
        const urls = many.map((layer) => stage.url(layer, asked))
        return JSON.parse(await host.exec([process.execPath, client, String(count), ...urls])) as number[]
      }
      const cold = await inTurn(3, async (asked) => {
        if (asked === 'node') await stage.cold()
        return ask(asked, layers)
      })
      const late = median(cold.node.flat()) - median(cold.registry.flat())
      say(`cold: registry ${shown(cold.registry.flat())}, node ${shown(cold.node.flat())}`)
      await stage.stream('node')
      const one = stage.layers.slice(0, 1)
      const warm = await inTurn(rounds, (asked) => ask(asked, requests / rounds, one))
      const [registry, node] = [warm.registry.flat(), warm.node.flat()]
      say(`warm: registry ${shown(registry)}, node ${shown(node)}`)
      const compare = (p: number): Figure => ({
        name: `warm, p${p * 100}`,
        value: quantile(node, p) / quantile(registry, p),
        unit: "times the registry's",
        reach: { atMost: 1 },
      })
      const coldFigure = { name: 'cold, median', value: late, unit: 'ms after the registry', reach: { atMost: 30 } }
      return [compare(0.5), compare(0.99), coldFigure]
    } finally {
      await stage.close()
    }
  },
}

function shown(ms: readonly number[]): string {
  return `p50 ${quantile(ms, 0.5).toFixed(2)} ms, p99 ${quantile(ms, 0.99).toFixed(2)} ms`
}
