/**
 * Hosts that mount an image instead of pulling it: a registry that has it, a seed that has read it and made its indexes,
 * nodes that have nothing, and a mounter on each host.
 */
import { mkdirSync } from 'node:fs'
import type { LayersFacts } from '../../src/admin/view.ts'
import type { Digest } from '../../src/oci/digest.ts'
import { Dockerd } from '../../test/lab/engines/dockerd.ts'
import type { Host } from '../../test/lab/host.ts'
import { Lab } from '../../test/lab/lab.ts'
import { LazyHost } from '../../test/lab/lazy-host.ts'
import { LabNode } from '../../test/lab/node.ts'
import { pullOn } from '../../test/lab/pull.ts'
import { realLayers } from '../../test/lab/real-layers.ts'
import { run } from '../../test/lab/run.ts'
import { stocked } from '../../test/lab/stock.ts'
import { until } from '../../test/lab/until.ts'
import { type Load, load } from './machine.ts'
import type { Figure, Run } from './scenario.ts'

/** 1.2 GB when it is unpacked. */
export const image = { size: 386e6, layers: 23 } as const

const dir = '/run/image'
/** Of a smaller layer a seed makes an index only when it is asked for one. */
const leastIndexed = 64 * 1024
const program = ['/usr/bin/python3.11', '-c', 'print(1)']

export interface Taken {
  /** Of the image's files, in the kernel's cache afterwards. */
  readonly read: number
  /** Compressed bytes that the mounter had of the node until then. */
  readonly fetched: number
}

/** Seconds from the command that mounts. */
export interface Started {
  readonly mounted: number
  /** The machine's work until it was mounted. */
  readonly then: Load
  /** To the last of the output. */
  readonly seconds: number
}

/** One host that is about to start the program of an image. */
export class Starter {
  readonly #host: Host
  readonly #lazy: LazyHost
  readonly #image: string

  constructor(host: Host, lazy: LazyHost, image: string) {
    this.#host = host
    this.#lazy = lazy
    this.#image = image
  }

  /** Mounts the image and runs the program. */
  start(...flags: string[]): Promise<Started> {
    return this.#told(async () => {
      const begun = performance.now()
      await this.#lazy.mount(this.#image, dir, ...flags)
      const mounted = (performance.now() - begun) / 1000
      const then = load()
      said(await this.#lazy.exec(['chroot', dir, ...program]))
      return { mounted, then, seconds: (performance.now() - begun) / 1000 }
    })
  }

  /** What that took. It looks at every file, and takes longer. */
  taken(): Promise<Taken> {
    return this.#told(async () => {
      const { layers } = await this.#lazy.mounted(dir)
      const files = `find ${dir} -xdev -type f -size +0 -exec fincore --bytes --noheadings --output RES {} +`
      const read = (await this.#lazy.shell(files)).split('\n').reduce((sum, line) => sum + Number(line), 0)
      return { read, fetched: layers.reduce((sum, { fetched }) => sum + fetched, 0) }
    })
  }

  /** Its start is over: what it read is told to the cluster. */
  end(): Promise<void> {
    return this.#told(() => this.#lazy.umount(dir))
  }

  stop(): Promise<void> {
    return this.#lazy.stop()
  }

  async #told<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      throw new Error(`${this.#host.name}: ${(error as Error).message}; its mounter said: ${this.#lazy.logged()}`)
    }
  }
}

export class LazyStage {
  /** Of the image, as `shoal mount` takes it. */
  readonly name = 'docker.io/lab/image:latest'
  readonly hosts: readonly Host[]
  readonly #size: number
  readonly #files: readonly string[]
  readonly #nodes: readonly LabNode[]
  readonly #registry: string
  readonly #indexed: readonly Digest[]

  /**
   * @param files the layers, compressed, lowest first
   * @param indexed the layers that have an index
   */
  constructor(
    hosts: readonly Host[],
    nodes: readonly LabNode[],
    registry: string,
    { size, files, indexed }: { size: number; files: readonly string[]; indexed: readonly Digest[] },
  ) {
    this.#indexed = indexed
    this.hosts = hosts
    this.#files = files
    this.#nodes = nodes
    this.#registry = registry
    this.#size = size
  }

