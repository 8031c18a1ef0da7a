/** Bytes on the disk of a node that are not what they were, without anybody having been told. */
import { closeSync, openSync, readSync, statSync, utimesSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Random } from '../../src/clock.ts'
import { digestOf, hexOf } from '../../src/oci/digest.ts'
import { layoutOf, pieceBytes, pieceStart } from '../../src/piece/layout.ts'
import { until } from '../lab/until.ts'
import { type Fault, must, type Scene, within } from './fault.ts'
import { Stage } from './stage.ts'

const kind = { family: 'disk', quick: true, boundSeconds: 240 } as const
const layers = [24_000_000, 3_000_000]

/** One byte in about every third piece of the first layer, from byte `from` on; the file's times stay. How many pieces? */
function spoil(stage: Stage, random: Random, from = 0): number {
  const hex = hexOf(stage.image.layers[0]!)
  const path = join(stage.node(0).dataDir, 'blobs', 'sha256', hex.slice(0, 2), hex)
  const { size, atime, mtime } = statSync(path)
  const layout = layoutOf(stage.layers[0]!)
  const fd = openSync(path, 'r+')
  let spoilt = 0
  try {
    for (let piece = 0; piece < layout.count; piece++) {
      const start = pieceStart(layout, piece)
      if (start < from || (random() > 0.33 && spoilt > 0)) continue
      const at = start + Math.floor(random() * pieceBytes(layout, piece))
      // Of a blob that is not whole the file may end earlier.
      if (at >= size) continue
      const byte = Buffer.alloc(1)
      readSync(fd, byte, 0, 1, at)
      byte[0]! ^= 1 << Math.floor(random() * 8)
      writeSync(fd, byte, 0, 1, at)
      spoilt++
    }
  } finally {
    closeSync(fd)
  }
  utimesSync(path, atime, mtime)
  return spoilt
}

/** Nodes that have the image, and a registry that does not give it to anybody any more. */
async function stocked(scene: Scene, nodes: number, flags: readonly string[] = []): Promise<Stage> {
  const stage = await Stage.open(scene, { nodes, layers, flags })
  for (const place of [0, 1]) must((await stage.pull(place, 60)).worked, `the first pull of node ${place + 1} failed`)
  await until('both are known to have all of it', 30, async () => {
    const [first, second] = await stage.audit()
    return first!.partial + second!.partial === 0
  })
  stage.deviate({ status: 503, path: '/blobs/' })
  return stage
}

/** The first node found what was spoilt, and has it again as it should be. Resolves with how many pieces it found. */
async function mended(stage: Stage, seconds: number): Promise<number> {
  const { whole } = stage.auditOf(1)
  let said = ''
  await until('what rotted is mended', seconds, async () => {
    try {
      const found = stage.auditOf(0)
      said = `${found.whole} of ${whole} blobs are whole`
      return found.whole === whole
    } catch (error) {
      said = String(error)
      return false
    }
  }).catch((error: Error) => {
    throw new Error(`${error.message}: ${said}`)
  })
  return stage.node(0).metric('shoal_pieces_damaged_total')
}

async function rejectedBy(stage: Stage): Promise<number> {
  const each = stage.nodes.map((node) => node.metric('shoal_pieces_rejected_total', { reason: 'digest' }))
  return (await Promise.all(each)).reduce((sum, count) => sum + count, 0)
}

/** Stops the first node, spoils what it has, and starts it again. */
async function spoiltAsleep(stage: Stage, random: Random): Promise<number> {
  await stage.node(0).process.stop()
  const spoilt = spoil(stage, random)
  await stage.launch(0).ready(60)
  await stage.acquainted()
  return spoilt
}

