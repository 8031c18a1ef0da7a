/** What rounds of faults came to, as a table and as data. */
import type { Fault } from './fault.ts'
import type { Tried } from './run.ts'

export interface FaultReport {
  readonly fault: Pick<Fault, 'name' | 'family' | 'outcome'>
  /** Why it was not tried at all. */
  readonly skipped?: string
  readonly rounds: readonly Tried[]
}

/** Markdown: one line for each fault, then the promised outcomes, then what did not hold. */
export function markdown(reports: readonly FaultReport[]): string {
  const rows = reports.map(({ fault, skipped, rounds }) => {
    const held = rounds.filter((round) => round.held).length
    const seconds = rounds.map((round) => round.seconds)
    const took = seconds.length === 0 ? '' : `${Math.min(...seconds).toFixed(1)}..${Math.max(...seconds).toFixed(1)}`
    const last = skipped === undefined ? (rounds.at(-1)?.remark ?? '') : `skipped: ${skipped}`
    return `| ${[fault.name, rounds.length, held, took, cell(last)].join(' | ')} |`
  })
  const broken = reports.flatMap(({ fault, rounds }) =>
    rounds.filter(({ held }) => !held).map(({ seed, remark }) => `- ${fault.name}, seed ${seed}: ${cell(remark)}`),
  )
  const notes = reports.flatMap(({ fault, rounds }) =>
    rounds.flatMap((round) => round.notes.map((note) => `- ${fault.name}, seed ${round.seed}: ${cell(note)}`)),
  )
  return [
    '| fault | rounds | as promised | seconds each | the last one |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
    'What is promised:',
    '',
    ...reports.map(({ fault }) => `- ${fault.name}: ${fault.outcome}`),
    ...(broken.length === 0 ? [] : ['', 'What was otherwise:', '', ...broken]),
    ...(notes.length === 0 ? [] : ['', 'In detail:', '', ...notes]),
    '',
  ].join('\n')
}

function cell(text: string): string {
  return text.replaceAll('|', '/').replaceAll(/\s+/g, ' ').slice(0, 400)
}
