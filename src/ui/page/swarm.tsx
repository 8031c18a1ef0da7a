/** Who sends to whom: a picture, and the same as a table for who does not see it. */
import { useEffect, useRef, useState } from 'preact/hooks'
import { type Flow, labelOf, type Picture, type Place, pictureOf, type Size, type Someone, source } from './picture.ts'
import { Scroll } from './scroll.tsx'
import { count, rate, share } from './words.ts'

export interface SwarmProps {
  readonly nodes: readonly Someone[]
  readonly flows: readonly Flow[]
  /** What is not in the picture, in a sentence. */
  readonly missing?: string | undefined
}

export function Swarm({ nodes, flows, missing }: SwarmProps) {
  const frame = useRef<HTMLDivElement>(null)
  const [width, setWidth] = useState(640)
  useEffect(() => {
    const { current } = frame
    if (!current) return
    const observer = new ResizeObserver(([entry]) => entry && setWidth(Math.round(entry.contentRect.width)))
    observer.observe(current)
    return () => observer.disconnect()
  }, [])
  return (
    <section class="card swarm" aria-labelledby="swarm">
      <div class="head">
        <h2 id="swarm">Swarm</h2>
        <p class="key" aria-hidden="true">
          <span class="peers">between nodes</span>
          <span class="source">from the source</span>
        </p>
      </div>
      <div ref={frame} class="picture">
        <Drawing nodes={nodes} flows={flows} size={{ width, height: heightFor(width) }} />
      </div>
      {missing !== undefined && <p class="small quiet">{missing}</p>}
      <FlowTable nodes={nodes} flows={flows} />
    </section>
  )
}

export function heightFor(width: number): number {
  return Math.round(Math.min(420, Math.max(290, width * 0.6)))
}

export function Drawing({ nodes, flows, size }: Omit<SwarmProps, 'missing'> & { size: Size }) {
  const picture = pictureOf(nodes, flows, size)
  const { width, height } = size
  return (
    <>
      <svg
        viewBox={`0 0 ${width} ${height}`}
        width={width}
        height={height}
        role="img"
        aria-label={inWords(nodes, flows)}
      >
        <g class="lines">
          {picture.lines.map(({ from, to, path, width, rate: flowing }) => (
            <g key={`${from} ${to}`} class={from === source ? 'source' : 'peers'}>
              <path d={path} stroke-width={width} class="bed" />
              <path d={path} stroke-width={width} class="stream">
                <title>{`${nameOf(from, nodes)} to ${nameOf(to, nodes)}: ${rate(flowing)}`}</title>
              </path>
            </g>
          ))}
        </g>
        <SourceMark picture={picture} />
        {picture.places.map((place) => (
          <NodeMark key={place.id} place={place} named={picture.named} />
        ))}
      </svg>
      {flows.length === 0 && (
        <p class="rest">{nodes.length > 1 ? 'Nothing moves right now.' : 'This node is alone.'}</p>
      )}
      {picture.left > 0 && <p class="rest">and {count(picture.left, 'node')} more at rest</p>}
    </>
  )
}

function SourceMark({ picture }: { picture: Picture }) {
  const { x, y } = picture.source
  const active = picture.lines.some(({ from }) => from === source)
  // A single node stands where the source would be seen through it.
  if (!active && picture.places.length < 2) return null
  return (
    <g class={`mark source ${active ? '' : 'idle'}`}>
      <rect x={x - 13} y={y - 13} width={26} height={26} rx={6} />
      <text x={x} y={y + 30} text-anchor="middle" class="below">
        source
      </text>
    </g>
  )
}

const ring = 2 * Math.PI * 11

function NodeMark({ place, named }: { place: Place; named: boolean }) {
  const { x, y, progress } = place
  return (
    <g class={`mark node ${place.self ? 'self' : ''}`}>
      <circle cx={x} cy={y} r={7} />
      {progress !== undefined && (
        <>
          <circle cx={x} cy={y} r={11} class="track" />
          <circle
            cx={x}
            cy={y}
            r={11}
            class="progress"
            stroke-dasharray={`${(ring * progress).toFixed(1)} ${ring.toFixed(1)}`}
            transform={`rotate(-90 ${x} ${y})`}
          />
        </>
      )}
      {(named || place.self) && (
        <text x={place.labelX} y={place.labelY} text-anchor={place.anchor}>
          {place.label}
          {progress !== undefined && <tspan class="quiet"> {share(progress, 1)}%</tspan>}
        </text>
      )}
    </g>
  )
}

function FlowTable({ nodes, flows }: Omit<SwarmProps, 'missing'>) {
  if (flows.length === 0) return null
  const sorted = [...flows].sort((a, b) => b.rate - a.rate)
  return (
    <details>
      <summary>As a table</summary>
      <Scroll label="Who sends to whom">
        <table>
          <thead>
            <tr>
              <th scope="col">From</th>
              <th scope="col">To</th>
              <th scope="col" class="number">
                Rate
              </th>
            </tr>
          </thead>
          <tbody>
            {sorted.map(({ from, to, rate: flowing }) => (
              <tr key={`${from} ${to}`}>
                <td>{nameOf(from, nodes)}</td>
                <td>{nameOf(to, nodes)}</td>
                <td class="number">{rate(flowing)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Scroll>
    </details>
  )
}

function nameOf(id: string, nodes: readonly Someone[]): string {
  if (id === source) return 'the source'
  return labelOf(nodes.find((node) => node.id === id) ?? { id })
}

/** What the picture says, for who hears it. */
export function inWords(nodes: readonly Someone[], flows: readonly Flow[]): string {
  const fetching = nodes.filter(({ progress }) => progress !== undefined).length
  const between = flows.filter(({ from }) => from !== source)
  const sum = (some: readonly Flow[]) => some.reduce((total, flow) => total + flow.rate, 0)
  const parts = [
    count(nodes.length, 'node'),
    fetching > 0 ? `${fetching} fetching` : 'none fetching',
    between.length > 0 ? `${rate(sum(between))} between nodes` : 'nothing between nodes',
    flows.length > between.length
      ? `${rate(sum(flows.filter(({ from }) => from === source)))} from the source`
      : 'nothing from the source',
  ]
  return `The swarm: ${parts.join(', ')}.`
}
