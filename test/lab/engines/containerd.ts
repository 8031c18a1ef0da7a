/** containerd, and `ctr`, which pulls by itself and gives it what it pulled. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, hexOf, parseDigest } from '../../../src/oci/digest.ts'
import type { Host } from '../host.ts'
import type { LabProcess } from '../process.ts'
import { answering, enclosed, engineDir } from './enclosure.ts'

/** Works on every file system, and the images are small. */
const snapshotter = ['--snapshotter', 'native']

export class Containerd {
  readonly process: LabProcess
  /** What it was told to keep everything below. */
  readonly root: string
  readonly #host: Host
  readonly #ctr: readonly string[]
  readonly #hostsDir: string
  readonly #fifoDir: string

  private constructor(host: Host, process: LabProcess, ctr: readonly string[], dir: string) {
    this.#host = host
    this.process = process
    this.root = join(dir, 'root')
    this.#ctr = ctr
    this.#hostsDir = join(dir, 'hosts.d')
    // The usual one is below /run, where the two do not see the same.
    this.#fifoDir = join(dir, 'fifo')
  }

  /** In the host's folder; after the end of another one there it goes on with what that had. */
  static async start(host: Host): Promise<Containerd> {
    const dir = engineDir(host, 'containerd')
    mkdirSync(dir, { recursive: true })
    const socket = join(dir, 'containerd.sock')
    const config = join(dir, 'config.toml')
    writeFileSync(
      config,
      [
        'version = 2',
        `root = "${join(dir, 'root')}"`,
        `state = "${join(dir, 'state')}"`,
        // Kubernetes' half of it sets up networks.
        'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
        '[grpc]',
        `address = "${socket}"`,
        // containerd 2 unpacks for ctr, and into nothing else than what stands here; containerd 1 passes it over.
        '[[plugins."io.containerd.transfer.v1.local".unpack_config]]',
        `platform = "linux/${process.arch === 'arm64' ? 'arm64' : 'amd64'}"`,
        `snapshotter = "${snapshotter[1]}"`,
      ].join('\n'),
    )
    const running = host.spawn(enclosed(['containerd', '--config', config]), { log: join(dir, 'containerd.log') })
    const ctr = ['ctr', '--address', socket]
    await answering('containerd', running, () => host.tryExec([...ctr, 'version']))
    return new Containerd(host, running, ctr, dir)
  }

  /** Writes the `hosts.toml` of a registry: mirrors in this order, then the registry itself. */
  mirror(registry: string, mirrors: readonly string[]): void {
    const folder = join(this.#hostsDir, registry)
    mkdirSync(folder, { recursive: true })
    const entry = (url: string) => `[host."${url}"]\n  capabilities = ["pull", "resolve"]\n`
    writeFileSync(join(folder, 'hosts.toml'), mirrors.map(entry).join('\n'))
  }

  /** `flags` as `ctr images pull` takes them: `--platform`, `--all-platforms`. */
  async pull(reference: string, ...flags: string[]): Promise<void> {
    await this.ctr('images', 'pull', '--hosts-dir', this.#hostsDir, ...snapshotter, ...flags, reference)
  }

  /** Under which it keeps an image. @throws when there is none of that name */
  async digestOf(reference: string): Promise<Digest> {
    const lines = (await this.ctr('images', 'list', `name==${reference}`)).split('\n')
    const [, , digest] = lines.find((line) => line.startsWith(`${reference} `))?.split(/\s+/) ?? []
    if (digest === undefined) throw new Error(`containerd has no image ${reference}: ${lines.join('\n')}`)
    return parseDigest(digest)
  }

  /** Of all manifests, configs and layers it has. */
  async contents(): Promise<Set<string>> {
    return new Set((await this.ctr('content', 'list', '--quiet')).split('\n').filter(Boolean))
  }

  /** Where it keeps the bytes of a digest. */
  blobFile(digest: Digest): string {
    return join(this.root, 'io.containerd.content.v1.content', 'blobs', 'sha256', hexOf(digest))
  }

  /** Returns when nothing of the image is on the disk any more that no other image needs. */
  async remove(reference: string): Promise<void> {
    await this.ctr('images', 'remove', '--sync', reference)
  }

  /** What a container of the image prints. */
  run(reference: string, ...command: string[]): Promise<string> {
    const flags = ['--rm', '--fifo-dir', this.#fifoDir, ...snapshotter]
    return this.ctr('run', ...flags, reference, `run-${crypto.randomUUID()}`, ...command)
  }

  ctr(...args: string[]): Promise<string> {
    return this.#host.exec([...this.#ctr, ...args])
  }
}
