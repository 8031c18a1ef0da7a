/** The part of a node that reads what the engine on its host holds, put together. */
import type { Clock, Random } from '../clock.ts'
import type { EngineContentSetting } from '../config/settings.ts'
import { Disk } from '../configure/disk.ts'
import type { Digest } from '../oci/digest.ts'
import type { Door } from '../source/door.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import type { Borrower } from '../store/borrowed.ts'
import type { Signer } from '../swarm/statements.ts'
import type { Log } from '../telemetry/log.ts'
import { EngineContent } from './engine-content.ts'
import { type Place, placesOf } from './places.ts'
import { type ProofOptions, proven } from './proof.ts'

export interface EngineParts {
  readonly setting: EngineContentSetting
  readonly store: BlobStore & Borrower
  readonly door: Pick<Door, 'shows' | 'hasLogin'>
  readonly isHome: ProofOptions['isHome']
  readonly signer: Signer
  readonly busy: () => boolean
  readonly came: (blob: Blob) => void
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
}

/** What an operator is told: where the engine's content lies, and why it is not read from there. */
export interface EngineFolder {
  readonly path: string
  readonly trouble?: string
}

export interface Engine {
  start(): void
  /** A repository has it. */
  heard(digest: Digest): void
  folders(): EngineFolder[]
  close(): void
}

export function engineOf({ setting, door, isHome, random, ...parts }: EngineParts): Engine {
  const { store } = parts
  let places: Place[] = []
  const content = new EngineContent({
    ...parts,
    // Looked for each time: an engine may be installed later, or its settings changed.
    folders: () => {
      places = placesOf(setting, new Disk('/'))
      return places.filter(({ unused }) => unused === undefined).map(({ path }) => path)
    },
    prove: (digest, path, size) => proven({ store, door, isHome, random }, digest, path, size),
  })
  return {
    start: () => content.start(),
    heard: (digest) => content.heard(digest),
    folders: () => [
      ...content.folders,
      ...places.flatMap(({ path, unused }) => (unused === undefined ? [] : [{ path, trouble: unused }])),
    ],
    close: () => content.close(),
  }
}
