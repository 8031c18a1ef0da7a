import type { ComponentChildren } from 'preact'
import type { ClusterHistoryFacts, HistoryFacts } from '../../admin/view.ts'
import { Chart, type ChartLine } from './chart.tsx'
import { rates, savings } from './series.ts'
import type { Theme } from './theme.ts'
import { bytes, share } from './words.ts'

export type Span = '30m' | '24h'

export interface TrafficProps {
  readonly history: HistoryFacts
  readonly cluster: ClusterHistoryFacts
  readonly span: Span
  readonly theme: Theme
  /** Of the system: what `auto` stands for. */
  readonly dark: boolean
  onSpan(span: Span): void
}

const trafficLines: readonly ChartLine[] = [
  { name: 'from peers', colour: 'peers' },
  { name: 'from sources', colour: 'source' },
  { name: 'to peers', colour: 'sent' },
]
const savingLines: readonly ChartLine[] = [
  { name: 'given to engines', colour: 'saved' },
  { name: 'read at the source', colour: 'source' },
]
const spans: readonly {
  readonly span: Span
  readonly name: string
  readonly words: string
  readonly seconds: number
}[] = [
  { span: '30m', name: '30 min', words: 'the last 30 minutes', seconds: 1800 },
  { span: '24h', name: '24 h', words: 'the last day', seconds: 86_400 },
]

export function Traffic({ history, cluster, span, theme, dark, onSpan }: TrafficProps) {
  const { words, seconds } = spans.find((each) => each.span === span)!
  const look = `${theme} ${dark}`
  return (
    <section class="card" aria-labelledby="traffic">
      <div class="head">
        <h2 id="traffic">Over time</h2>
        <fieldset class="choice">
          <legend class="unseen">How far back</legend>
          {spans.map((each) => (
            <label key={each.span}>
              <input type="radio" name="span" checked={span === each.span} onChange={() => onSpan(each.span)} />
              <span>{each.name}</span>
            </label>
          ))}
        </fieldset>
      </div>
      <div class="charts">
        <Panel title="Traffic of this node" lines={trafficLines}>
          <Chart
            label={trafficInWords(history, words)}
            lines={trafficLines}
            series={rates(history)}
            unit="rate"
            seconds={seconds}
            theme={look}
          />
        </Panel>
        <Panel title="Saved at the source, all nodes" lines={savingLines}>
          <Chart
            label={savingInWords(cluster, words)}
            lines={savingLines}
            series={savings(cluster)}
            unit="bytes"
            seconds={seconds}
            between
            theme={look}
          />
        </Panel>
      </div>
    </section>
  )
}

function Panel({
  title,
  lines,
  children,
}: {
  title: string
  lines: readonly ChartLine[]
  children: ComponentChildren
}) {
  return (
    <div class="panel">
      <div class="head">
        <h3>{title}</h3>
        <p class="key" aria-hidden="true">
          {lines.map(({ name, colour }) => (
            <span key={name} class={colour}>
              {name}
            </span>
          ))}
        </p>
      </div>
      {children}
    </div>
  )
}

export function trafficInWords(history: HistoryFacts, when: string): string {
  const [first, last] = [history.samples[0], history.samples.at(-1)]
  if (!first || !last) return `Traffic of ${when}: nothing is known yet.`
  const grown = (name: 'received' | 'source' | 'sent') => bytes(last[name] - first[name])
  return `Traffic of ${when}: ${grown('received')} from peers, ${grown('source')} from sources, ${grown('sent')} to peers.`
}

export function savingInWords(history: ClusterHistoryFacts, when: string): string {
  const [first, last] = [history.samples[0], history.samples.at(-1)]
  if (!first || !last || last.engines === first.engines) return `Saved at the source: engines got nothing in ${when}.`
  const [engines, source] = [last.engines - first.engines, last.source - first.source]
  const saved = Math.max(0, engines - source)
  return `Saved at the source: of ${bytes(engines)} that engines got in ${when}, ${bytes(saved)}, ${share(saved, engines)}%.`
}
