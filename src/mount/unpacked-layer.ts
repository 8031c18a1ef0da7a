/**
 * What the mounter needs of one unpacked layer, whoever brings its bytes: the contract between `mounter/` (FUSE, mounts)
 * and `unpacked/` (fetching, inflating, verifying, keeping). Types only.
 */
import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'

/** The node that layers are read from; origins, such as `http://127.0.0.1:4880`. */
export interface NodeAddress {
  readonly registry: string
  readonly admin?: string
}

export interface LayerSpec {
  readonly node: NodeAddress
  readonly repository: Repository
  /** Of the compressed blob. */
  readonly digest: Digest
  readonly mediaType: string
  readonly compressedSize: number
  /** Of the unpacked layer. */
  readonly diffId: Digest
  /** Whether what nobody has read yet is brought too, in the background. */
  readonly prefetch: boolean
}

/**
 * Which bytes of the file at {@link UnpackedLayer.path} are verified, for threads that answer reads without asking the
 * one that owns the layer. That one sets bits, and clears them when bytes turn out to be wrong.
 */
export interface ReadyMap {
  /** Bytes of the unpacked layer that one bit stands for; a multiple of 4,096. Bit 0 is the lowest of byte 0. */
  readonly block: number
  readonly bits: SharedArrayBuffer
  /**
   * One 64-bit integer: the file's ctime (ns since 1970) that the bits hold for, brought up to date after each write of
   * the owner. Readers compare it with the file's; when it differs they ask {@link UnpackedLayer.read}, which hashes
   * again what it answers.
   */
  readonly ctime: SharedArrayBuffer
}

export interface LayerProgress {
  /** Of the unpacked layer. */
  readonly size: number
  /** Of these, verified and here. */
  readonly here: number
  /** Compressed bytes that came from the node. */
  readonly fetched: number
  /** Unpacked bytes that other layers had. */
  readonly deduped: number
  /** Bytes of the disk that it takes, its index included. */
  readonly disk: number
  readonly complete: boolean
  /** Loads lazily; otherwise `reason` says why it was fetched whole. */
  readonly indexed: boolean
  readonly reason?: string
  /** What went wrong last, newest first, in sentences; a few. */
  readonly errors: readonly string[]
}

export interface UnpackedLayer {
  /** Lower-case hex and dashes; the same for the same layer. */
  readonly id: string
  readonly size: number
  /** The EROFS metadata image. */
  readonly metadataPath: string
  /** The unpacked layer as a file of `size` bytes, sparse while it is not complete. */
  readonly path: string
  readonly readyMap: ReadyMap
  /**
   * Verified bytes, exactly as many; rejects (EIO for the reader) when they cannot be had before `signal` aborts. With one
   * that has aborted before, what is on this host comes, and nobody is asked for anything.
   */
  read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array>
  /**
   * All of it is in the file, verified, and nobody has touched it since: the kernel may read the file itself. A layer can be
   * complete and never whole, for what other layers have is not stored again.
   */
  whole(): boolean
  /** These bytes can be read at {@link path} and need no more verification. */
  ready(offset: number, length: number): boolean
  progress(): LayerProgress
  /** From now on what nobody has read yet is brought too, as with `prefetch` of its spec. */
  prefetch(): void
  close(): Promise<void>
  /** As {@link close}; when nobody else uses the layer, its space on the disk is given back. */
  discard(): Promise<void>
}

/**
 * Resolves when it can be mounted: its metadata is here and verified.
 * @param start what is read now is read by a process that starts, and worth telling the cluster
 * @throws {Failure}
 */
export type OpenLayer = (spec: LayerSpec, start: boolean) => Promise<UnpackedLayer>
