/**
 * A mounter of its own over layers that lie in a folder (`test/e2e/lazy/plain-mounter.ts`), and images of them: for what
 * is true of mounts whoever brings the bytes. All mounts are below its folder, and gone with it however a test ends.
 */
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { errnos } from '../../src/fuse/libc.ts'
import { carryOut } from '../../src/mount/kernel/carry-out.ts'
import { hostFacts, whyNot } from '../../src/mount/kernel/support.ts'
import { mountTable } from '../../src/mount/kernel/table.ts'
import { MounterClient } from '../../src/mount/mounter/client.ts'
import { digestOf, hexOf } from '../../src/oci/digest.ts'
import { manifestTypes } from '../../src/oci/media.ts'
import { FakeRegistry } from '../fakes/registry.ts'
import { type Member, tarOf } from '../fakes/tar.ts'
import { scratchRoot } from './lab.ts'
import { LabProcess } from './process.ts'
import { indexTar } from './trees.ts'
import { until } from './until.ts'

const script = join(import.meta.dir, '../e2e/lazy/plain-mounter.ts')

export const product = join(import.meta.dir, '../../src/main.ts')

/** What the layers' bytes cost; see the script. */
export type Way = 'held' | 'lost' | 'cold' | 'complete' | 'opening' | 'no-program' | 'broken-program' | 'broken-state'

/** Why nothing can be mounted lazily here; undefined when it can. Printed, so that a skipped test says why. */
export function lazyObstacle(what: string): string | undefined {
  const reason = whyNot(hostFacts())
  if (reason) console.log(`skipping ${what}: ${reason}`)
  return reason
}

export interface MountLabInit {
  /** From no mounts to the mounter's end, ms. */
  readonly idleMs?: number
  readonly readDeadlineMs?: number
  /** The mounter of the product, over a node, instead of the one whose layers lie in a folder. */
  readonly real?: boolean
}

export class MountLab {
  readonly dir: string
  readonly registry: FakeRegistry
  readonly client: MounterClient
  readonly socket: string
  readonly #init: MountLabInit
  #mounter: LabProcess

  private constructor(dir: string, registry: FakeRegistry, init: MountLabInit) {
    this.dir = dir
    this.registry = registry
    this.#init = init
    this.socket = join(dir, 'm.sock')
    this.client = new MounterClient(this.socket)
    process.on('exit', this.#remove)
    // As on a host with systemd: what is unmounted here is so for who has copied all mounts, as each `ip netns exec` does.
    for (const how of [['--bind', dir], ['--make-shared']]) Bun.spawnSync(['mount', ...how, dir])
    for (const folder of ['layers', 'data']) mkdirSync(join(dir, folder))
    this.#mounter = this.spawn()
  }

  static async start(init: MountLabInit = {}): Promise<MountLab> {
    const dir = mkdtempSync(join(scratchRoot, 'mounts-'))
    const lab = new MountLab(dir, await FakeRegistry.start(), init)
    try {
      await lab.answers()
    } catch (error) {
      // Nobody else knows of it yet.
      await lab.close()
      throw error
    }
    return lab
  }

  get mounter(): LabProcess {
    return this.#mounter
  }

  spawn(): LabProcess {
    const { idleMs = 0, readDeadlineMs = 20_000 } = this.#init
    if (this.#init.real) {
      const flags = ['--socket', this.socket, '--data-dir', join(this.dir, 'data'), '--idle', '0']
      return new LabProcess([process.execPath, product, 'mounter', ...flags], { log: join(this.dir, 'mounter.log') })
    }
    const places = [this.socket, join(this.dir, 'data'), join(this.dir, 'layers')]
    return new LabProcess([process.execPath, script, ...places, String(idleMs), String(readDeadlineMs)], {
      log: join(this.dir, 'mounter.log'),
    })
  }

  /** Another one in the place of the one that ended. */
  async restart(): Promise<void> {
    this.#mounter = this.spawn()
    await this.answers()
  }

  answers(): Promise<void> {
    const asked = async () => {
      const facts = await this.client.facts().catch(() => undefined)
      return facts !== undefined
    }
    return until('the mounter answers', 60, asked, 20)
  }

  /** From now on layers are like that, or not. */
  set(way: Way, on = true): void {
    const file = join(this.dir, 'layers', way)
    if (on) writeFileSync(file, '')
    else rmSync(file, { force: true })
  }

  /** An image of these layers, the lowest first; returns its reference. */
  async image(name: string, layers: readonly (readonly Member[])[]): Promise<string> {
    const json = (value: object) => new TextEncoder().encode(JSON.stringify(value))
    const described = []
    for (const members of layers) {
      const tar = tarOf(members)
      const diffId = digestOf(tar)
      const folder = join(this.dir, 'layers', hexOf(diffId))
      mkdirSync(folder, { recursive: true })
      writeFileSync(join(folder, 'data'), tar)
      await indexTar(join(folder, 'data'), join(folder, 'new'))
      renameSync(join(folder, 'new'), join(folder, 'meta'))
      const bytes = gzipSync(tar, { level: 1 })
      described.push({ diffId, digest: this.registry.blob(name, bytes), size: bytes.length })
    }
    const config = json({
      os: 'linux',
      architecture: 'amd64',
      config: { Cmd: ['/bin/app'], Env: ['A=b'] },
      rootfs: { type: 'layers', diff_ids: described.map(({ diffId }) => diffId) },
    })
    const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip'
    const manifest = {
      schemaVersion: 2,
      mediaType: manifestTypes.ociManifest,
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: this.registry.blob(name, config),
        size: config.length,
      },
      layers: described.map(({ digest, size }) => ({ mediaType, digest, size })),
    }
    this.registry.manifest(name, 'v1', json(manifest), manifestTypes.ociManifest)
    return `${this.registry.host}/${name}:v1`
  }

  /** An empty folder to mount at. */
  folder(name: string): string {
    const dir = join(this.dir, name)
    mkdirSync(dir, { recursive: true })
    return dir
  }

  mount(image: string, dir: string, more: { rw?: boolean; prefetch?: boolean; platform?: string } = {}) {
    return this.client.mount({ node: { registry: this.registry.url.origin }, image, dir, ...more })
  }

  /** What is mounted below the folder of this lab. */
  mounts(): string[] {
    return mountTable()
      .map(({ target }) => target)
      .filter((target) => target.startsWith(`${this.dir}/`))
  }

  log(): string {
    return readFileSync(join(this.dir, 'mounter.log'), 'utf8')
  }

  async close(): Promise<void> {
    await this.#mounter.stop(2000)
    process.off('exit', this.#remove)
    this.registry.stop()
    this.#remove()
  }

  /** Also at exit, where nothing can be waited for: what is mounted stays when its mounter is killed. */
  readonly #remove = () => {
    this.#mounter.signal('SIGKILL')
    for (const target of [...this.mounts().reverse(), this.dir]) {
      const { errno } = carryOut({ do: 'unmount', target, lazy: true })
      if (errno !== 0 && errno !== errnos.EINVAL) console.log(`${target} stays mounted: ${errno}`)
    }
    rmSync(this.dir, { recursive: true, force: true })
  }
}
