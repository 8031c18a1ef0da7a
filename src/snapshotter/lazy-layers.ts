/** Layers that are read as they are needed: containerd says which one is meant, the mounter mounts it. */
import { Failure } from '../failure.ts'
import type { Layer } from './catalog.ts'
import type { Images } from './images.ts'
import { isMounted, type Mounter, usageOf } from './mounter.ts'
import type { Usage } from './snapshot.ts'
import type { Asked, Layers } from './snapshots.ts'

export class LazyLayers implements Layers {
  readonly #images: Images
  readonly #mounter: Mounter

  constructor(images: Images, mounter: Mounter) {
    this.#images = images
    this.#mounter = mounter
  }

  find(asked: Asked): Promise<Layer> {
    return this.#images.find(asked)
  }

  /** What would be fetched whole is better unpacked by containerd, into files that need nobody. */
  async open(layer: Layer, holder: string): Promise<{ id: string; path: string }> {
    const { id, path, indexed, reason } = await this.#mounter.open(layer, holder)
    if (indexed) return { id, path }
    await this.#mounter.release(id, holder)
    throw new Failure('unsupported', reason ?? `layer ${layer.digest} has no index`)
  }

  reopen(layer: Layer, holder: string): Promise<{ id: string; path: string }> {
    return this.#mounter.open(layer, holder)
  }

  release(id: string, holder: string): Promise<void> {
    return this.#mounter.release(id, holder)
  }

  async usage(id: string): Promise<Usage> {
    const facts = await this.#mounter.layer(id)
    return facts ? usageOf(facts) : { size: 0, inodes: 0 }
  }

  mounted(path: string): Promise<boolean> {
    return isMounted(path)
  }
}
