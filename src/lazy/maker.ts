/** What makes indexes of layers, and looks whether one is right: in a process of its own, for layers are strangers' bytes. */
import type { Digest } from '../oci/digest.ts'

/** A whole layer, as a file. */
export interface LayerFile {
  readonly digest: Digest
  readonly path: string
  readonly size: number
}

export interface Maker {
  /**
   * Writes the index to `out`, a file that is not there yet.
   * @throws {Failure} `unsupported` with the reason where the layer cannot be indexed; `corrupt` where the file is not the
   * layer; `cancelled`
   */
  make(layer: LayerFile, out: string, progress: (bytes: number) => void, signal: AbortSignal): Promise<Digest>
  /**
   * Whether the file at `index` is what the layer gives; `unknown` where another release made it in a way of its own.
   * @throws {Failure} as {@link make}, of the layer
   */
  check(layer: LayerFile, index: string, signal: AbortSignal): Promise<'right' | 'wrong' | 'unknown'>
  /** What the file says that it is the index of. @throws {Failure} `corrupt` for what is no index */
  about(index: string): Promise<{ readonly layer: Digest; readonly diffId: Digest }>
}
