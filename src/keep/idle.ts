/** How long cached content may be unused, by rules for the repositories that it is known to be of. */

import picomatch from 'picomatch'
import type { KeepRule } from '../config/rules.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import type { Idle } from '../store/eviction.ts'

export type IdleRule = (repositories: readonly Repository[]) => Idle | undefined

/**
 * Undefined without rules that say anything of it. `otherwiseMs`: what holds for repositories that no such rule is about;
 * content of several repositories stays for as long as any of them keeps it.
 */
export function idleRule(rules: readonly KeepRule[], otherwiseMs: number | undefined): IdleRule | undefined {
  if (rules.every(({ idleMs }) => idleMs === undefined)) return undefined
  const matchers = rules.map((rule) => ({ rule, matches: picomatch(rule.pattern) }))
  return (repositories) => {
    let longest: Idle | undefined
    for (const repository of repositories) {
      const name = formatRepository(repository)
      // The first that matches is the one that counts, also where it says nothing of this.
      const rule = matchers.find(({ matches }) => matches(name))?.rule
      const idle =
        rule?.idleMs === undefined
          ? { ms: otherwiseMs ?? Number.POSITIVE_INFINITY, rule: name }
          : { ms: rule.idleMs, rule: rule.text }
      if (!longest || idle.ms > longest.ms) longest = idle
    }
    return longest
  }
}
