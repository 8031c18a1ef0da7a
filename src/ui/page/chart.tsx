/** A chart of bytes over time: uPlot draws it, this file gives it the page's colours and words. */
import { useEffect, useRef } from 'preact/hooks'
import uPlot from 'uplot'
import type { Series } from './series.ts'
import { bytes } from './words.ts'

export interface ChartLine {
  readonly name: string
  /** Name of a custom property of the style sheet. */
  readonly colour: string
}

export interface ChartProps {
  /** What is shown, in a sentence. */
  readonly label: string
  readonly lines: readonly ChartLine[]
  readonly series: Series
  readonly unit: 'bytes' | 'rate'
  /** How much time is shown, up to the last sample. */
  readonly seconds: number
  /** Fills between the first two lines, in the first one's colour. */
  readonly between?: boolean
  /** Changes when colours do. */
  readonly theme: string
}

const height = 180
/** Seconds that are shown of a node that has just started. */
const shortest = 120
const minutes = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
const moments = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium', hourCycle: 'h23' })

export function Chart({ label, lines, series, unit, seconds, between = false, theme }: ChartProps) {
  const frame = useRef<HTMLDivElement>(null)
  const chart = useRef<uPlot | undefined>(undefined)
  useEffect(() => {
    const { current } = frame
    if (!current) return
    const made = new uPlot(optionsFor(current, lines, unit, seconds, between), dataOf(series), current)
    chart.current = made
    const observer = new ResizeObserver(([entry]) => entry && made.setSize({ width: entry.contentRect.width, height }))
    observer.observe(current)
    return () => {
      observer.disconnect()
      made.destroy()
    }
    // Data goes in below, without another canvas.
  }, [theme, lines, unit, seconds, between])
  useEffect(() => chart.current?.setData(dataOf(series)), [series])
  return <div ref={frame} class="chart" role="img" aria-label={label} />
}

function dataOf(series: Series): uPlot.AlignedData {
  return series as unknown as uPlot.AlignedData
}

function optionsFor(
  element: HTMLElement,
  lines: readonly ChartLine[],
  unit: ChartProps['unit'],
  seconds: number,
  between: boolean,
): uPlot.Options {
  const colour = (name: string) => resolve(element, `var(--${name})`)
  const quiet = colour('quiet')
  const grid = { stroke: colour('line'), width: 1 }
  const text = (value: number) => (unit === 'rate' ? `${bytes(value)}/s` : bytes(value))
  return {
    width: element.clientWidth,
    height,
    padding: [10, 20, 0, 0],
    cursor: { y: false, points: { size: 6 } },
    legend: { show: false },
    scales: {
      x: { range: (_, first, last) => [Math.max(last - seconds, Math.min(first, last - shortest)), last] },
      y: { range: (_, __, most) => [0, Math.max(most * 1.1, 1024)] },
    },
    axes: [
      {
        stroke: quiet,
        grid: { show: false },
        ticks: { show: false },
        font: '12px system-ui',
        space: 70,
        size: 26,
        values: (_, splits, __, ___, step) => splits.map((at) => (step < 60 ? moments : minutes).format(at * 1000)),
      },
      {
        stroke: quiet,
        grid,
        ticks: { show: false },
        font: '12px system-ui',
        size: 76,
        splits: (_, __, ___, most) => binarySplits(most),
        values: (_, values) => values.map((value) => (value === 0 ? '0' : text(value))),
      },
    ],
    series: [
      {},
      ...lines.map(({ name, colour: property }, i): uPlot.Series => {
        const stroke = colour(property)
        const filled = !between && i === 0
        return { label: name, stroke, width: 1.75, points: { show: false }, ...(filled ? { fill: faint(stroke) } : {}) }
      }),
    ],
    ...(between ? { bands: [{ series: [1, 2], fill: faint(colour(lines[0]!.colour)) }] } : {}),
  }
}

/** Four or five round lines, round as bytes are counted here. */
export function binarySplits(most: number): number[] {
  const unit = 1024 ** Math.floor(Math.log(Math.max(1, most)) / Math.log(1024))
  const steps = [1, 2, 5, 10, 20, 50, 100, 200, 256, 512].map((step) => step * unit)
  const step = [unit / 4, unit / 2, ...steps].find((each) => most / each <= 4) ?? unit * 1024
  return Array.from({ length: Math.floor(most / step) + 1 }, (_, i) => i * step)
}

function faint(colour: string): string {
  return colour.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.14)')
}

/** A canvas knows no custom properties. */
function resolve(element: HTMLElement, colour: string): string {
  const { color } = element.style
  element.style.color = colour
  const resolved = getComputedStyle(element).color
  element.style.color = color
  return resolved
}
