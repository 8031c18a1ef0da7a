/** A registry that can be told to do wrong, with one image, and real nodes in front of it, on addresses of loopback. */
import { join } from 'node:path'
import { type Fault as Deviation, type FakeImage, FakeRegistry, noise } from '../fakes/registry.ts'
import { LabNode } from '../lab/node.ts'
import { type Pulled, pull } from '../lab/pull.ts'
import { until } from '../lab/until.ts'
import { type Audit, audit, auditLive } from './audit.ts'
import { must, type Scene, within } from './fault.ts'

export interface StageInit {
  /** Default 2. */
  readonly nodes?: number
  /** Bytes of each layer. Default: two, of 6 and 1 MB. */
  readonly layers?: readonly number[]
  readonly flags?: readonly string[]
  readonly env?: Record<string, string>
  /** What is run in place of the binary, by the place of the node; for those that are wrapped. */
  readonly binary?: (place: number, dir: string) => string
}

/** How a pull ended: with all the bytes, or with what the client was told. */
export type End =
  | { readonly worked: true; readonly pulled: Pulled }
  | { readonly worked: false; readonly said: string; readonly seconds: number }

/** Stages of this process so far: each has addresses of its own, for what a dead node's connections keep for a while. */
let stages = 0

export class Stage {
  readonly registry: FakeRegistry
  readonly image: FakeImage
  readonly nodes: LabNode[] = []
  /** True bytes by digest. */
  readonly truth = new Map<string, Uint8Array>()
  readonly #scene: Scene
  readonly #init: StageInit
  readonly #network: string

  private constructor(scene: Scene, init: StageInit, registry: FakeRegistry) {
    this.#scene = scene
    this.#init = init
    this.registry = registry
    // Loopback has 2^24 addresses; processes that test at the same time are told apart by their pid.
    this.#network = `127.${80 + (process.pid % 100)}.${stages++ % 250}`
    this.image = this.publish('v1', 1)
  }

  static async open(scene: Scene, init: StageInit = {}): Promise<Stage> {
    const registry = await FakeRegistry.start()
    scene.undo.defer(() => registry.stop())
    const stage = new Stage(scene, init, registry)
    for (let place = 0; place < (init.nodes ?? 2); place++) stage.launch(place)
    await Promise.all(stage.nodes.map((node) => node.ready(60)))
    await stage.acquainted()
    return stage
  }

  get layers(): readonly number[] {
    return this.#init.layers ?? [6_000_000, 1_000_000]
  }

  /** Puts an image of other bytes under that tag. */
  publish(tag: string, seed: number): FakeImage {
    const contents = this.layers.map((size, i) => noise(size, seed * 100 + i))
    const image = this.registry.image('team/app', tag, contents)
    for (const [i, layer] of image.layers.entries()) this.truth.set(layer, contents[i]!)
    return image
  }

  /** Starts the node of that place; again, if it ran before. */
  launch(place: number): LabNode {
    const address = (at: number) => `${this.#network}.${at + 1}`
    const dir = join(this.#scene.dir, `node${place + 1}`)
    const node = new LabNode({
      address: address(place),
      dir,
      ...(this.#init.binary ? { binary: this.#init.binary(place, dir) } : {}),
      ...(this.#init.env ? { env: this.#init.env } : {}),
      flags: [
        '--no-mdns',
        ...(place === 0 ? [] : ['--join', `${address(0)}:14882`]),
        ...['--upstream', `docker.io=http://${this.registry.host}`],
        ...(this.#init.flags ?? []),
      ],
    })
    this.#scene.processes.push(node.process)
    // Of nodes that are started again and again each is stopped; those that ended take no time.
    this.#scene.undo.defer(async () => void (await node.process.stop(3000)))
    this.nodes[place] = node
    return node
  }

  node(place: number): LabNode {
    const node = this.nodes[place]
    if (!node) throw new Error(`there is no node ${place + 1}`)
    return node
  }

  async acquainted(): Promise<void> {
    for (const [place, node] of this.nodes.entries()) {
      await until(`node ${place + 1} knows all`, 60, async () => (await node.members()) >= this.nodes.length)
    }
  }

  /** Bytes of the image's layers. */
  get size(): number {
    return this.layers.reduce((sum, size) => sum + size, 0)
  }

  deviate(deviation: Deviation): void {
    this.registry.fault(deviation)
  }

  /** Pulls through that node. @throws when it neither works nor fails in time */
  async pull(place: number, seconds: number, tag = 'v1'): Promise<End> {
    const begun = performance.now()
    const ended = pull(this.node(place).mirror, 'team/app', tag).then(
      (pulled): End => ({ worked: true, pulled }),
      (error): End => ({ worked: false, said: String(error), seconds: (performance.now() - begun) / 1000 }),
    )
    return within(`a pull through node ${place + 1}`, seconds, ended)
  }

  pullAll(seconds: number): Promise<End[]> {
    return Promise.all(this.nodes.map((_, place) => this.pull(place, seconds)))
  }

  /** The registry's fault is over: pulls work again within a bounded time, and the bytes are right. */
  async recovers(seconds = 60): Promise<void> {
    this.registry.mend()
    for (const place of this.nodes.keys()) {
      let end: End | undefined
      await until(`a pull through node ${place + 1} works again`, seconds, async () => {
        end = await this.pull(place, seconds)
        return end.worked
      }).catch((error: Error) => {
        throw new Error(`${error.message}; the last said ${end && !end.worked ? end.said : 'nothing'}`)
      })
    }
    await this.audit()
  }

  /** @throws when a node claims what is not so */
  audit(): Promise<Audit[]> {
    return Promise.all(
      this.nodes.map(async ({ process, dataDir }, place) => {
        if (!process.running) return this.auditOf(place)
        // As the node sees it, which may have mounts of its own.
        return auditLive(`/proc/${process.pid}/root${dataDir}`, this.#scene.dir, this.truth)
      }),
    )
  }

  /** The same of a node that ended. */
  auditOf(place: number): Audit {
    return audit(this.node(place).dataDir, this.#scene.dir, this.truth)
  }

  /** @throws when a node leaves another alone */
  async nobodyBanned(): Promise<void> {
    for (const node of this.nodes) {
      const { bans } = JSON.parse(await node.get('/api/v1/bans')) as { bans: unknown[] }
      must(bans.length === 0, `an honest node is banned: ${JSON.stringify(bans)}`)
    }
  }
}
