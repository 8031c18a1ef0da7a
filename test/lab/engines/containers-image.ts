/** The engines that share one library for images and its `registries.conf`: podman (CRI-O is another) and skopeo. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Host } from '../host.ts'
import { enclosed, engineDir } from './enclosure.ts'

export interface MirroredRegistry {
  readonly registry: string
  /** The location of its mirror: host, port and a path that takes the place of the registry's name. */
  readonly mirror: string
}

/** Writes the file that makes them use it. @returns its path */
function registriesConf(host: Host, { registry, mirror }: MirroredRegistry): string {
  const file = join(host.dir, 'registries.conf')
  writeFileSync(
    file,
    `[[registry]]\nlocation = "${registry}"\n\n[[registry.mirror]]\nlocation = "${mirror}"\ninsecure = true\n`,
  )
  return file
}

export class Podman {
  readonly #host: Host
  readonly #env: Record<string, string>
  readonly #command: readonly string[]

  constructor(host: Host, mirrored: MirroredRegistry) {
    const dir = engineDir(host, 'podman')
    mkdirSync(dir, { recursive: true })
    this.#host = host
    this.#env = { CONTAINERS_REGISTRIES_CONF: registriesConf(host, mirrored) }
    const folders = ['root', 'runroot', 'tmpdir'].flatMap((name) => [`--${name}`, join(dir, name)])
    this.#command = ['podman', ...folders, '--storage-driver', 'vfs', '--cgroup-manager', 'cgroupfs']
  }

  /** What `podman <args>` prints. There is no daemon: nothing of it is left when it ends. */
  async podman(...args: string[]): Promise<string> {
    return (await this.#host.exec(enclosed([...this.#command, ...args]), this.#env)).trim()
  }

  digestOf(reference: string): Promise<string> {
    return this.podman('image', 'inspect', '--format', '{{.Digest}}', reference)
  }
}

/** Copies an image as it is into a new folder, all platforms of an index. @returns the folder */
export async function skopeoCopy(host: Host, mirrored: MirroredRegistry, reference: string): Promise<string> {
  const folder = join(host.dir, `skopeo-${crypto.randomUUID()}`)
  const skopeo = ['skopeo', '--insecure-policy', '--registries-conf', registriesConf(host, mirrored)]
  await host.exec([...skopeo, 'copy', '--all', '--preserve-digests', `docker://${reference}`, `dir:${folder}`])
  return folder
}
