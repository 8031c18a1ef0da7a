/** How long cached content may be unused, by rules for the repositories that it is known to be of. */

import picomatch from 'picomatch'
import type { Clock } from '../clock.ts'
import type { KeepRule } from '../config/rules.ts'
import { lru } from '../lru.ts'
import type { Digest } from '../oci/digest.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import type { Idle } from '../store/eviction.ts'

/** A store that is full asks of every blob for each that it takes: answers are kept for so long, ms. */
const keptMs = 60_000
const mostKept = 100_000

export type IdleRule = (digest: Digest, repositories: () => Repository[]) => Idle | undefined

/**
 * Undefined without rules that say anything of it. `otherwiseMs`: what holds for repositories that no such rule is about;
 * content of several repositories stays for as long as any of them keeps it.
 */
export function idleRule(
  rules: readonly KeepRule[],
  otherwiseMs: number | undefined,
  clock: Pick<Clock, 'now'>,
): IdleRule | undefined {
  if (rules.every(({ idleMs }) => idleMs === undefined)) return undefined
  const matchers = rules.map((rule) => ({ rule, matches: picomatch(rule.pattern) }))
  const known = lru<Digest, { readonly idle: Idle | undefined; readonly until: number }>(mostKept)

  function judge(repositories: readonly Repository[]): Idle | undefined {
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

  return (digest, repositories) => {
    const now = clock.now()
    const before = known.get(digest)
    if (before && before.until > now) return before.idle
    const idle = judge(repositories())
    known.set(digest, { idle, until: now + keptMs })
    return idle
  }
}