const serving: Fault = {
  ...kind,
  name: 'disk rots under a node that serves others',
  outcome: 'no wrong piece leaves it, it has them again from the others, every host finishes and nobody is banned',
  round: async (scene) => {
    // Slow enough to be in the middle of it.
    const stage = await stocked(scene, 3, ['--upload-rate', '6MB/s'])
    const asleep = scene.random() < 0.5
    let spoilt = asleep ? await spoiltAsleep(stage, scene.random) : 0
    const pulling = stage.pull(2, 120)
    if (!asleep) {
      await until('it serves', 30, async () => (await stage.node(0).metric('shoal_peer_sent_bytes_total')) > 0, 20)
      spoilt = spoil(stage, scene.random)
    }
    const end = await pulling
    must(end.worked, `the other node's pull failed: ${end.worked ? '' : end.said}`)
    const again = await stage.pull(0, 60)
    must(again.worked, `its own client's pull failed: ${again.worked ? '' : again.said}`)
    const found = await mended(stage, 60)
    must(found > 0, 'nothing was found')
    await stage.audit()
    must((await rejectedBy(stage)) === 0, 'a wrong piece was sent')
    await stage.nobodyBanned()
    return `${spoilt} pieces spoilt ${asleep ? 'while it was off' : 'while it served'}, ${found} found and mended`
  },
}

const reading: Fault = {
  ...kind,
  name: 'disk rots under a node whose client reads',
  outcome: 'the client gets the right bytes all the same, in the same answer, and they are on the disk again',
  round: async (scene) => {
    const stage = await stocked(scene, 2)
    const asleep = scene.random() < 0.3
    const layer = stage.image.layers[0]!
    let spoilt = asleep ? await spoiltAsleep(stage, scene.random) : 0
    const read = async () => {
      const response = await fetch(`${stage.node(0).mirror}/v2/team/app/blobs/${layer}`)
      must(response.status === 200, `the client was answered ${response.status}`)
      const chunks: Uint8Array[] = []
      for await (const chunk of response.body ?? []) {
        // What is on the way already has left the disk: two thirds of it have not.
        if (spoilt === 0) spoilt = spoil(stage, scene.random, layers[0]! / 3)
        chunks.push(new Uint8Array(chunk))
      }
      return digestOf(Buffer.concat(chunks))
    }
    const got = await within('the client', 90, read())
    must(got === layer, `the client got bytes with the digest ${got}`)
    const found = await mended(stage, 60)
    must(found === spoilt, `${spoilt} pieces were spoilt and ${found} found`)
    await stage.nobodyBanned()
    return `${spoilt} pieces spoilt ${asleep ? 'before' : 'in the middle of'} the answer, all found and mended`
  },
}

const scrubbed: Fault = {
  ...kind,
  name: 'disk rots and nobody reads it',
  outcome: 'what is read again from time to time is found wrong and fetched from the others',
  round: async (scene) => {
    const stage = await stocked(scene, 2, ['--scrub-every', '3s'])
    const spoilt = await spoiltAsleep(stage, scene.random)
    const found = await mended(stage, 90)
    must(found === spoilt, `${spoilt} pieces were spoilt and ${found} found`)
    must((await rejectedBy(stage)) === 0, 'a wrong piece was sent')
    await stage.nobodyBanned()
    return `${spoilt} pieces spoilt, all found and mended`
  },
}

const unfinished: Fault = {
  ...kind,
  name: 'disk rots under a blob that is not whole yet',
  outcome: 'after a restart the pull goes on, and fetches again what rotted and what was missing, nothing else',
  round: async (scene) => {
    const stage = await Stage.open(scene, { nodes: 1, layers: [24_000_000] })
    stage.deviate({ rate: 6e6, path: '/blobs/' })
    const pulling = stage.pull(0, 60)
    const sent = 6e6 + scene.random() * 6e6
    await until('a part of it is here', 30, () => stage.registry.sentBytes() > sent, 20)
    await stage.node(0).process.kill()
    must(!(await pulling).worked, 'the pull was over before the node was killed')
    const { pieces } = stage.auditOf(0)
    const spoilt = spoil(stage, scene.random)
    stage.registry.mend()
    await stage.launch(0).ready(60)
    const end = await stage.pull(0, 60)
    must(end.worked, `the pull after the restart failed: ${end.worked ? '' : end.said}`)
    const found = await stage.node(0).metric('shoal_pieces_damaged_total')
    must(found > 0, 'nothing was found')
    await stage.audit()
    return `${spoilt} pieces spoilt in a file with ${pieces}, ${found} found and mended`
  },
}

export const rotFaults: readonly Fault[] = [serving, reading, scrubbed, unfinished]
