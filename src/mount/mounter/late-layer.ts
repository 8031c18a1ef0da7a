/**
 * A layer that may not be open yet: after the mounter was replaced, its mounts are there before the layers are. Tries
 * until it succeeds or is closed, for processes wait for it.
 */
import type { LayerProgress, UnpackedLayer } from '../unpacked-layer.ts'

const pauseMs = 1000

export class LateLayer {
  readonly opened: Promise<UnpackedLayer>
  /** Why it is not open yet. */
  failed: string | undefined
  #layer: UnpackedLayer | undefined
  #closed = false

  constructor(open: () => Promise<UnpackedLayer>) {
    this.opened = this.#open(open)
  }

  static of(layer: UnpackedLayer): LateLayer {
    const late = new LateLayer(() => Promise.resolve(layer))
    late.#layer = layer
    return late
  }

  progress(): LayerProgress | undefined {
    return this.#layer?.progress()
  }

  /** See {@link UnpackedLayer.prefetch}; once it is open. */
  prefetch(): void {
    this.opened.then(
      (layer) => layer.prefetch(),
      () => {},
    )
  }

  async discard(): Promise<void> {
    this.#closed = true
    await this.#layer?.discard()
  }

  /** See {@link UnpackedLayer.whole}. */
  whole(): boolean {
    return this.#layer?.whole() ?? false
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#layer?.close()
  }

  async #open(open: () => Promise<UnpackedLayer>): Promise<UnpackedLayer> {
    while (!this.#closed) {
      try {
        const layer = await open()
        if (this.#closed) {
          await layer.close()
          break
        }
        this.#layer = layer
        this.failed = undefined
        return layer
      } catch (error) {
        this.failed = error instanceof Error ? error.message : String(error)
        await new Promise((resolve) => setTimeout(resolve, pauseMs))
      }
    }
    throw new Error('the layer was let go')
  }
}
