/** Images of layers that are folders here, in a registry of this process: what runs in them is busybox. */
import { copyFileSync, mkdirSync, symlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { manifestTypes } from '../../src/oci/media.ts'
import type { FakeRegistry } from '../fakes/registry.ts'
import { run } from './run.ts'

export interface SmallLayer {
  /** Its files. */
  readonly tree: string
  readonly bytes: Uint8Array
  readonly digest: Digest
  readonly diffId: Digest
}

export class SmallImages {
  readonly #dir: string
  readonly #registry: FakeRegistry

  constructor(dir: string, registry: FakeRegistry) {
    this.#dir = dir
    this.#registry = registry
  }

  async layer(name: string, fill: (tree: string) => void): Promise<SmallLayer> {
    const tree = join(this.#dir, 'trees', name)
    mkdirSync(tree, { recursive: true })
    fill(tree)
    const file = join(this.#dir, `${name}.tar`)
    await run(['tar', '-C', tree, '-cf', file, '.'])
    const tar = await Bun.file(file).bytes()
    const bytes = gzipSync(tar)
    return { tree, bytes, digest: digestOf(bytes), diffId: digestOf(tar) }
  }

  /** busybox, by these names. */
  system(...names: string[]): Promise<SmallLayer> {
    return this.layer('system', (tree) => {
      mkdirSync(join(tree, 'bin'))
      const busybox = Bun.which('busybox')!
      const linked = Bun.spawnSync(['ldd', busybox]).stdout.toString()
      const libraries = [...linked.matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path!)
      for (const path of libraries) mkdirSync(join(tree, dirname(path)), { recursive: true })
      for (const path of libraries) copyFileSync(path, join(tree, path))
      copyFileSync(busybox, join(tree, 'bin/busybox'))
      for (const name of names) symlinkSync('busybox', join(tree, 'bin', name))
    })
  }

  /** The reference under which it can be pulled. */
  image(name: string, layers: readonly SmallLayer[]): string {
    const json = (value: object) => new TextEncoder().encode(JSON.stringify(value))
    for (const { bytes } of layers) this.#registry.blob(name, bytes)
    const rootfs = { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) }
    const config = json({ os: 'linux', architecture: 'amd64', config: { Cmd: ['/bin/sh'] }, rootfs })
    const manifest = {
      schemaVersion: 2,
      mediaType: manifestTypes.ociManifest,
      config: {
        mediaType: 'application/vnd.oci.image.config.v1+json',
        digest: this.#registry.blob(name, config),
        size: config.length,
      },
      layers: layers.map(({ digest, bytes }) => ({
        ...{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest, size: bytes.length },
      })),
    }
    this.#registry.manifest(name, 'v1', json(manifest), manifestTypes.ociManifest)
    return `${this.#registry.host}/${name}:v1`
  }
}
