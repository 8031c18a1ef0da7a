/**
 * A cluster of which every node is replaceable: two seeds and two schedulers that share a PostgreSQL and an object store,
 * a peer, and a registry that gets copies of all that is pushed; each on a host of its own. And rounds in which one of
 * the four is killed at any moment of a push, a preheat and the copying, and perhaps loses its disk.
 */
import { chmodSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Random } from '../../src/clock.ts'
import { formatStateUrl } from '../../src/config/state-url.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { type Written, writeImage } from './image.ts'
import { Lab } from './lab.ts'
import { type Layer, syntheticLayer } from './layers.ts'
import { LabNode } from './node.ts'
import { LabPostgres, postgresFolder } from './postgres.ts'
import { pullOn } from './pull.ts'
import { LabRegistry } from './registry.ts'
import { LabS3 } from './s3.ts'
import { until } from './until.ts'

const seeds = ['seed1', 'seed2'] as const
const schedulers = ['sched1', 'sched2'] as const
const victims = [...seeds, ...schedulers]
type Victim = (typeof victims)[number]

const imagesEach = 3
const layerBytes = 400_000
/** After the kill, until all that was acknowledged is where it has to be. */
const settleSeconds = 90
const moving = 'apps.corp/moving'

/** What went on when a node was killed, and what is known to have been acknowledged. */
export interface DurableRound {
  readonly killed: Victim
  readonly diskLost: boolean
  /** Under way at that moment. */
  readonly during: readonly ('push' | 'preheat' | 'replication')[]
  readonly pushes: number
  readonly preheats: number
  /** Tries that were cut off, and made again at another node. */
  readonly again: number
  readonly seconds: number
}

interface Acknowledged {
  readonly repository: string
  readonly digest: Digest
}

export class Durable {
  readonly lab: Lab
  readonly #postgres: LabPostgres
  readonly #s3: LabS3
  readonly #target: LabRegistry
  readonly #nodes = new Map<string, LabNode>()
  readonly #base: Layer
  readonly #acknowledged: Acknowledged[] = []
  readonly #random: Random
  /** What the moving tag may point to: what was acknowledged last, and what was tried after that. */
  #latest: Digest[] = []
  #count = 0

  private constructor(
    parts: { lab: Lab; postgres: LabPostgres; s3: LabS3; target: LabRegistry; base: Layer },
    random: Random,
  ) {
    this.lab = parts.lab
    this.#postgres = parts.postgres
    this.#s3 = parts.s3
    this.#target = parts.target
    this.#base = parts.base
    this.#random = random
  }

  /** What keeps it from running here; undefined if nothing. */
  static async obstacle(): Promise<string | undefined> {
    if (postgresFolder === undefined) return 'PostgreSQL is not installed (apt-get install postgresql)'
    if (!Bun.which('skopeo') || !Bun.which('docker-registry')) return 'skopeo or docker-registry is not installed'
    return (await LabS3.missing()) ?? (await Lab.obstacle())
  }

