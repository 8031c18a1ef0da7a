/** What becomes of settings that were read again while a node runs. Pure. */
import { type Name, names, type Values } from './table.ts'

/** Those that a node takes over as it runs; all others count from its next start. */
export const live: ReadonlySet<Name> = new Set<Name>(['upstream', 'only-listed-upstreams', 'log-level'])

export interface Changes {
  readonly now: readonly Name[]
  readonly atNextStart: readonly Name[]
}

export function changesOf(before: Values, after: Values): Changes {
  const changed = names.filter((name) => JSON.stringify(before[name]) !== JSON.stringify(after[name]))
  return { now: changed.filter((name) => live.has(name)), atNextStart: changed.filter((name) => !live.has(name)) }
}
