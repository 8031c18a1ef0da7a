/** A registry, a node that holds what is asked for and one that asks: where limits and turns can be seen by themselves. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { Lab } from '../../test/lab/lab.ts'
import { syntheticBlob } from '../../test/lab/layers.ts'
import { LabNode } from '../../test/lab/node.ts'
import type { LabRegistry } from '../../test/lab/registry.ts'
import { stocked } from '../../test/lab/stock.ts'
import { until } from '../../test/lab/until.ts'

export interface Content {
  readonly digest: Digest
  readonly size: number
}

const upstream = 'registry.lab'
const repository = 'lab/image'

export class FairStage {
  readonly lab: Lab
  readonly blobs: readonly Content[]
  readonly #registry: LabRegistry
  readonly #nodes = new Map<string, LabNode>()
  #started = 0
  #reads = 0

  private constructor(lab: Lab, registry: LabRegistry, blobs: readonly Content[]) {
    this.lab = lab
    this.#registry = registry
    this.blobs = blobs
  }

  /** A registry with blobs of these sizes, and hosts on links of `rate`; no node runs yet. */
  static async create(sizes: readonly number[], rate: string | undefined, seed: number): Promise<FairStage> {
    const lab = await Lab.create({ hosts: ['registry', 'seed', 'peer'], ...(rate ? { rate } : {}) })
    try {
      const { registry, layers } = await stocked(lab, repository, 'latest', async (folder) =>
        sizes.map((size, i) => {
          const bytes = syntheticBlob(size, seed * 10_000 + i)
          // Begins as gzip does, or skopeo would compress it, and it would have another digest.
          bytes.set([0x1f, 0x8b, 0x08])
          const file = join(folder, String(i))
          writeFileSync(file, bytes)
          const digest = digestOf(bytes)
          return { file, digest, size, diffId: digest, comment: `blob ${i}` }
        }),
      )
      return new FairStage(lab, registry, layers)
    } catch (error) {
      await lab.close()
      throw error
    }
  }

  /** Starts both nodes with nothing in their stores; those that ran before end. */
  async start(flags: { readonly seed?: readonly string[]; readonly peer?: readonly string[] } = {}): Promise<void> {
    for (const node of this.#nodes.values()) await node.process.stop(5000)
    this.#started++
    this.#launch('seed', ['--mode', 'seed,scheduler', ...(flags.seed ?? [])])
    await this.node('seed').ready()
    await this.restart('peer', flags.peer)
  }

  /** Starts the asking node anew, with nothing in its store. */
  async restart(name: 'peer', flags: readonly string[] = []): Promise<void> {
    await this.#nodes.get(name)?.process.stop(5000)
    this.#started++
    this.#launch(name, ['--mode', 'peer', '--join', this.lab.host('seed').address, ...flags])
    await this.node(name).ready()
    await until(`${name} knows the seed`, 30, async () => (await this.node(name).metric('shoal_members')) >= 2)
  }

  node(name: string): LabNode {
    const node = this.#nodes.get(name)
    if (!node) throw new Error(`no node runs on "${name}"`)
    return node
  }

  /** Reads the blobs through a host's node, so many at once; returns how many seconds it took. */
  async read(name: string, blobs: readonly Content[], atOnce = 1): Promise<number> {
    const base = `${this.node(name).mirror}/v2/${upstream}/${repository}/blobs`
    const urls = join(this.lab.host(name).dir, `urls-${this.#reads++}`)
    writeFileSync(urls, blobs.map(({ digest }) => `url = ${base}/${digest}\noutput = /dev/null\n`).join(''))
    const parallel = ['--parallel', '--parallel-immediate', '--parallel-max', String(atOnce)]
    const began = performance.now()
    await this.lab.host(name).exec(['curl', '--silent', '--show-error', '--fail', ...parallel, '--config', urls])
    return (performance.now() - began) / 1000
  }

  /** Tells the seed to read a blob from the registry, as a scheduler does; nobody waits for it. */
  async order({ digest }: Content): Promise<void> {
    const location = { repository: { registry: upstream, name: repository }, kind: 'blob', digest }
    const url = `http://${this.lab.host('seed').address}:4881/shoal/v1/fetch`
    const asNode = ['--header', `x-shoal-node: 12D3KooW${'a'.repeat(44)}`]
    const request = ['--request', 'POST', '--header', 'content-type: application/json', ...asNode]
    const body = ['--data', JSON.stringify({ location })]
    await this.lab.host('peer').exec(['curl', '--silent', '--show-error', '--fail', ...request, ...body, url])
  }

  /** Bytes of the blob in that node's store. */
  async held(name: string, { digest }: Content): Promise<number> {
    const { blobs } = JSON.parse(await this.node(name).get('/api/v1/blobs')) as {
      blobs: { digest: Digest; bytes: number }[]
    }
    return blobs.find((blob) => blob.digest === digest)?.bytes ?? 0
  }

  close(): Promise<void> {
    return this.lab.close()
  }

  #launch(name: string, flags: readonly string[]): void {
    const host = this.lab.host(name)
    const dir = join(host.dir, `shoal-${this.#started}`)
    const common = ['--no-mdns', '--upstream', `${upstream}=${this.#registry.url}`]
    this.#nodes.set(name, new LabNode({ host, dir, flags: [...common, ...flags] }))
  }
}