  static async open(random: Random): Promise<Durable> {
    const lab = await Lab.create({ hosts: ['store', 'target', ...victims, 'peer'] })
    try {
      const store = lab.host('store')
      // The server runs as a user of its own.
      for (const dir of [lab.dir, store.dir]) chmodSync(dir, 0o711)
      const postgres = await LabPostgres.start({ dir: join(store.dir, 'pg'), host: store })
      await postgres.create('shoal')
      const s3 = await LabS3.start({ host: store, dir: join(store.dir, 's3') })
      const host = lab.host('target')
      const target = await LabRegistry.start({ host, dir: join(host.dir, 'registry') })
      const base = await syntheticLayer(lab.dir, layerBytes, 1)
      const durable = new Durable({ lab, postgres, s3, target, base }, random)
      await Promise.all([...victims, 'peer'].map((name) => durable.#launch(name).ready(60)))
      return durable
    } catch (error) {
      await lab.close()
      throw error
    }
  }

  /** Pushes, preheats and copies, and somewhere among that one of the four dies. @throws what was lost */
  async round(): Promise<DurableRound> {
    const random = this.#random
    const begun = performance.now()
    const killed = victims[Math.floor(random() * victims.length)]!
    const diskLost = random() < 0.4
    // A preheat of so little is over soon.
    const [delay, rest] = [random() * (random() < 0.5 ? 500 : 4000), random() * 2000]
    const going = new Set<'push' | 'preheat'>()
    let again = 0
    const before = this.#acknowledged.length
    const old = this.#acknowledged.at(-1)

    const pushing = (async () => {
      going.add('push')
      for (let i = 0; i < imagesEach; i++) again += await this.#pushNew(i)
      going.delete('push')
    })()
    const preheating = (async () => {
      if (!old) return undefined
      going.add('preheat')
      const { id, tries } = await this.#preheat(`${old.repository}:v1`)
      again += tries - 1
      await this.#preheated(id)
      going.delete('preheat')
      return id
    })()
    const dying = (async () => {
      await Bun.sleep(delay)
      const during: DurableRound['during'] = [...going, ...((await this.#owed()) ? (['replication'] as const) : [])]
      await this.#nodes.get(killed)!.process.kill()
      if (diskLost) rmSync(this.#nodes.get(killed)!.dataDir, { recursive: true, force: true })
      await Bun.sleep(rest)
      await this.#launch(killed).ready(60)
      return during
    })()
    const [, id, during] = await Promise.all([pushing, preheating, dying])
    if (id !== undefined) await this.#preheated(id)
    await this.#check(this.#acknowledged.slice(before))
    const pushes = this.#acknowledged.length - before + imagesEach
    const seconds = (performance.now() - begun) / 1000
    return { killed, diskLost, during, pushes, preheats: id === undefined ? 0 : 1, again, seconds }
  }

  /** Both seeds and the peer lose their disks at once: what PostgreSQL and the object store have is all there is. */
  async fromNothing(): Promise<number> {
    for (const name of [...seeds, 'peer']) {
      await this.#nodes.get(name)!.process.kill()
      rmSync(this.#nodes.get(name)!.dataDir, { recursive: true, force: true })
    }
    await Promise.all([...seeds, 'peer'].map((name) => this.#launch(name).ready(60)))
    await this.#check(this.#acknowledged)
    return this.#acknowledged.length
  }

  async close(): Promise<void> {
    await this.lab.close()
  }

  #launch(name: string): LabNode {
    const mode = name.replace(/\d/, '').replace('sched', 'scheduler')
    const join = victims.filter((other) => other !== name).flatMap((other) => ['--join', this.lab.host(other).address])
    const home = `apps.corp/**=${this.#s3.url()}`
    const copies = `apps.corp/**=http://${this.#target.hostPort}`
    const { passwordFile } = this.#postgres
    const state = ['--state', formatStateUrl(this.#postgres.url('shoal')), '--state-password-file', passwordFile]
    const flags = [
      ...['--mode', mode, '--no-mdns', ...join],
      ...(mode === 'peer' ? [] : state),
      ...(mode === 'seed' ? ['--home', home, '--push', '--replicate', copies] : []),
    ]
    const node = new LabNode({ host: this.lab.host(name), flags, env: this.#s3.env })
    this.#nodes.set(name, node)
    return node
  }

  /** A new image, and the moving tag on to it; at one seed, and if that breaks at the other. How often it broke. */
  async #pushNew(index: number): Promise<number> {
    const number = ++this.#count
    const layers = [this.#base, await syntheticLayer(this.lab.dir, layerBytes, 1000 + number)]
    const image = writeImage(join(this.lab.dir, `image${number}`), 'v1', { layers })
    const repository = `apps.corp/app${number}`
    let broke = await this.#push(image, `${repository}:v1`, index)
    this.#acknowledged.push({ repository, digest: image.digest })
    this.#latest.push(image.digest)
    broke += await this.#push(image, `${moving}:latest`, index + 1)
    this.#latest = [image.digest]
    rmSync(image.dir, { recursive: true, force: true })
    return broke
  }

  async #push(image: Written, name: string, index: number): Promise<number> {
    const end = performance.now() + settleSeconds * 1000
    let said = ''
    for (let tried = 0; performance.now() < end; tried++) {
      const host = this.lab.host(seeds[(index + tried) % seeds.length]!)
      const { code, stderr } = await host.tryExec([
        ...['timeout', '60', 'skopeo', '--insecure-policy', 'copy', '--quiet', '--dest-tls-verify=false'],
        ...[`oci:${image.dir}:${image.tag}`, `docker://127.0.0.1:4880/${name}`],
      ])
      if (code === 0) return tried
      said = stderr.trim().slice(-300)
      await Bun.sleep(200)
    }
    throw new Error(`${name} was not taken by either seed within ${settleSeconds} s: ${said}`)
  }

  async #preheat(what: string): Promise<{ id: number; tries: number }> {
    const first = Math.floor(this.#random() * 2)
    const body = JSON.stringify({ what: [what], scope: 'all' })
    const end = performance.now() + settleSeconds * 1000
    let said = ''
    for (let tries = 1; performance.now() < end; tries++) {
      const host = this.lab.host(schedulers[(first + tries) % schedulers.length]!)
      const url = 'http://127.0.0.1:4883/api/v1/preheats'
      const { code, stdout, stderr } = await host.tryExec([
        'curl',
        '-sS',
        '--fail-with-body',
        '-m',
        '10',
        url,
        '-d',
        body,
      ])
      if (code === 0) return { id: (JSON.parse(stdout) as { id: number }).id, tries }
      said = stdout || stderr
      await Bun.sleep(200)
    }
    throw new Error(`no scheduler takes the preheat of ${what}: ${said}`)
  }

  /** Done, as both schedulers tell. */
  async #preheated(id: number): Promise<void> {
    let told = ''
    for (const name of schedulers) {
      await until(`preheat ${id} is done as ${name} tells`, settleSeconds, async () => {
        told = await this.#ask(name, `http://127.0.0.1:4883/api/v1/preheats/${id}`)
        const state = told && (JSON.parse(told) as { state: string }).state
        if (state === 'failed' || state === 'cancelled') throw new Error(`preheat ${id} is ${state}: ${told}`)
        return state === 'done'
      })
    }
  }

  async #owed(): Promise<boolean> {
    const owed = await this.#postgres.sql('shoal', "SELECT count(*) FROM work WHERE kind LIKE '%repl%'")
    return Number(owed) > 0
  }

  /** Each is at both seeds, can be pulled, and has been copied. @throws what is not so */
  async #check(images: readonly Acknowledged[]): Promise<void> {
    for (const { repository, digest } of images) {
      for (const seed of seeds) {
        await until(`${seed} has ${repository}:v1 as ${digest}`, settleSeconds, async () => {
          return (await this.#digestAt(seed, 'http://127.0.0.1:4880', repository, 'v1')) === digest
        })
      }
      const pulled = await pullOn(this.lab.host('peer'), 'http://127.0.0.1:4880', repository, 'v1')
      if (pulled.digest !== digest) throw new Error(`${repository}:v1 is ${pulled.digest} at the peer, not ${digest}`)
      await until(`${repository}:v1 is at the other registry as ${digest}`, settleSeconds, async () => {
        return (await this.#digestAt('target', 'http://127.0.0.1:5000', repository, 'v1')) === digest
      })
    }
    const latest = await this.#digestAt('seed1', 'http://127.0.0.1:4880', moving, 'latest')
    if (!this.#latest.includes(latest as Digest)) {
      throw new Error(`${moving}:latest is ${latest || 'nothing'}, and not ${this.#latest.join(' or ')}`)
    }
  }

  /** Empty where there is none. */
  async #digestAt(name: string, base: string, repository: string, tag: string): Promise<string> {
    const accept = 'accept: application/vnd.oci.image.manifest.v1+json'
    const { stdout } = await this.lab
      .host(name)
      .tryExec(['curl', '-sS', '-f', '-m', '10', '-I', '-H', accept, `${base}/v2/${repository}/manifests/${tag}`])
    return /^docker-content-digest: (\S+)/im.exec(stdout)?.[1] ?? ''
  }

  async #ask(name: string, url: string): Promise<string> {
    return (await this.lab.host(name).tryExec(['curl', '-sS', '-f', '-m', '10', url])).stdout
  }
}
