import type { Lru } from '../lru.ts'
import type { Digest } from '../oci/digest.ts'
import type { Metainfo, Segment } from '../piece/metainfo.ts'
import type { DiskBlob } from './disk-blob.ts'
import type { OpenFiles } from './open-files.ts'

/** What a blob asks of its store. */
export interface Keeper {
  readonly files: OpenFiles
  /** Of durable blobs: what was asked for lately of what the catalog has. */
  readonly metainfos: Lru<DiskBlob, Metainfo>
  wall(): number
  /** @throws {Failure} `unavailable` once the store is closing */
  checkOpen(): void
  /** Sets `bytes` aside for a piece; call the result when it is written or has failed. @throws {Failure} `no-space` */
  reserve(blob: DiskBlob, bytes: number): () => void
  /** The disk is full: frees at least `bytes` if it can. */
  relieve(blob: DiskBlob, bytes: number): Promise<void>
  /** The disk keeps it from taking more, and not for want of room: in a sentence for people. */
  troubled(message: string): void
  /** Whether the disk as a whole takes anything. */
  answers(): Promise<boolean>
  /** `bytes` more are there, and `disk` more of the disk are taken, which may be less than none. */
  grew(blob: DiskBlob, bytes: number, disk: number): void
  /** Wall time in ms until which eviction leaves it alone. */
  pinnedUntil(blob: DiskBlob): number | undefined
  /** What is there of it is about to be recorded. */
  recording(blob: DiskBlob): void
  /** Something changed that the catalog should know. */
  changed(blob: DiskBlob): void
  completed(blob: DiskBlob): void
  learned(blob: DiskBlob, segment: Segment): void
  segments(digest: Digest): readonly Segment[]
  /** The bytes are not what the catalog says. */
  damaged(blob: DiskBlob, reason: string): void
  /** The other program's file that it is read from is away. */
  left(blob: DiskBlob): void
  /** Pieces turned out to be wrong, and are not claimed any more; `whole`: the blob was complete. */
  lost(blob: DiskBlob, pieces: readonly number[], whole: boolean): void
  /** Nobody uses it any more. */
  idle(blob: DiskBlob): void
}