  /** Seconds until the output of a container of the image, pulled from the registry. */
  async withDocker(host: Host): Promise<number> {
    const engine = await Dockerd.start({ host, mirrors: [this.#registry], storage: 'overlay2' })
    const begun = performance.now()
    await engine.docker('pull', '--quiet', 'lab/image')
    said(await engine.docker('run', '--rm', '--network', 'none', 'lab/image', ...program))
    const seconds = (performance.now() - begun) / 1000
    await engine.process.stop(5000)
    return seconds
  }

  /** Until the cluster knows what a start reads: of which layers, how many chunks. */
  async known(): Promise<number[]> {
    const [, node] = this.#nodes
    const told = async () => {
      const asked = this.#indexed.map(async (digest) => {
        const url = `${node!.mirror}/v2/docker.io/lab/image/_shoal/lazy/${digest}/reads`
        return (JSON.parse(await this.hosts[0]!.exec(['curl', '--silent', '--fail', url])) as number[]).length
      })
      return (await Promise.all(asked)).filter((chunks) => chunks > 0)
    }
    await until('the cluster knows what a start reads', 60, async () => (await told()).length > 0)
    // Layers are told one after the other.
    await Bun.sleep(3000)
    return told()
  }

  /** The image as it lies on a disk. Layers of packages take nothing away. */
  async extract(to: string): Promise<void> {
    mkdirSync(to)
    for (const file of this.#files)
      await run(['tar', '--extract', '--numeric-owner', '--gzip', '--file', file, '--directory', to])
  }

  /** The mounter of that host, which runs beforehand, as dockerd does where that is timed. */
  async ready(host: Host): Promise<Starter> {
    const lazy = await LazyHost.start(host)
    await lazy.exec(['mkdir', dir])
    await lazy.ready()
    return new Starter(host, lazy, this.name)
  }

  async sourceShare(): Promise<number> {
    const read = await Promise.all(this.#nodes.map((node) => node.metric('shoal_source_bytes_total')))
    return read.reduce((a, b) => a + b, 0) / this.#size
  }
}

export async function withLazyStage(
  { shape: { rate, size }, say }: Run,
  hosts: number,
  body: (stage: LazyStage) => Promise<Figure[]>,
): Promise<Figure[]> {
  const names = Array.from({ length: hosts }, (_, i) => `host${i + 1}`)
  const lab = await Lab.create({ hosts: ['registry', 'seed', ...names], ...(rate ? { rate } : {}) })
  try {
    const { registry, image, layers } = await stocked(lab, 'lab/image', 'latest', async () => {
      const { layers, origin } = await realLayers(size)
      if (origin === 'machine') throw new Error('apt brings no packages, and the image has to have a python3')
      return layers
    })
    const flags = ['--no-mdns', '--upstream', `docker.io=${registry.url}`]
    const start = (host: string, ...more: string[]) =>
      new LabNode({ host: lab.host(host), flags: [...flags, ...more] }).ready()
    const seed = await start('seed', '--mode', 'scheduler,seed')
    const join = ['--mode', 'peer', '--join', seed.p2p]
    const nodes = await Promise.all(names.map((host) => start(host, ...join)))
    await pullOn(lab.host('seed'), seed.mirror, 'docker.io/lab/image', 'latest')
    const wanted = layers.filter(({ size }) => size >= leastIndexed).map(({ digest }) => digest)
    await until('the seed has made the index of every layer', 300, async () => {
      const known = JSON.parse(await seed.get('/api/v1/layers')) as LayersFacts
      const made = new Set(known.layers.filter(({ state }) => state === 'indexed').map(({ digest }) => digest))
      return wanted.every((digest) => made.has(digest))
    })
    say(`${(image.size / 1e6).toFixed(0)} MB, ${hosts} hosts`)
    const files = layers.map(({ file }) => file)
    const about = { size: image.size, files, indexed: wanted }
    return await body(
      new LazyStage(
        names.map((host) => lab.host(host)),
        [seed, ...nodes],
        registry.url,
        about,
      ),
    )
  } finally {
    await lab.close()
  }
}

function said(output: string): void {
  if (output.trim() !== '1') throw new Error(`${program.join(' ')} printed ${JSON.stringify(output)}`)
}
