/** Members that send wrong bytes, and everybody has to finish all the same. */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { newClusterKey } from '../../src/cli/keygen.ts'
import { builtBinary } from '../lab/node.ts'
import { auditLive } from './audit.ts'
import { type Fault, must, type Scene } from './fault.ts'
import { type Lie, liesFile, type Way } from './liar.ts'
import { Stage } from './stage.ts'

const liar = join(import.meta.dir, 'liar.ts')
const pullSeconds = 120

/** All but the first `honest` nodes are liars. Where those lie as seeds, nobody else is one. */
function lying(honest: number, way: Way): (place: number, dir: string) => string {
  return (place, dir) => {
    const path = join(dir, 'wrapped')
    mkdirSync(dir, { recursive: true })
    const command = place < honest ? `'${builtBinary}' "$@"` : `'${process.execPath}' '${liar}' ${way} "$@"`
    const mode = way === 'seed' ? ` --mode ${place < honest ? 'scheduler,peer' : 'seed,peer'}` : ''
    writeFileSync(path, `#!/bin/sh\nexec ${command}${mode}\n`)
    chmodSync(path, 0o755)
    return path
  }
}

/** What a node holds against others, and how many wrong pieces it took to. */
interface Verdict {
  readonly banned: readonly string[]
  readonly rejected: number
}

class Court {
  readonly #stage: Stage
  readonly #dir: string
  readonly #honest: number
  readonly #ids: string[] = []

  constructor(stage: Stage, dir: string, honest: number) {
    this.#stage = stage
    this.#dir = dir
    this.#honest = honest
  }

  async identify(): Promise<void> {
    for (const node of this.#stage.nodes) {
      this.#ids.push((JSON.parse(await node.get('/api/v1/node')) as { id: string }).id)
    }
  }

  get liars(): string[] {
    return this.#ids.slice(this.#honest)
  }

  async verdict(place: number): Promise<Verdict> {
    const node = this.#stage.node(place)
    const { bans } = JSON.parse(await node.get('/api/v1/bans')) as { bans: { node: string }[] }
    return {
      banned: bans.map((ban) => ban.node),
      rejected: await node.metric('shoal_pieces_rejected_total', { reason: 'digest' }),
    }
  }

