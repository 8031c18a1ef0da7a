/**
 * A registry, and one or two hosts with a node each, on links that nothing slows: what a node adds to a pull and what it
 * costs, against the same registry asked directly from the same host.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type Admission, admissionFlags } from '../../test/lab/admission.ts'
import type { Host } from '../../test/lab/host.ts'
import { Lab } from '../../test/lab/lab.ts'
import { type Layer, syntheticLayers } from '../../test/lab/layers.ts'
import { LabNode } from '../../test/lab/node.ts'
import type { LabRegistry } from '../../test/lab/registry.ts'
import { stocked } from '../../test/lab/stock.ts'
import { until } from '../../test/lab/until.ts'

export type Asked = 'registry' | 'node'

const name = 'registry.lab'
const repository = 'lab/image'
const manifestType = 'application/vnd.oci.image.manifest.v1+json'

export class HostStage {
  readonly lab: Lab
  readonly layers: readonly Layer[]
  readonly #registry: LabRegistry
  readonly #nodes: LabNode[] = []
  #copies = 0

  private constructor(lab: Lab, registry: LabRegistry, layers: readonly Layer[]) {
    this.lab = lab
    this.#registry = registry
    this.layers = layers
  }

  /**
   * An image of layers of these sizes in the registry, and nodes that know each other and have nothing of it. The first
   * is the one that reads the registry.
   */
  static async create(
    sizes: readonly number[],
    nodes: number,
    seed: number,
    admission: Admission = 'open',
  ): Promise<HostStage> {
    const hosts = Array.from({ length: nodes }, (_, i) => `h${i + 1}`)
    const lab = await Lab.create({ hosts: ['registry', ...hosts] })
    try {
      const make = (folder: string) => syntheticLayers(folder, sizes, seed * 10_000)
      const { registry, layers } = await stocked(lab, repository, 'latest', make)
      const stage = new HostStage(lab, registry, layers)
      const flags = await admissionFlags(admission, lab.dir)
      await stage.#start(
        hosts.map((host) => lab.host(host)),
        flags,
      )
      return stage
    } catch (error) {
      await lab.close()
      throw error
    }
  }

  get bytes(): number {
    return this.layers.reduce((sum, { size }) => sum + size, 0)
  }

  node(i = 0): LabNode {
    return this.#nodes[i]!
  }

  url({ digest }: Layer, asked: Asked, i = 0): string {
    return asked === 'node'
      ? `${this.node(i).mirror}/v2/${name}/${repository}/blobs/${digest}`
      : `${this.#registry.url}/v2/${repository}/blobs/${digest}`
  }

  /** Reads all layers, one after the other on one connection, and throws them away; seconds as curl counts them. */
  async stream(asked: Asked, i = 0): Promise<number> {
    return this.read(
      this.layers.map((layer) => this.url(layer, asked, i)),
      i,
    )
  }

  /** The same of any URLs. */
  async read(urls: readonly string[], i = 0): Promise<number> {
    const curl = ['curl', '--silent', '--show-error', '--fail', '--write-out', '%{time_total}\\n']
    const times = await this.#host(i).exec([...curl, ...urls.flatMap((url) => ['--output', '/dev/null', url])])
    return times
      .trim()
      .split('\n')
      .reduce((sum, line) => sum + Number(line), 0)
  }

  /** Pulls the image as an engine does, every digest verified, into a folder. */
  async pull(asked: Asked): Promise<number> {
    const host = this.#host(0)
    const folder = join(host.dir, `copy-${this.#copies++}`)
    const from = asked === 'node' ? `${this.node().mirror.slice('http://'.length)}/${name}` : this.#registry.hostPort
    const began = performance.now()
    const skopeo = ['skopeo', '--insecure-policy', 'copy', '--quiet', '--src-tls-verify=false']
    await host.exec([...skopeo, `docker://${from}/${repository}:latest`, `dir:${folder}`])
    const seconds = (performance.now() - began) / 1000
    rmSync(folder, { recursive: true })
    return seconds
  }

  /** The node has nothing of the layers, and knows how large they are, as after an engine has asked for the manifest. */
  async cold(i = 0): Promise<void> {
    const host = this.#host(i)
    const { admin, mirror } = this.node(i)
    const manifest = `${mirror}/v2/${name}/${repository}/manifests/latest`
    await host.exec([
      'curl',
      '--silent',
      '--fail',
      '--output',
      '/dev/null',
      '--header',
      `accept: ${manifestType}`,
      manifest,
    ])
    for (const { digest } of this.layers) {
      await host.tryExec(['curl', '--silent', '--request', 'DELETE', `${admin}/api/v1/blobs/${digest}`])
    }
    await until('the layers are gone', 10, async () => (await this.held(i)) === 0)
  }

  /** Bytes of the layers in that node's store. */
  async held(i = 0): Promise<number> {
    const { blobs } = JSON.parse(await this.node(i).get('/api/v1/blobs')) as {
      blobs: { digest: string; bytes: number }[]
    }
    const digests = new Set<string>(this.layers.map(({ digest }) => digest))
    return blobs.reduce((sum, { digest, bytes }) => sum + (digests.has(digest) ? bytes : 0), 0)
  }

  #host(i: number): Host {
    return this.lab.host(`h${i + 1}`)
  }

  async #start(hosts: readonly Host[], flags: readonly string[]): Promise<void> {
    const [first] = hosts
    for (const host of hosts) {
      const join = host === first ? [] : ['--mode', 'peer', '--join', first!.address]
      this.#nodes.push(
        new LabNode({ host, flags: ['--no-mdns', '--upstream', `${name}=${this.#registry.url}`, ...flags, ...join] }),
      )
      await this.#nodes.at(-1)!.ready()
    }
    await until('the nodes know each other', 30, async () => {
      const known = await Promise.all(this.#nodes.map((node) => node.members()))
      return known.every((count) => count === hosts.length)
    })
  }

  close(): Promise<void> {
    return this.lab.close()
  }
}

/** Asks both several times in turn, so that a machine whose speed changes changes it for both. */
export async function inTurn<T>(times: number, ask: (asked: Asked) => Promise<T>): Promise<Record<Asked, T[]>> {
  const results: Record<Asked, T[]> = { registry: [], node: [] }
  for (let i = 0; i < times; i++) {
    const order: Asked[] = i % 2 === 0 ? ['registry', 'node'] : ['node', 'registry']
    for (const asked of order) results[asked].push(await ask(asked))
  }
  return results
}
