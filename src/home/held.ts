/**
 * Whether the bytes of what a repository of the cluster's own contains can still be had: the state alone may tell of what
 * burned with the only disk that had it. Who pushes leaves out what is said to be there, so it is asked of those who would
 * have to give it: this store first, which costs nothing, then the backend, then other seeds.
 */
import { Failure } from '../failure.ts'
import type { Location } from '../source/source.ts'
import type { BlobStore } from '../store/blob-store.ts'
import type { Outbound } from '../wire/wire.ts'
import { askHeld } from './calls.ts'
import type { Homes } from './homes.ts'
import type { Keepers } from './keepers.ts'

export interface HeldOptions {
  readonly homes: Homes
  readonly store: Pick<BlobStore, 'settled'>
  readonly keepers: Pick<Keepers, 'of'>
  readonly outbound: () => Pick<Outbound, 'call'>
}

/** Other seeds that are asked, all at once. */
const mostAsked = 8

/** @throws {Failure} when nobody is known to have it, and the backend could not be asked */
export async function isHeld(location: Location, { homes, store, keepers, outbound }: HeldOptions): Promise<boolean> {
  if (await isWhole(store, location)) return true
  const { repository } = location
  const backend = homes.of(repository)?.backend
  let silent: Failure | undefined
  try {
    if (backend) {
      await backend.stat(location)
      return true
    }
  } catch (error) {
    const failure = Failure.from(error)
    if (failure.code !== 'no-blob' && failure.code !== 'no-manifest' && failure.code !== 'no-name') silent = failure
  }
  const seeds = keepers.of(repository).slice(0, mostAsked)
  const asked = seeds.map(async (seed) => {
    const { whole } = await outbound().call(seed, askHeld, location)
    if (!whole) throw new Failure('no-blob', 'it is not there')
  })
  // A seed that does not answer, or is too old to know the question, cannot be relied on.
  const found = await Promise.any(asked).then(
    () => true,
    () => false,
  )
  if (!found && silent) throw silent
  return found
}

/** Who hears that it is will not send it: what a power cut here could still take is not. */
export function isWhole(store: Pick<BlobStore, 'settled'>, { digest }: Pick<Location, 'digest'>): Promise<boolean> {
  return store.settled(digest).catch(() => false)
}
