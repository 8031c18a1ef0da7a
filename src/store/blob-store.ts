/**
 * What the store promises. One implementation keeps sparse files and a SQLite catalog (`disk-store.ts`), one lives in
 * memory for tests; both pass `test/conformance/blob-store.ts`.
 */
import type { Digest } from '../oci/digest.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import type { Bitmap } from '../piece/bitmap.ts'
import type { Layout } from '../piece/layout.ts'
import type { Metainfo, Segment } from '../piece/metainfo.ts'
import type { Plan } from './eviction.ts'
import type { Pin } from './pins.ts'

/** Where a source keeps it: manifests and blobs have different paths in a registry. */
export type BlobKind = 'manifest' | 'blob'

export interface BlobSpec {
  readonly digest: Digest
  readonly size: number
  readonly kind: BlobKind
  /** As the source said it; always there for a manifest. */
  readonly mediaType?: string
}

/** A range of bytes, `end` exclusive. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** One blob on this node, whole or in part. The object stays the same for as long as the store knows the blob. */
export interface Blob extends BlobSpec {
  readonly layout: Layout
  readonly metainfo: Metainfo
  /** Pieces whose bytes are in the file. `write` adds to them, and `check` may take one away. */
  readonly have: Bitmap
  /** All pieces are there and the whole digest was verified. */
  readonly complete: boolean
  /** True after removal or a failed `finish`: drop the object, ask the store anew. */
  readonly gone: boolean
  /** The file, for sendfile. Bytes of pieces not in `have` are holes. */
  readonly path: string
  /** Wall time in ms of the last use: of a hold, or a write. To read or check its pieces is none. */
  readonly usedAt: number
  /** The file is another program's: it is read where it lies, never written or deleted, and takes none of the room here. */
  readonly borrowed: boolean

  /**
   * Stores the bytes of a piece that the caller has verified; resolves once they are written and the piece is in
   * `have`. The record in the catalog follows in a batch. Writing a piece twice is harmless. Until it resolves `bytes`
   * must not change; afterwards they may.
   * @throws {Failure} `no-space` when the disk or the quota is full, `no-disk` when the disk takes nothing
   */
  write(piece: number, bytes: Uint8Array): Promise<void>
  /** Keeps a verified segment of piece digests. */
  learn(segment: Segment): ReturnType<Metainfo['add']>
  /**
   * Reads `span` whole; the caller has checked that its pieces are in `have`. The result is the beginning of `into`, where
   * that is given: it is at least as long as the span then.
   * @throws {Failure} `corrupt` when the file is shorter than the catalog says, or the disk cannot read it: the blob then
   * lacks that piece; `no-disk` when the disk as a whole is gone
   */
  read(span: Span, into?: Uint8Array): Promise<Uint8Array>
  /**
   * Checks the whole digest, all pieces being there, and marks the blob complete.
   * @throws {Failure} `corrupt` when the digest is wrong: all pieces are then dropped and the blob is gone; `unavailable`
   * when the disk cannot read a piece: the blob then lacks that one
   */
  finish(): Promise<void>
  /**
   * The piece, or each piece, was seen to have the right bytes lately, and nobody has touched the file of the complete blob
   * since: it may be served without another look.
   */
  sound(piece?: number): boolean
  /**
   * Reads a piece again. False if its bytes are not what they should be, or the disk cannot read them: the blob then lacks it, and if it was complete
   * it is not any more, and lacks what else is wrong too. Where nobody has stated its digest it is right
   * if the blob is whole, or it was seen lately. Of a piece that is right, `into` then begins with the bytes.
   * @throws {Failure} `corrupt` when the file is missing or too short: the blob is gone; `no-disk`
   */
  check(piece: number, into?: Uint8Array): Promise<boolean>
  /** Wall time in ms at which all of it was last seen to be right. */
  readonly verifiedAt: number
  /** Every piece of it was checked just now. */
  verified(): void
  /** Keeps eviction away until the result is called. Also counts as a use. */
  hold(): () => void
}

export interface TagRecord {
  readonly digest: Digest
  readonly mediaType: string
  readonly size: number
  /** Wall time in ms at which the source last said so. */
  readonly resolvedAt: number
}

/**
 * Whose rights outlive a restart: those of clients without credentials, of this node by its logins, and of this node's
 * host by those of another node. Never those of a client's own credentials.
 */
export type GrantHolder = 'anyone' | 'node' | 'shared'

