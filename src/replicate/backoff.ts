/** When a task that failed is tried again. There is no end to it: what is owed is owed. Pure. */
import type { Random } from '../clock.ts'
import type { FailureCode } from '../failure.ts'

const firstMs = 1000
/** For what may mend itself any moment: the whole target waits together as well. */
const longestMs = 30_000
/** For what somebody has to mend: a login, a name that the target does not take, content that is gone. */
const longestStuckMs = 5 * 60_000

const passing: ReadonlySet<FailureCode> = new Set(['unavailable', 'too-many', 'corrupt', 'cancelled', 'internal'])

/** Ms after the try number `tries`, from 1 on; between half and all of it by chance. */
export function waitAfter(tries: number, code: FailureCode, random: Random): number {
  const longest = passing.has(code) ? longestMs : longestStuckMs
  return Math.min(longest, firstMs * 2 ** Math.min(tries - 1, 20)) * (0.5 + random() / 2)
}
