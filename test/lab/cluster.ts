/**
 * A registry with one image and nodes in front of it, each on a host of its own: where tests of whole swarms, and the
 * scripts that measure them, begin.
 */
import type { Digest } from '../../src/oci/digest.ts'
import { type Admission, admissionFlags } from './admission.ts'
import type { Host } from './host.ts'
import type { Written } from './image.ts'
import { Lab } from './lab.ts'
import { layerSizes, syntheticLayers } from './layers.ts'
import { LabNode } from './node.ts'
import { type Pulled, pullOn } from './pull.ts'
import type { LabRegistry } from './registry.ts'
import { stocked } from './stock.ts'
import { until } from './until.ts'

export interface MemberPlan {
  readonly name: string
  /** As `--mode` takes it. Default `all`. */
  readonly mode?: string
  /** What its link carries each way, where that differs from the others'. */
  readonly rate?: string
  /** More of what `shoal up` takes, for this node. */
  readonly flags?: readonly string[]
}

export interface ClusterInit {
  readonly members: readonly MemberPlan[]
  /** How they find each other: by mDNS alone, or from a seed list alone. */
  readonly discovery: 'mdns' | 'join'
  /** Bytes of the image's layers together. */
  readonly size: number
  /** How many. Default 1. */
  readonly layers?: number
  /** What each link carries each way. Default: no limit. */
  readonly rate?: string
  /** The same for the registry's link; default `rate`. */
  readonly registryRate?: string
  /** More of what `shoal up` takes, for every node. */
  readonly flags?: readonly string[]
  /** Default `open`. */
  readonly admission?: Admission
  /** What nodes run instead of `dist/shoal`. */
  readonly binary?: string
  /** Members on a switch of their own, across a link of that rate from the registry and the others. */
  readonly far?: { readonly members: readonly string[]; readonly rate: string }
}

const upstream = 'registry.lab'
const repository = 'lab/image'
const tag = 'latest'

export const allModes = (count: number): MemberPlan[] =>
  Array.from({ length: count }, (_, i) => ({ name: `host${i + 1}` }))

export const splitModes = (schedulers: number, seeds: number, peers: number): MemberPlan[] => [
  ...Array.from({ length: schedulers }, (_, i) => ({ name: `sched${i + 1}`, mode: 'scheduler' })),
  ...Array.from({ length: seeds }, (_, i) => ({ name: `seed${i + 1}`, mode: 'seed' })),
  ...Array.from({ length: peers }, (_, i) => ({ name: `peer${i + 1}`, mode: 'peer' })),
]

export class Cluster {
  readonly lab: Lab
  readonly registry: LabRegistry
  readonly image: Written
  readonly layers: readonly { readonly digest: Digest; readonly size: number }[]
  readonly #init: ClusterInit
  readonly #nodes = new Map<string, LabNode>()

  private constructor(
    init: ClusterInit,
    lab: Lab,
    registry: LabRegistry,
    image: Written,
    layers: readonly { digest: Digest; size: number }[],
  ) {
    this.#init = init
    this.lab = lab
    this.registry = registry
    this.image = image
    this.layers = layers
  }

  /** The largest, and mostly the only one; the config beside it has a few hundred bytes. */
  get layer(): { readonly digest: Digest; readonly size: number } {
    return this.layers.at(-1)!
  }

  /** Hosts, registry and image; no node runs yet. */
  static async create(init: ClusterInit): Promise<Cluster> {
    const { members, rate, far } = init
    const lab = await Lab.create({
      hosts: ['registry', ...members.map(({ name }) => name)],
      ...(rate ? { rate } : {}),
      ...(far ? { far: { hosts: far.members, rate: far.rate } } : {}),
    })
    try {
      const host = lab.host('registry')
      if (init.registryRate) await host.shape(init.registryRate)
      for (const { name, rate } of members) if (rate) await lab.host(name).shape(rate)
      const sizes = layerSizes(init.size, init.layers ?? 1)
      const make = (folder: string) => syntheticLayers(folder, sizes, 1)
      const { registry, image, layers } = await stocked(lab, repository, tag, make)
      const admission = await admissionFlags(init.admission ?? 'open', lab.dir)
      const flags = [...(init.flags ?? []), ...admission]
      return new Cluster({ ...init, flags }, lab, registry, image, layers)
    } catch (error) {
      await lab.close()
      throw error
    }
  }

  /** Starts every node and waits until all know the schedulers and seeds there are. */
  async start(): Promise<void> {
    const names = this.#init.members.map(({ name }) => name)
    for (const name of names) this.launch(name)
    await Promise.all(names.map((name) => this.node(name).ready()))
    await this.acquainted()
  }

