/**
 * What a layer's tar says of one name. Names are byte strings: one char for each byte (latin1), because Linux gives
 * names no encoding and a tar's need not be UTF-8.
 */

export type EntryType = 'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo'

/** A run of a file's bytes: `length` bytes from `offset` of the file lie at `at` of the unpacked layer. */
export interface Extent {
  readonly offset: number
  readonly at: number
  readonly length: number
}

export interface LayerEntry {
  /** As it stands in the tar: perhaps absolute, with `..`, `./` or a slash at the end. */
  readonly path: string
  readonly type: EntryType
  /** Permissions with setuid, setgid and sticky: `0o7777` at most. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtime: { readonly seconds: number; readonly nanos: number }
  /** Of `char` and `block`; 0:0 for others. */
  readonly rdev: { readonly major: number; readonly minor: number }
  /** Of `symlink` (its text) and `hardlink` (a path in the tar); empty for others. */
  readonly target: string
  /** Bytes of a `file`, holes included; 0 for others. */
  readonly size: number
  /** Ascending and disjoint; what they leave out of `size` are holes. One for a usual file, none for an empty one. */
  readonly extents: readonly Extent[]
  /** By full name (`security.capability`), as they stand in the tar. */
  readonly xattrs: ReadonlyMap<string, Uint8Array>
}

/** Who is told of a tar while it is read. */
export interface TarSink {
  /** In the order of the tar, each before its data. */
  entry(entry: LayerEntry): void
  /**
   * Bytes of the latest entry that lie at `at` of the unpacked layer: all of its extents, ascending, and nothing else
   * (no headers, no padding). The array is a view of what was pushed: it is good until this returns.
   */
  data(at: number, bytes: Uint8Array): void
}
