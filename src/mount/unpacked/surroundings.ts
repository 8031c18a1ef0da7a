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
  /** A place on this host that has the chunk, be it of a layer that is about to go. */
  find(digest: Uint8Array): Place<Layer> | undefined
  /** Whether there is such a place in a layer that stays. */
  stays(digest: Uint8Array): boolean
  /** Chunks that are fetched for somebody, by digest. */
  readonly coming: Map<string, Promise<Uint8Array | undefined>>
  /** The layer has these chunks in its own file now. */
  kept(layer: Layer, chunks: Iterable<number>): void
  /** The disk is full: true when something could be removed. */
  makeRoom(): Promise<boolean>
}