  /** Starts one node; again, if it ran before. `more` of what `shoal up` takes, this time. */
  launch(name: string, more: readonly string[] = []): LabNode {
    const { members, discovery, flags = [], binary } = this.#init
    const plan = members.find((member) => member.name === name)
    if (!plan) throw new Error(`no member "${name}" in this cluster`)
    const node = new LabNode({
      host: this.lab.host(name),
      ...(binary ? { binary } : {}),
      flags: [
        ...['--upstream', `${upstream}=${this.registry.url}`],
        ...(plan.mode ? ['--mode', plan.mode] : []),
        ...(discovery === 'join' ? ['--no-mdns', '--join', this.#seedList()] : []),
        ...flags,
        ...(plan.flags ?? []),
        ...more,
      ],
    })
    this.#nodes.set(name, node)
    return node
  }

  node(name: string): LabNode {
    const node = this.#nodes.get(name)
    if (!node) throw new Error(`no node runs on "${name}"`)
    return node
  }

  /** Nodes that have not ended. */
  get running(): LabNode[] {
    return [...this.#nodes.values()].filter((node) => node.process.running)
  }

  /** Hosts whose engines would pull: those of peers. */
  get pullers(): string[] {
    return this.#init.members.filter(({ mode }) => mode === undefined || mode.includes('peer')).map(({ name }) => name)
  }

  /** Through the node of that host, at once or at a time as `Date.now()` has it. @throws when anything is missing or wrong */
  pull(name: string, at?: number): Promise<Pulled> {
    return pullOn(this.lab.host(name), this.node(name).mirror, `${upstream}/${repository}`, tag, at)
  }

  /** Straight from the registry, as without shoal. */
  plain(name: string, at?: number): Promise<Pulled> {
    return pullOn(this.lab.host(name), this.registry.url, repository, tag, at)
  }

  /** URL of the layer at that host's node. */
  layerUrl(name: string): string {
    return `${this.node(name).mirror}/v2/${upstream}/${repository}/blobs/${this.layer.digest}`
  }

  /** Bytes of the layer in that node's store. */
  async held(name: string): Promise<number> {
    const { blobs } = JSON.parse(await this.node(name).get('/api/v1/blobs')) as {
      blobs: { digest: Digest; bytes: number }[]
    }
    return blobs.find(({ digest }) => digest === this.layer.digest)?.bytes ?? 0
  }

  /** The node that reads the layer from the registry now. */
  async fetcher(): Promise<string | undefined> {
    for (const [name, node] of this.#nodes) {
      if (!node.process.running) continue
      const { downloads } = JSON.parse(await node.get('/api/v1/transfers')) as {
        downloads: { digest: Digest; parents: { id: string; inFlight: number }[] }[]
      }
      const own = downloads.find(({ digest }) => digest === this.layer.digest)
      if (own?.parents.some(({ id, inFlight }) => id === 'source' && inFlight > 0)) return name
    }
  }

  /** The scheduler that knows the layer's swarm. */
  async owner(): Promise<string | undefined> {
    for (const [name, node] of this.#nodes) {
      if (!node.process.running) continue
      const { swarms } = JSON.parse(await node.get('/api/v1/swarms')) as {
        swarms: { digest: Digest; decisions: unknown[] }[]
      }
      if (swarms.some(({ digest, decisions }) => digest === this.layer.digest && decisions.length > 0)) return name
    }
  }

  /** Bodies that the registry sent, in bytes, by requests that have ended. */
  sent(): number {
    return this.registry.accesses().reduce((sum, access) => sum + (access.method === 'GET' ? access.bytes : 0), 0)
  }

  /** Sum of a metric over the nodes that run. */
  async total(metric: string): Promise<number> {
    return (await Promise.all(this.running.map((node) => node.metric(metric)))).reduce((a, b) => a + b, 0)
  }

  close(): Promise<void> {
    return this.lab.close()
  }

  async acquainted(): Promise<void> {
    const withMode = (word: string) =>
      this.#init.members.filter(({ mode, name }) => this.#nodes.has(name) && (mode ?? word).includes(word)).length
    const [schedulers, seeds] = [withMode('scheduler'), withMode('seed')]
    for (const [name, node] of this.#nodes) {
      await until(`${name} knows ${schedulers} schedulers and ${seeds} seeds`, 30, async () => {
        const known = (mode: string) => node.metric('shoal_members', { mode })
        return (await known('scheduler')) >= schedulers && (await known('seed')) >= seeds
      })
    }
  }

  /** Schedulers and seeds where they are separate, else the first. */
  #seedList(): string {
    const { members } = this.#init
    const named = members.filter(({ mode }) => mode !== undefined && !mode.includes('peer'))
    const seeds: Host[] = (named.length > 0 ? named : members.slice(0, 1)).map(({ name }) => this.lab.host(name))
    return seeds.map((host) => host.address).join(',')
  }
}
