/** A mounted layer as its mount sees it: of a layer that several have, each lets go of its own use. */
import type { UnpackedLayer } from '../unpacked-layer.ts'
import type { Layer } from './layer.ts'

export class LayerUse implements UnpackedLayer {
  readonly id: string
  readonly size: number
  readonly metadataPath: string
  readonly path: string
  readonly #layer: Layer
  readonly #prefetch: () => void
  readonly #left: () => Promise<void>
  readonly #forget: () => Promise<unknown>
  #closed: Promise<void> | undefined

  constructor(layer: Layer, prefetch: () => void, left: () => Promise<void>, forget: () => Promise<unknown>) {
    this.#layer = layer
    this.#prefetch = prefetch
    this.#left = left
    this.#forget = forget
    this.id = layer.folder.id
    this.size = layer.shape.table.size
    this.metadataPath = layer.folder.metadata
    this.path = layer.folder.data
  }

  get readyMap() {
    return this.#layer.readyMap
  }
  read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    return this.#layer.read(offset, length, signal)
  }
  whole(): boolean {
    return this.#layer.whole
  }
  ready(offset: number, length: number): boolean {
    return this.#layer.ready(offset, length)
  }
  progress() {
    return this.#layer.progress()
  }
  prefetch(): void {
    if (!this.#closed) this.#prefetch()
  }
  close(): Promise<void> {
    this.#closed ??= this.#left()
    return this.#closed
  }
  async discard(): Promise<void> {
    await this.close()
    await this.#forget()
  }
}
