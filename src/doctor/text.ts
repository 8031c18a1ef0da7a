/** What `shoal doctor` prints for people. */
import type { Finding, Level } from './finding.ts'

const signs: Record<Level, string> = { good: 'ok', note: 'note', warning: 'WARN', problem: 'FAIL' }

export function renderFindings(findings: readonly Finding[]): string {
  const lines = findings.flatMap(({ level, check, what, why, remedy }) => {
    const more = level === 'good' ? [] : [...(why ? [`why:  ${why}`] : []), ...(remedy ? [`mend: ${remedy}`] : [])]
    return [`${signs[level].padEnd(4)}  ${check.padEnd(8)}  ${what}`, ...more.map((line) => `${' '.repeat(16)}${line}`)]
  })
  return [...lines, '', summaryOf(findings)].join('\n')
}

function summaryOf(findings: readonly Finding[]): string {
  const count = (level: Level) => findings.filter((finding) => finding.level === level).length
  const said = (n: number, word: string) => `${n} ${word}${n === 1 ? '' : 's'}`
  return `${said(count('problem'), 'problem')}, ${said(count('warning'), 'warning')}, ${said(count('note'), 'note')}, ${count('good')} in order`
}
