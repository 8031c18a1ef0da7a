/** What a look at a host comes to: one sentence each, why it matters, and what to do about it. */

/** From best to worst. A problem keeps nodes or pulls from working; a warning makes them worse than they could be. */
export const levels = ['good', 'note', 'warning', 'problem'] as const
export type Level = (typeof levels)[number]

export const checks = [
  'node',
  'settings',
  'ports',
  'disk',
  'clock',
  'kernel',
  'files',
  'engines',
  'cluster',
  'members',
  'sources',
] as const
export type Check = (typeof checks)[number]

export interface Finding {
  readonly level: Level
  readonly check: Check
  readonly what: string
  /** Of warnings and problems: what comes of it. */
  readonly why?: string
  /** A command, or what to do where no command does it. */
  readonly remedy?: string
}

type Rest = Pick<Finding, 'why' | 'remedy'>

/** Makers of the findings of one check. */
export function findingsOf(check: Check) {
  const made = (level: Level) => (what: string, rest: Rest) => ({ level, check, what, ...rest })
  return {
    good: (what: string): Finding => ({ level: 'good', check, what }),
    note: (what: string, rest: Rest = {}): Finding => made('note')(what, rest),
    warning: (what: string, rest: Required<Rest>): Finding => made('warning')(what, rest),
    problem: (what: string, rest: Required<Rest>): Finding => made('problem')(what, rest),
  }
}
