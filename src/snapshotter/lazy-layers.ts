/**
 * Layers that are read as they are needed: containerd says which one is meant, the node whether there is an index of it,
 * the mounter mounts it. An index that is being made is waited for a little, once for an image and not for each layer:
 * to fetch and unpack would take as long, and after that it would be unpacked for good.
 */

import pLimit from 'p-limit'
import { type Clock, pause } from '../clock.ts'
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import { type Digest, shortDigest } from '../oci/digest.ts'
import type { Layer } from './catalog.ts'
import type { Images } from './images.ts'
import { isMounted, type Mounter, usageOf } from './mounter.ts'
import type { IndexState } from './node-index.ts'
import type { Usage } from './snapshot.ts'
import type { Asked, Layers, Opened } from './snapshots.ts'

export interface LazyOptions {
  readonly clock: Clock
  /** How long indexes of one image are waited for, ms. */
  readonly waitMs: number
  /** @throws {Failure} when the node does not answer */
  readonly index: (layer: Layer) => Promise<IndexState>
}

const lookEveryMs = 500
/** Whose indexes were asked for, and since when. An image is asked for again after some time. */
const mostImages = 1000
const forgetMs = 10 * 60_000
/** An image with a layer for which the node or the mounter had no answer is unpacked; tried again later. */
const giveUpMs = 15_000
const atOnce = pLimit(4)

export class LazyLayers implements Layers {
  readonly #images: Pick<Images, 'find'>
  readonly #mounter: Pick<Mounter, 'open' | 'makeFolders' | 'layer' | 'release'>
  readonly #o: LazyOptions
  readonly #since = lru<Digest, number>(mostImages)
  /** Images of which one layer was waited for in vain, and why: all others would be, one after the other. */
  readonly #givenUp = lru<Digest, { readonly why: Failure; readonly at: number }>(mostImages)
  readonly #imageOf = new WeakMap<Layer, Digest>()

  constructor(
    images: Pick<Images, 'find'>,
    mounter: Pick<Mounter, 'open' | 'makeFolders' | 'layer' | 'release'>,
    options: LazyOptions,
  ) {
    this.#images = images
    this.#mounter = mounter
    this.#o = options
  }

  async find(asked: Asked): Promise<Layer> {
    const { layer, manifest, others } = await this.#images.find(asked)
    const { clock, waitMs, index } = this.#o
    const given = this.#givenUp.get(manifest)
    if (given && clock.now() - given.at < giveUpMs) throw given.why
    this.#imageOf.set(layer, manifest)
    let since = this.#since.get(manifest)
    if (since === undefined || clock.now() - since > forgetMs) {
      since = clock.now()
      this.#since.set(manifest, since)
      // So that all are being made while the first one is waited for.
      for (const other of others) atOnce(() => index(other)).catch(() => {})
    }
    for (;;) {
      const state = await this.#orGiveUp(layer, index(layer))
      if (state.is === 'here') return layer
      if (state.is === 'none') throw new Failure('unsupported', state.why)
      if (clock.now() - since + lookEveryMs > waitMs)
        throw new Failure('try-later', `the index of ${shortDigest(layer.digest)} is still being made`)
      await pause(clock, lookEveryMs)
    }
  }

  /** What would be fetched whole is better unpacked by containerd, into files that need nobody. */
  async open(layer: Layer, holder: string): Promise<Opened> {
    const {
      id,
      path,
      indexed,
      reason,
      implied = false,
    } = await this.#orGiveUp(layer, this.#mounter.open(layer, holder))
    if (indexed) return { id, path, implied }
    await this.#mounter.release(id, holder)
    throw new Failure('unsupported', reason ?? `there is no index of ${shortDigest(layer.digest)}`)
  }

  async #orGiveUp<T>(layer: Layer, answer: Promise<T>): Promise<T> {
    try {
      return await answer
    } catch (error) {
      const image = this.#imageOf.get(layer)
      if (error instanceof Failure && error.code === 'unavailable' && image) {
        this.#givenUp.set(image, { why: error, at: this.#o.clock.now() })
      }
      throw error
    }
  }

  makeFolders(id: string, below: readonly string[], into: string): Promise<boolean> {
    return this.#mounter.makeFolders(id, below, into)
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

  mounted(path: string): boolean {
    return isMounted(path)
  }
}