export interface StoreUsage {
  /** Bytes of pieces that are there. */
  readonly bytes: number
  /** Bytes of the disk that the store takes, its catalog included. */
  readonly disk: number
  readonly complete: number
  readonly partial: number
  /** Of these, blobs that are read from files of another program; absent if there are none. */
  readonly borrowed?: { readonly blobs: number; readonly bytes: number }
  /** What the store may take of the disk; undefined if unlimited. */
  readonly limit?: number
  /** Why it took something not or not all of it lately, in a sentence; undefined while there is room. */
  readonly trouble?: string
  /** With it: the disk does not take or give what it should, and room would not help. */
  readonly broken?: boolean
}

/** A node that is left alone until `until`, wall time in ms. */
export interface Ban {
  readonly node: string
  readonly reason: string
  readonly until: number
}

/** Bytes that are not of any blob yet. One thing at a time; does not outlive the process. */
export interface Spool {
  /** How many there are. */
  readonly length: number
  /** @throws {Failure} `no-space`, `no-disk`; then none of them is there */
  append(bytes: Uint8Array): Promise<void>
  /** Fills `into`. */
  read(start: number, into: Uint8Array): Promise<Uint8Array>
  /**
   * They become a blob that is whole, and on the disk when this resolves. The caller has checked that they have the digest,
   * and `segments` state their pieces. Nothing is copied, unless some of the blob was here.
   */
  keep(
    spec: { readonly digest: Digest; readonly kind: BlobKind; readonly mediaType?: string },
    segments: Iterable<Segment>,
  ): Promise<Blob>
  discard(): Promise<void>
}

/** Pieces of a blob turned out to be wrong, and it does not have them any more; `whole`: it was complete. */
export type DamageListener = (blob: Blob, pieces: readonly number[], whole: boolean) => void

export interface BlobStore {
  find(digest: Digest): Blob | undefined
  /** The blob, made as an empty partial one if unknown. A differing size of an incomplete blob starts it over. */
  create(spec: BlobSpec): Blob
  /** Stores a small blob at once. @throws {Failure} `corrupt` if `bytes` do not have the digest */
  put(spec: Omit<BlobSpec, 'size'>, bytes: Uint8Array): Promise<Blob>
  /** Room for bytes whose digest is not known yet. `what`: for messages, such as `upload`. */
  spool(what?: string): Spool
  all(): Iterable<Blob>
  /** Whether the blob is whole here, also after a power cut: its bytes and the record of them are on the disk by then. */
  settled(digest: Digest): Promise<boolean>
  /** False if it was not there. A blob that is held is removed as soon as it is let go; pins do not matter. */
  remove(digest: Digest): Promise<boolean>
  usage(): StoreUsage
  /** What would leave a store that may hold no more than `bytes` (its own limit by default), what not, and why. */
  plan(bytes?: number): Plan
  /** Carries that out; what is in use or pinned stays. */
  evict(bytes?: number): Promise<Plan>
  /** Eviction leaves the blob alone for as long as one of its pins holds, also one that is not here yet. */
  pin(pin: Pin): void
  /** False if there was no such pin. */
  unpin(digest: Digest, reason: string): boolean
  /** Those that hold now, of one blob or of all. */
  pins(digest?: Digest): Pin[]
  onDamaged(listener: DamageListener): void
  /**
   * Called right before it is recorded what is there of a blob that is not whole yet: what is learned of it now is
   * recorded together with it. Of such a blob a piece whose digest nobody has stated counts for nothing after a restart.
   */
  onRecording(listener: (blob: Blob) => void): void
  /** Called when a blob leaves the store (evicted, removed, found corrupt). */
  onGone(listener: (blob: Blob) => void): void

  /** Records that `repository` is known to contain the blob. */
  seenIn(digest: Digest, repository: Repository): void
  /** The latest first. A layer that many images have in common may have thousands. */
  repositoriesOf(digest: Digest): Repository[]
  /** What is known to be in a repository whose name, its registry included, has `text` in it, which is in lower case. */
  seenWhere(text: string): ReadonlySet<Digest>
  wasSeenIn(digest: Digest, repository: Repository): boolean

  /** Wall time in ms at which the source last gave something of the repository to `holder`. */
  granted(repository: Repository, holder: GrantHolder): number | undefined
  /** `undefined`: no more. */
  setGranted(repository: Repository, holder: GrantHolder, at: number | undefined): void

  tag(repository: Repository, tag: Tag): TagRecord | undefined
  setTag(repository: Repository, tag: Tag, record: TagRecord): void

  /** Node ids that lied, with the reason; read at start, kept across restarts. */
  bans(): Iterable<Ban>
  ban(node: string, reason: string, until: number): void
  unban(node: string): void

  /** Writes what is batched and closes. */
  close(): Promise<void>
}
