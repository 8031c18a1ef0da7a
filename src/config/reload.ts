/** What becomes of settings that were read again while a node runs. Pure. */
import type { Loaded } from './load.ts'
import { type Name, names } from './table.ts'

/** Those that a node takes over as it runs; all others count from its next start. */
export const live: ReadonlySet<Name> = new Set<Name>([
  'upstream',
  'only-listed-upstreams',
  'log-level',
  'admin-token-file',
])

/** Files whose content is not part of the settings: whoever reads them looks at them again. */
const followed: ReadonlySet<Name> = new Set<Name>([
  'cluster-key-file',
  'credentials-file',
  'home-credentials-file',
  'push-users-file',
  'state-password-file',
])

export interface Changes {
  readonly now: readonly Name[]
  readonly atNextStart: readonly Name[]
}

type Read = Pick<Loaded, 'values' | 'contents'>

/** @param started what the node was started with; `before` is what was read last, which may be the same */
export function changesOf(started: Read, before: Read, after: Read): Changes {
  const guarded = ({ values }: Read) => values['admin-token-file'] !== undefined
  // Whether a token is asked for at all goes with what the port is open to.
  const isLive = (name: Name) => live.has(name) && (name !== 'admin-token-file' || (guarded(started) && guarded(after)))
  return {
    now: names.filter((name) => isLive(name) && differ(name, before, after)),
    atNextStart: names.filter((name) => !isLive(name) && differ(name, started, after)),
  }
}

function differ(name: Name, one: Read, other: Read): boolean {
  if (JSON.stringify(one.values[name]) !== JSON.stringify(other.values[name])) return true
  return !followed.has(name) && one.contents[name] !== other.contents[name]
}
