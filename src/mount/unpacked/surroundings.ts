import type { Clock } from '../../clock.ts'
import type { OpenFiles } from '../../store/open-files.ts'
import type { Layer } from './layer.ts'
import type { Place } from './places.ts'
import type { Traffic } from './traffic.ts'

/** What a layer needs of those around it. */
export interface Surroundings {
  readonly clock: Clock
  readonly traffic: Traffic
  readonly files: OpenFiles
  /** Another place on this host that has the chunk. */
  find(digest: Uint8Array): Place<Layer> | undefined
  /** Chunks that are fetched for somebody, by digest. */
  readonly coming: Map<string, Promise<Uint8Array | undefined>>
  /** The layer has these chunks in its own file now. */
  kept(layer: Layer, chunks: Iterable<number>): void
  /** The disk is full: true when something could be removed. */
  makeRoom(): Promise<boolean>
}
