/** Results as a table: for a terminal's reader and for Markdown's. */
import type { Machine } from './machine.ts'
import type { Result } from './runner.ts'
import type { Reach, Shape } from './scenario.ts'
import { isMet, type Summary } from './statistics.ts'

/** A result, and what was measured when. */
export interface Entry extends Result {
  readonly date: string
  readonly version: string
  /** As it was typed. */
  readonly command: string
}

export interface Report {
  readonly machine: Machine
  readonly results: readonly Entry[]
}

/**
 * What a folder has already, with `entry` in the place of an earlier one of its scenario, in the order of `names`: a
 * benchmark takes hours, and is made in parts. What another machine measured does not stand beside it.
 */
export function merged(before: Report | undefined, machine: Machine, entry: Entry, names: readonly string[]): Report {
  const kept = Bun.deepEquals(before?.machine, machine) ? (before?.results ?? []) : []
  const results = [...kept.filter(({ scenario }) => scenario !== entry.scenario), entry]
  return { machine, results: results.sort((a, b) => names.indexOf(a.scenario) - names.indexOf(b.scenario)) }
}

export function figureText(value: number): string {
  const digits = Math.abs(value) < 10 ? 2 : Math.abs(value) < 100 ? 1 : 0
  return value.toFixed(digits)
}

export function reachText({ atMost, atLeast }: Reach): string {
  return [
    ...(atLeast === undefined ? [] : [`at least ${figureText(atLeast)}`]),
    ...(atMost === undefined ? [] : [`at most ${figureText(atMost)}`]),
  ].join(', ')
}

export function shapeText({ hosts, rate, size, layers }: Shape): string {
  const mebibytes = `${Math.round(size / 2 ** 20)} MiB`
  const links = rate === undefined ? 'no limit' : rate
  return `${hosts} x ${links}, ${mebibytes}${layers === 1 ? '' : ` in ${layers} layers`}`
}

/** Whether a figure is what was wanted; undefined where nothing was, or of another shape. */
export function verdict({ asDefined }: Result, { reach, median }: Summary): boolean | undefined {
  return reach === undefined || !asDefined ? undefined : isMet(reach, median)
}

const head = ['scenario', 'figure', 'median', 'min..max', 'unit', 'reach', 'met'] as const

/** One row for each figure; a scenario is named in its first row. */
export function rowsOf(results: readonly Result[]): string[][] {
  return results.flatMap((result) => {
    const rows = result.figures.map((figure) => {
      const { name, median, min, max, unit, reach } = figure
      const met = verdict(result, figure)
      return [
        name,
        figureText(median),
        `${figureText(min)}..${figureText(max)}`,
        unit,
        reach ? reachText(reach) : '',
        met === undefined ? (reach ? 'another shape' : '') : met ? 'yes' : 'no',
      ]
    })
    if (result.failed !== undefined) rows.push([`failed: ${result.failed.split('\n', 1)[0]}`, '', '', '', '', ''])
    return rows.map((row, i) => [i === 0 ? result.scenario : '', ...row])
  })
}

export function markdownOf({ machine, results }: Report): string {
  const rows = rowsOf(results).map((row) => row.map((cell) => cell.replaceAll('|', '\\|')))
  const widths = head.map((title, i) => Math.max(3, title.length, ...rows.map((row) => row[i]!.length)))
  const line = (cells: readonly string[]) => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(' | ')} |`
  const { cpu, cores, memoryGiB, kernel, bun } = machine
  return [
    `${cores} cores of ${cpu}, ${memoryGiB} GiB, Linux ${kernel}, Bun ${bun}. All hosts, their links, the registry and the`,
    'clients share them.',
    '',
    line(head),
    line(widths.map((width) => '-'.repeat(width))),
    ...rows.map(line),
    '',
    ...results.map(({ scenario, title, shape, runs, seconds, against, command, date, version }) => {
      const times = `${runs} ${runs === 1 ? 'run' : 'runs'} in ${Math.round(seconds)} s`
      const what = `- ${scenario}: ${title}; ${shapeText(shape)}; against ${against}; ${times}.`
      return `${what} \`${command}\`, ${date}, ${version}.`
    }),
    '',
  ].join('\n')
}
