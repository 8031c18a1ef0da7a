/**
 * More at once than anybody has: clients on one node, and peers on one seed. They come in waves, and what later waves add
 * to memory and open files is growth; the first ones warm up the runtime and its caches.
 */
import { readdirSync } from 'node:fs'
import type { Digest } from '../../src/oci/digest.ts'
import { until } from '../lab/until.ts'
import { memoryOf } from '../load/process.ts'
import { type Fault, must } from './fault.ts'
import { LightPeer } from './light-peer.ts'
import { Stage } from './stage.ts'

const mebi = 1024 * 1024
const waves = 6
/** For so long at most, memory may stay above what the first waves left. */
const restMs = 30_000
const mostGrowth = 64 * mebi
const mostFiles = 16
const kind = { family: 'crowd', quick: false, boundSeconds: 900 } as const
/** Peers share the machine with the seed, and the seed is fair: all of them end late rather than some early. */
const peerSeconds = 200

export function crowd(clients: number): Fault {
  return {
    ...kind,
    name: `${clients} clients at once on one node`,
    outcome:
      'every client gets every byte, and later waves leave no more memory and no more open files than the first ones',
    round: async (scene) => {
      const stage = await Stage.open(scene, { nodes: 1, layers: [2_000_000] })
      const [digest] = stage.image.layers
      const url = `${stage.node(0).mirror}/v2/team/app/blobs/${digest}`
      const told = await inWaves(stage, async () => {
        const wrong = await Promise.all(Array.from({ length: clients }, () => fetched(url, digest!)))
        const reasons = wrong.filter((reason) => reason !== undefined)
        must(reasons.length === 0, `${reasons.length} of ${clients} clients failed, the first: ${reasons[0]}`)
      })
      return `${told}; ${once(stage)}`
    },
  }
}

export function crowdOfPeers(peers: number): Fault {
  return {
    ...kind,
    name: `${peers} peers at once on one seed`,
    outcome:
      'every peer gets every piece and finds it right, and later waves leave no more memory and no more open files than the first ones',
    round: async (scene) => {
      const stage = await Stage.open(scene, { nodes: 1, layers: [2_000_000] })
      const [digest] = stage.image.layers
      const { id, addresses } = JSON.parse(await stage.node(0).get('/api/v1/node')) as {
        id: string
        addresses: { peer: string }
      }
      const seed = { id, url: addresses.peer }
      const told = await inWaves(stage, async (wave) => {
        // In the first wave the seed reads it from the source meanwhile.
        const reading = wave === 0 ? stage.pull(0, peerSeconds) : undefined
        const crowd = await Promise.all(Array.from({ length: peers }, () => LightPeer.of(seed)))
        try {
          const pull = { digest: digest as Digest, size: stage.layers[0]!, seconds: peerSeconds }
          const ends = await Promise.allSettled(crowd.map((peer) => peer.pull(pull)))
          const failed = ends.filter((end) => end.status === 'rejected')
          must(failed.length === 0, `${failed.length} of ${peers} peers failed, the first: ${failed[0]?.reason}`)
        } finally {
          for (const peer of crowd) peer.close()
        }
        const end = await reading
        must(end?.worked !== false, `the seed's own pull failed: ${end && !end.worked ? end.said : ''}`)
      })
      const sent = await stage.node(0).metric('shoal_peer_sent_bytes_total')
      const least = waves * peers * stage.size
      must(sent >= least, `the seed counted ${sent} bytes sent to peers, who have ${least}`)
      await stage.nobodyBanned()
      return `${told}; the seed sent ${(sent / least).toFixed(2)} times what they asked for; ${once(stage)}`
    },
  }
}

/** @throws when later waves leave more than the first ones */
async function inWaves(stage: Stage, wave: (index: number) => Promise<void>): Promise<string> {
  const { pid } = stage.node(0).process
  const files = () => readdirSync(`/proc/${pid}/fd`).length
  const idle = files()
  const resident: number[] = []
  const peaks: number[] = []
  let mostOpen = 0
  for (let index = 0; index < waves; index++) {
    let peak = 0
    const timer = setInterval(() => {
      peak = Math.max(peak, memoryOf(pid).resident)
      mostOpen = Math.max(mostOpen, files())
    }, 200)
    try {
      await wave(index)
    } finally {
      clearInterval(timer)
    }
    await until('connections are closed', 120, () => files() <= idle + mostFiles)
    const warm = Math.max(...resident.slice(0, waves / 2))
    resident.push(await (index < waves / 2 ? memoryOf(pid).resident : left(pid, warm + mostGrowth)))
    peaks.push(peak)
  }
  const inMebi = (values: readonly number[]) => values.map((value) => Math.round(value / mebi)).join(', ')
  const warm = Math.max(...resident.slice(0, waves / 2))
  const growth = Math.max(...resident.slice(waves / 2)) - warm
  must(growth < mostGrowth, `memory after each wave grew: ${inMebi(resident)} MiB`)
  return `memory after each wave ${inMebi(resident)} MiB, at most ${inMebi(peaks)} MiB; open files ${idle} before, at most ${mostOpen}, ${files()} after`
}

/** The registry sent the image once, whoever came. */
function once(stage: Stage): string {
  const share = stage.registry.sentBytes() / stage.size
  must(share < 1.2, `the registry sent ${share.toFixed(2)} times the image`)
  return `the registry sent ${share.toFixed(2)} times the image`
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

/** Garbage of the last requests goes with the collections after them: what is there when it fell below `most`, or at last. */
async function left(pid: number, most: number): Promise<number> {
  const deadline = performance.now() + restMs
  while (memoryOf(pid).resident >= most && performance.now() < deadline) await Bun.sleep(500)
  return memoryOf(pid).resident
}
