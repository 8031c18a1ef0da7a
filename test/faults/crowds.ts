/** More clients at once than anybody has engines: one node, one image, whole answers for all of them. */
import { readdirSync } from 'node:fs'
import { until } from '../lab/until.ts'
import { memoryOf } from '../load/process.ts'
import { type Fault, must } from './fault.ts'
import { Stage } from './stage.ts'

const mebi = 1024 * 1024
/** The first half of the waves is warm-up of runtime and caches: what the others add to it is growth. */
const waves = 6
const mostGrowth = 64 * mebi
const mostFiles = 16

export function crowd(clients: number): Fault {
  return {
    name: `${clients} clients at once on one node`,
    family: 'crowd',
    outcome:
      'every client gets every byte, and later waves leave no more memory and no more open files than the first ones',
    quick: false,
    boundSeconds: 400,
    round: async (scene) => {
      const stage = await Stage.open(scene, { nodes: 1, layers: [2_000_000] })
      const { pid } = stage.node(0).process
      const files = () => readdirSync(`/proc/${pid}/fd`).length
      const idle = files()
      const url = `${stage.node(0).mirror}/v2/team/app/blobs/${stage.image.layers[0]}`
      const resident: number[] = []
      const peaks: number[] = []
      for (let wave = 0; wave < waves; wave++) {
        let peak = 0
        const timer = setInterval(() => {
          peak = Math.max(peak, memoryOf(pid).resident)
        }, 200)
        try {
          const wrong = await Promise.all(Array.from({ length: clients }, () => fetched(url, stage.image.layers[0]!)))
          const reasons = wrong.filter((reason) => reason !== undefined)
          must(reasons.length === 0, `${reasons.length} of ${clients} clients failed, the first: ${reasons[0]}`)
        } finally {
          clearInterval(timer)
        }
        await until('connections are closed', 120, () => files() <= idle + mostFiles)
        resident.push(memoryOf(pid).resident)
        peaks.push(peak)
      }
      const inMebi = (values: readonly number[]) => values.map((value) => Math.round(value / mebi)).join(', ')
      const warm = Math.max(...resident.slice(0, waves / 2))
      const growth = Math.max(...resident.slice(waves / 2)) - warm
      must(growth < mostGrowth, `memory after each wave grew: ${inMebi(resident)} MiB`)
      const share = stage.registry.sentBytes() / stage.size
      must(share < 1.2, `the registry sent ${share.toFixed(2)} times the image`)
      return `memory after each wave ${inMebi(resident)} MiB, at most ${inMebi(peaks)} MiB; open files ${idle} before, ${files()} after; the registry sent ${share.toFixed(2)} times the image`
    },
  }
}

/** Undefined when all of it came and is right. One connection for each, as different clients have. */
async function fetched(url: string, digest: string): Promise<string | undefined> {
  try {
    const response = await fetch(url, { headers: { connection: 'close' }, keepalive: false })
    if (response.status !== 200) return `${response.status} ${(await response.text()).slice(0, 300)}`
    const hash = new Bun.CryptoHasher('sha256')
    for await (const chunk of response.body ?? []) hash.update(chunk)
    const found = `sha256:${hash.digest('hex')}`
    return found === digest ? undefined : `the bytes have digest ${found}`
  } catch (error) {
    return String(error)
  }
}
