/**
 * What sources said about who may have what of them, and for how long that counts. Wall time, for some of it outlives a
 * restart.
 *
 * - For a minute, what was said is true: rights that are withdrawn are noticed within it. A refusal counts for less.
 * - When the source cannot be asked, its last word counts: a public repository stays public for 30 days, a login counts
 *   for another day. Without any word nobody is let in.
 */
import { lru } from '../lru.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import type { BlobStore, GrantHolder } from '../store/blob-store.ts'

/** In whose name the source was asked; a client's own credential goes by its keyed hash. */
export type Holder = GrantHolder | `login ${string}`
export type Verdict = 'allowed' | 'refused'

export const allowedMs = 60_000
export const refusedMs = 10_000
const hour = 3600_000
export const lastWordMs = { anyone: 30 * 24 * hour, login: 24 * hour } as const
/** What is written down is at most this much older than what is known. */
const writeEveryMs = 30_000
const mostVerdicts = 20_000

interface Said {
  readonly verdict: Verdict
  readonly at: number
}

export class Verdicts {
  readonly #store: Pick<BlobStore, 'granted' | 'setGranted'>
  readonly #said = lru<string, Said>(mostVerdicts)

  constructor(store: Pick<BlobStore, 'granted' | 'setGranted'>) {
    this.#store = store
  }

  /** What is older than what is known changes nothing. */
  learn(repository: Repository, holder: Holder, verdict: Verdict, at: number): void {
    const known = this.#find(repository, holder)
    if (known && known.at > at) return
    this.#said.set(keyOf(repository, holder), { verdict, at })
    if (!isKept(holder)) return
    const written = this.#store.granted(repository, holder)
    if (verdict === 'refused' && written !== undefined) this.#store.setGranted(repository, holder, undefined)
    if (verdict === 'allowed' && (written === undefined || Math.abs(at - written) >= writeEveryMs)) {
      this.#store.setGranted(repository, holder, at)
    }
  }

  /** What counts without asking again. */
  now(repository: Repository, holder: Holder, wall: number): Verdict | undefined {
    const said = this.#find(repository, holder)
    if (!said) return undefined
    const age = wall - said.at
    // What is from the future is from before the host's clock was set back.
    return age >= 0 && age < (said.verdict === 'allowed' ? allowedMs : refusedMs) ? said.verdict : undefined
  }

  /** What counts when the source cannot be asked. */
  lastWord(repository: Repository, holder: Holder, wall: number): Verdict | undefined {
    const said = this.#find(repository, holder)
    const bound = holder === 'anyone' ? lastWordMs.anyone : lastWordMs.login
    return said && wall - said.at < bound ? said.verdict : undefined
  }

  /** How long ago the source last allowed it, in ms, while that is its last word. */
  ageOf(repository: Repository, holder: Holder, wall: number): number | undefined {
    if (this.lastWord(repository, holder, wall) !== 'allowed') return undefined
    return Math.max(0, wall - (this.#find(repository, holder)?.at ?? wall))
  }

  #find(repository: Repository, holder: Holder): Said | undefined {
    const key = keyOf(repository, holder)
    const said = this.#said.get(key)
    if (said || !isKept(holder)) return said
    const at = this.#store.granted(repository, holder)
    if (at === undefined) return undefined
    const kept: Said = { verdict: 'allowed', at }
    this.#said.set(key, kept)
    return kept
  }
}

function isKept(holder: Holder): holder is GrantHolder {
  return !holder.startsWith('login ')
}

function keyOf(repository: Repository, holder: Holder): string {
  return `${formatRepository(repository)} ${holder}`
}
