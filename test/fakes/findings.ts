/** What tests look at in findings. */
import type { Finding } from '../../src/doctor/finding.ts'

/** `problem: what was found` for each; `good` ones by their level alone. */
export const said = (findings: readonly Finding[]) =>
  findings.map(({ level, what }) => (level === 'good' ? 'good' : `${level}: ${what}`))

/** What operators are to do. */
export const remedies = (findings: readonly Finding[]) => findings.map(({ remedy }) => remedy)
