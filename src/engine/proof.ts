/**
 * Whether a registry has what is in a file of the engine. Nobody knows where the engine had it from, and anybody who runs
 * a registry can list its digest in a manifest, so the registry has to show bytes from a place that it cannot know
 * beforehand. What one can show one has, and gives nothing away by it.
 *
 * Repositories of the cluster's own prove nothing: seeds say what they have and show no bytes, any member can call itself
 * one, and what it says seeds copy into their books from each other. What was pushed is in seeds' stores anyway.
 */
import { open } from 'node:fs/promises'
import type { Random } from '../clock.ts'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import type { Asker, Door } from '../source/door.ts'
import type { BlobStore } from '../store/blob-store.ts'
import { readAt } from '../store/open-files.ts'

export interface ProofOptions {
  readonly store: Pick<BlobStore, 'repositoriesOf'>
  readonly door: Pick<Door, 'shows' | 'hasLogin'>
  /** It is one of the cluster's own. */
  readonly isHome: (repository: Repository) => boolean
  readonly random: Random
}

/** More than anybody guesses, of content that has runs of the same byte. */
const sampleBytes = 64 * 1024
/** Of those that are said to have it, the last seen first. */
const mostAsked = 3

/** @throws what reading the file says */
export async function proven(
  { store, door, isHome, random }: ProofOptions,
  digest: Digest,
  path: string,
  size: number,
): Promise<boolean> {
  const start = Math.floor(random() * (Math.max(0, size - sampleBytes) + 1))
  const bytes = await sample(path, start, Math.min(sampleBytes, size))
  if (!bytes) return false
  const outside = store.repositoriesOf(digest).filter((repository) => !isHome(repository))
  for (const repository of outside.slice(0, mostAsked)) {
    const named = { repository, kind: 'blob', reference: digest } as const
    const askers: Asker[] = (await door.hasLogin(repository.registry)) ? ['node', 'anyone'] : ['anyone']
    for (const asker of askers) {
      const failure = await door.shows(named, asker, start, bytes).then(() => undefined, Failure.from)
      if (!failure) return true
    }
  }
  return false
}

async function sample(path: string, start: number, length: number): Promise<Uint8Array | undefined> {
  await using file = await open(path, 'r')
  const bytes = new Uint8Array(length)
  return (await readAt(file.fd, bytes, start)) === length ? bytes : undefined
}
