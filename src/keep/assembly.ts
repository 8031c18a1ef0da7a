/** What a node has of keeping: nothing, unless repositories are pushed to it. */
import type { StoreSettings } from '../config/settings.ts'
import type { Digest } from '../oci/digest.ts'
import type { BlobStore } from '../store/blob-store.ts'
import { Keeping, type KeepingParts } from './keeping.ts'

export interface KeepingDeps extends Omit<KeepingParts, 'rules' | 'pinnedFor' | 'homePins'> {
  readonly settings: { readonly store: Pick<StoreSettings, 'keep'> }
  readonly store: Pick<BlobStore, 'pins'>
  /** What is pinned for this is pinned because a repository has it. */
  readonly homePin: string
}

/** It looks from time to time from now on. */
export function keepingOf({ settings, store, homePin, ...parts }: KeepingDeps): Keeping {
  const keeping = new Keeping({
    ...parts,
    rules: settings.store.keep,
    pinnedFor: (digest: Digest) => store.pins(digest).find(({ reason }) => reason !== homePin)?.reason,
    homePins: () => store.pins().flatMap(({ digest, reason }) => (reason === homePin ? [digest] : [])),
  })
  keeping.start()
  return keeping
}
