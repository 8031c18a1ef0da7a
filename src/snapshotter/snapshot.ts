/** What a snapshot is to whoever asks the snapshotter, as containerd's `snapshots.v1` has it. */

/** A view is read-only, an active one is written to, a committed one is what others stand on. */
export type Kind = 'view' | 'active' | 'committed'
export type Labels = Readonly<Record<string, string>>

export interface Info {
  readonly name: string
  /** Empty: stands on nothing. */
  readonly parent: string
  readonly kind: Kind
  /** Wall ms. */
  readonly createdAt: number
  readonly updatedAt: number
  readonly labels: Labels
}

export interface Usage {
  /** Bytes on the disk. */
  readonly size: number
  readonly inodes: number
}

export interface Mount {
  readonly type: string
  readonly source: string
  readonly target: string
  readonly options: readonly string[]
}

/** containerd wants to know whether the snapshot with this chain ID is here already. */
export const refLabel = 'containerd.io/snapshot.ref'
/** User namespaces: `<inside>:<outside>:<how many>`, comma list. */
export const uidLabel = 'containerd.io/snapshot/uidmapping'
export const gidLabel = 'containerd.io/snapshot/gidmapping'

/** What the snapshotter says of its snapshots; nobody else can set these. */
export const ownLabels = {
  /** The layer that is read as it is needed, by digest. */
  lazy: 'shoal/lazy-layer',
  /** Why a layer of an image was fetched whole and unpacked. */
  unpacked: 'shoal/unpacked-because',
} as const

export type RefusalCode = 'already-exists' | 'not-found' | 'failed-precondition' | 'invalid' | 'unavailable'

/** An answer other than yes; the code is what containerd goes by, the sentence is for people. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly code: RefusalCode

  constructor(code: RefusalCode, message: string) {
    super(message)
    this.code = code
  }
}
