/** Clients that take up time and memory on every port of a node, while honest ones, slow ones too, get what they ask for. */
import { readdirSync } from 'node:fs'
import { nuisances } from '../hostile/clients.ts'
import { Siege } from '../hostile/siege.ts'
import { readSlowly } from '../hostile/slow.ts'
import { until } from '../lab/until.ts'
import { memoryOf } from '../load/process.ts'
import { type Fault, must } from './fault.ts'
import { Stage } from './stage.ts'

const mebi = 1024 * 1024
/** A link of 1 Mbit/s. It is read for longer than any nuisance is borne. */
const slowRate = 125_000
const slowBytes = 12_000_000
/** Longer than what kernels keep of a connection. */
const largeBytes = 24_000_000
const mostGrowth = 64 * mebi
const mostFiles = 8

/** @param crowd how many take nothing of a blob, and how many never end their head; of the other kinds there are a few */
export function nuisance(crowd: number, sieges: number): Fault {
  return {
    name: `${crowd} clients that take nothing of their answer and ${crowd} that never end their request, and all other kinds of them, on every port`,
    family: 'crowd',
    outcome:
      'each is let go of within its time; meanwhile other nodes and clients are served, also one on a slow link; then memory and open files are as they were',
    quick: crowd < 10,
    boundSeconds: sieges * 150 + 60,
    round: async (scene) => {
      const stage = await Stage.open(scene, { layers: [largeBytes, slowBytes] })
      const node = stage.node(0)
      const first = await stage.pull(0, 60)
      must(first.worked, `a pull before all that failed: ${first.worked || first.said}`)
      const { pid } = node.process
      const { hostname } = new URL(node.mirror)
      const files = () => readdirSync(`/proc/${pid}/fd`).length
      const idle = files()
      const resident = [memoryOf(pid).resident]
      let peak = 0
      let mostOpen = 0
      let told = ''
      for (let i = 0; i < sieges; i++) {
        const siege = new Siege(hostname)
        scene.undo.defer(() => siege.close())
        for (const kind of nuisances(stage.image.layers[0]!)) {
          const many = kind.what === 'takes nothing of a blob' || kind.what === 'never ends its head'
          await siege.add(kind, many ? crowd : 2)
        }
        const slow = readSlowly(`${node.mirror}/v2/team/app/blobs/${stage.image.layers[1]}`, slowRate, 140)
        const honest = i === 0 ? stage.pull(1, 60) : stage.pull(0, 60)
        await siege.over(130, () => {
          peak = Math.max(peak, memoryOf(pid).resident)
          mostOpen = Math.max(mostOpen, files())
        })
        const pulled = await honest
        must(
          pulled.worked,
          `a pull through ${i === 0 ? 'another' : 'the same'} node failed: ${pulled.worked || pulled.said}`,
        )
        const { digest, seconds } = await slow
        must(digest === stage.image.layers[1], `the client on the slow link got other bytes, ${digest}`)
        const late = siege.late()
        must(late.length === 0, `held for too long: ${late.join('; ')}`)
        must(seconds > 90, `the client on the slow link was done after ${seconds} s: it tried nothing`)
        siege.close()
        await until('files are closed', 30, () => files() <= idle + mostFiles)
        resident.push(memoryOf(pid).resident)
        told = [...siege.longest()].map(([{ port, what }, held]) => `${port} ${what} ${held} s`).join(', ')
      }
      const after = resident.map((bytes) => Math.round(bytes / mebi))
      // The first siege warms up runtime and caches; what others leave beside it is growth.
      const warm = resident[Math.min(1, sieges - 1)]!
      const growth = resident.at(-1)! - warm
      must(growth < mostGrowth, `memory grew: ${after.join(', ')} MiB before and after`)
      return `memory before and after ${after.join(', ')} MiB, at most ${Math.round(peak / mebi)}; open files ${idle} before, at most ${mostOpen}, ${files()} after; held at most: ${told}`
    },
  }
}
