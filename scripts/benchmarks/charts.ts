/** Results as drawings: SVG, rendered without a browser. */
import { type EChartsCoreOption, init } from 'echarts'
import type { Result } from './runner.ts'
import { contenders } from './scenario.ts'
import { shareOfReach } from './statistics.ts'

/** Names of files and what is in them; a chart that would be empty is left out. */
export function chartsOf(results: readonly Result[]): Map<string, string> {
  const charts = new Map<string, string>()
  const sides = comparisons(results)
  for (const [i, [unit, group]] of [...sides].entries()) {
    charts.set(i === 0 ? 'comparison.svg' : `comparison-${i + 1}.svg`, compared(unit, group))
  }
  for (const result of results) {
    const lines = result.figures.filter(({ samples }) => samples !== undefined && samples.length > 1)
    if (lines.length > 0) charts.set(`${result.scenario}.svg`, finishing(result))
  }
  const judged = results.filter((result) => result.asDefined && result.figures.some(({ reach }) => reach))
  if (judged.length > 0) charts.set('reach.svg', reached(judged))
  return charts
}

const ink = '#333'
const colours: Record<string, string> = { plain: '#9aa5b1', many: '#e0a458', bittorrent: '#6b9ac4', shoal: '#2a9d6f' }
const wording: Record<string, string> = {
  plain: 'one plain stream',
  many: 'all pull plainly',
  bittorrent: 'BitTorrent',
}

const wordFor = (contender: string) => wording[contender] ?? contender

/** Scenarios with figures to be drawn side by side, by unit. */
function comparisons(results: readonly Result[]): Map<string, Result[]> {
  const units = new Map<string, Result[]>()
  for (const result of results) {
    const unit = result.figures.find(({ contender }) => contender !== undefined)?.unit
    if (unit !== undefined) units.set(unit, [...(units.get(unit) ?? []), result])
  }
  return units
}

function compared(unit: string, results: readonly Result[]): string {
  const figureOf = (result: Result, contender: string) =>
    result.figures.find((figure) => figure.contender === contender)
  const present = contenders.filter((contender) => results.some((result) => figureOf(result, contender)))
  const all = results.flatMap((result) => present.flatMap((name) => figureOf(result, name)?.median ?? []))
  // Where one of them takes many times as long, the others would be lines.
  const type = Math.max(...all) > 8 * Math.min(...all) ? 'log' : 'value'
  return render(96 + results.length * (16 + present.length * 20), {
    title: heading(`Median, ${unit}`),
    legend: { top: 28, left: 16, itemGap: 32, textStyle: { color: ink } },
    grid: { left: 16, right: 48, top: 64, bottom: 16, containLabel: true },
    xAxis: { type, ...(type === 'log' ? { logBase: 2 } : {}) },
    yAxis: { type: 'category', inverse: true, data: results.map(({ scenario }) => scenario) },
    series: present.map((contender) => ({
      name: wordFor(contender),
      type: 'bar',
      barMaxWidth: 16,
      itemStyle: { color: colours[contender] },
      label: { show: true, position: 'right', color: ink },
      data: results.map((result) => rounded(figureOf(result, contender)?.median)),
    })),
  })
}

/** How many hosts had the image, as time goes. */
function finishing({ scenario, title, figures }: Result): string {
  const lines = figures.flatMap(({ samples, contender, name, unit }) =>
    samples ? [{ samples, contender, name, unit }] : [],
  )
  return render(320, {
    title: heading(`${scenario}: ${title}`),
    legend: { top: 28, left: 16, itemGap: 32, textStyle: { color: ink } },
    grid: { left: 40, right: 32, top: 64, bottom: 32, containLabel: true },
    xAxis: { type: 'value', name: lines[0]!.unit, nameLocation: 'middle', nameGap: 24, min: 0 },
    yAxis: { type: 'value', name: 'hosts done', minInterval: 1 },
    series: lines.map(({ samples, contender, name }) => ({
      name: contender ? wordFor(contender) : name,
      type: 'line',
      step: 'end',
      symbol: 'none',
      lineStyle: { color: contender && colours[contender] },
      itemStyle: { color: contender && colours[contender] },
      data: [[0, 0], ...[...samples].sort((a, b) => a - b).map((value, i) => [rounded(value), i + 1])],
    })),
  })
}

/** Each judged figure as a share of its reach, so that all of them fit on one axis. */
function reached(results: readonly Result[]): string {
  const bars = results.flatMap(({ scenario, figures }) =>
    figures.flatMap(({ name, reach, median }) => {
      if (!reach) return []
      const share = shareOfReach(reach, median)
      return [
        {
          label: `${scenario}: ${name}`,
          value: rounded(share),
          itemStyle: { color: share <= 1 ? colours.shoal : '#c8553d' },
        },
      ]
    }),
  )
  return render(90 + bars.length * 26, {
    title: heading('Medians as a share of their reach: up to 1 is met'),
    grid: { left: 16, right: 48, top: 44, bottom: 16, containLabel: true },
    xAxis: { type: 'value', min: 0 },
    yAxis: { type: 'category', inverse: true, data: bars.map(({ label }) => label) },
    series: [
      {
        type: 'bar',
        label: { show: true, position: 'right', color: ink },
        markLine: { silent: true, symbol: 'none', label: { show: false }, data: [{ xAxis: 1 }] },
        data: bars,
      },
    ],
  })
}

const heading = (text: string) => ({ text, left: 16, top: 4, textStyle: { fontSize: 14, color: ink } })

const rounded = (value: number | undefined) => (value === undefined ? undefined : Number(value.toFixed(2)))

function render(height: number, option: EChartsCoreOption): string {
  const chart = init(null, null, { renderer: 'svg', ssr: true, width: 860, height })
  try {
    // Readable on a dark page too.
    chart.setOption({ animation: false, backgroundColor: '#fff', ...option })
    return chart.renderToSVGString()
  } finally {
    chart.dispose()
  }
}
