/** Settings that only seeds may have: peers would not start with them. Pure. */
import { type Flags, piecesOf } from '../config/given.ts'
import { cachedPart } from '../config/rules.ts'
import type { Name } from '../config/table.ts'

const seedOnly: readonly Name[] = ['push', 'push-users-file', 'push-deletes', 'replicate', 'replicate-rate']

/** What is left for peers; of what is kept, the terms on what is cached. */
export function forPeers(flags: Flags): Flags {
  const rest = Object.entries(flags).filter(([name]) => !seedOnly.includes(name as Name))
  const { keep = [], ...shared }: Flags = Object.fromEntries(rest)
  const cached = piecesOf('keep', keep).flatMap((rule) => cachedPart(rule) ?? [])
  return cached.length === 0 ? shared : { ...shared, keep: cached }
}