  /** Wrong pieces that liars began to send, by sender and receiver. */
  lies(): { from: string; to: string }[] {
    return this.liars.flatMap((from, i) => {
      const path = join(this.#dir, `node${this.#honest + i + 1}`, liesFile)
      const lines = existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n').filter(Boolean) : []
      return lines.map((line) => ({ from, to: (JSON.parse(line) as Lie).to }))
    })
  }

  /** Every honest node has banned liars only. Resolves with how many bans that makes. @throws when it is otherwise */
  async judge(): Promise<number> {
    let bans = 0
    const known = new Set<string>()
    for (let place = 0; place < this.#honest; place++) {
      const { banned, rejected } = await this.verdict(place)
      const innocent = banned.filter((id) => !this.liars.includes(id))
      must(innocent.length === 0, `node ${place + 1} has banned honest nodes: ${innocent.join(', ')}`)
      const told = `node ${place + 1} has thrown away ${rejected} wrong pieces and banned ${banned.length} liars`
      must(rejected === banned.length, told)
      for (const id of banned) known.add(id)
      bans += banned.length
    }
    must(known.size === this.liars.length, `${known.size} of ${this.liars.length} liars were found out`)
    return bans
  }
}

/** Nodes in a cluster with a key, of which all but the first `honest` lie in that way. */
async function infiltrated(scene: Scene, honest: number, lie: number, way: Way): Promise<[Stage, Court]> {
  const key = join(scene.dir, 'cluster.key')
  writeFileSync(key, newClusterKey(), { mode: 0o600 })
  const stage = await Stage.open(scene, {
    nodes: honest + lie,
    layers: [9_000_000, 4_000_000, 700_000],
    flags: ['--cluster-key-file', key],
    binary: lying(honest, way),
  })
  const court = new Court(stage, scene.dir, honest)
  await court.identify()
  // So slow that who has it is asked rather than the registry.
  stage.deviate({ rate: 3e6, path: '/blobs/' })
  return [stage, court]
}

/** `count` nodes, of which so many send wrong bytes. */
export function liars(count: number, lie: number, quick: boolean): Fault {
  const honest = count - lie
  return {
    name: `${lie} of ${count} nodes are liars`,
    family: 'peer',
    outcome:
      'every host finishes with the right bytes, no store holds a wrong piece, each liar is banned for the first one, and nobody else is',
    quick,
    boundSeconds: 400,
    round: async (scene: Scene) => {
      const [stage, court] = await infiltrated(scene, honest, lie, 'bytes')
      const slowest: string[] = []
      const finished = async (places: readonly number[], tag: string) => {
        const ends = await Promise.all(places.map((place) => stage.pull(place, pullSeconds, tag)))
        const seconds = ends.map((end, i) => {
          must(end.worked, `the pull through node ${places[i]! + 1} failed: ${end.worked ? '' : end.said}`)
          return end.pulled.seconds
        })
        slowest.push(Math.max(...seconds).toFixed(1))
        await stage.audit()
      }
      const all = [...stage.nodes.keys()]
      // At first the liars alone have it, and then everybody.
      await finished(all.slice(honest), 'v1')
      await finished(all.slice(0, honest), 'v1')
      stage.publish('v2', 2)
      await finished(all, 'v2')
      const bans = await court.judge()
      const before = court.lies().length
      must(before > 0, 'no wrong piece was ever sent')
      // Once more, with everybody warned.
      stage.publish('v3', 3)
      await finished(all.slice(0, honest), 'v3')
      const after = await court.judge()
      const told = `${before} wrong pieces sent, ${bans} bans of ${honest * lie} that there can be, ${after} after a third image`
      return `${told}; the slowest pulls took ${slowest.join(', ')} s`
    },
  }
}

/** A client whose answer broke off asks again, as engines do. */
const mostPulls = 6

/** What is wrong with the blob is known only at its end: clients get an answer that breaks off, and the next is right. */
function falseSeeds(count: number, lie: number): Fault {
  const honest = count - lie
  return {
    name: `${lie} of ${count} nodes are seeds that state wrong digests: liars`,
    family: 'peer',
    outcome:
      'no client gets a whole blob that is wrong, no blob is called whole that is not, every host finishes when it tries again, and none but liars are banned',
    quick: false,
    boundSeconds: 400,
    round: async (scene: Scene) => {
      const [stage, court] = await infiltrated(scene, honest, lie, 'seed')
      const all = [...stage.nodes.keys()]
      // Their own clients are told wrong, too.
      await Promise.all(all.slice(honest).map((place) => stage.pull(place, pullSeconds)))
      const pulls = await Promise.all(
        all.slice(0, honest).map(async (place) => {
          for (let times = 1; ; times++) {
            const end = await stage.pull(place, pullSeconds)
            const said = end.worked ? '' : end.said
            must(!/have digest/.test(said), `a client got a whole blob that is wrong: ${said}`)
            if (end.worked) return times
            must(times < mostPulls, `the pull through node ${place + 1} failed ${times} times, at last: ${said}`)
          }
        }),
      )
      for (const place of all.slice(0, honest)) await auditLive(stage.node(place).dataDir, scene.dir, stage.truth)
      const verdicts = await Promise.all(all.slice(0, honest).map((place) => court.verdict(place)))
      const banned = new Set(verdicts.flatMap((verdict) => verdict.banned))
      must(
        [...banned].every((id) => court.liars.includes(id)),
        'an honest node is banned',
      )
      must(banned.size > 0, 'no liar was found out')
      return `hosts had it after ${pulls.join(', ')} pulls; ${banned.size} of ${lie} liars are banned`
    },
  }
}

export const liarFaults: readonly Fault[] = [liars(5, 2, true), liars(10, 3, false), falseSeeds(5, 2)]
