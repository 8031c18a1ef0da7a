/** The few figures that say how it goes. */
import type { ClusterFacts, HistoryFacts, NodeFacts } from '../../admin/view.ts'
import { bytes, count, rate, share } from './words.ts'

export interface TilesProps {
  readonly node: NodeFacts
  readonly history: HistoryFacts | undefined
  readonly cluster: ClusterFacts | undefined
}

export function Tiles({ node, history, cluster }: TilesProps) {
  const { rates, store } = node
  const last = history?.samples.at(-1)
  const saved = cluster && savedBy(cluster)
  return (
    <dl class="tiles">
      <Tile
        name="From peers"
        kind="peers"
        value={rate(rates.received)}
        note={last && `${bytes(last.received)} in all`}
      />
      <Tile
        name="From sources"
        kind="source"
        value={rate(rates.source)}
        note={last && `${bytes(last.source)} in all`}
      />
      <Tile name="To peers" kind="sent" value={rate(rates.sent)} note={last && `${bytes(last.sent)} in all`} />
      <Tile
        name="Saved at the source"
        kind="saved"
        value={saved === undefined ? '–' : bytes(saved.bytes)}
        note={saved?.words}
      />
      <div class="tile">
        <dt>Store</dt>
        <dd>
          <strong>{bytes(store.disk)}</strong>
          {store.limit === undefined ? (
            <small>{count(store.complete + store.partial, 'blob')}</small>
          ) : (
            <>
              <meter min={0} max={store.limit} value={store.disk} aria-label="Share of the store that is used" />
              <small>
                of {bytes(store.limit)}, {count(store.complete + store.partial, 'blob')}
              </small>
            </>
          )}
        </dd>
      </div>
    </dl>
  )
}

function Tile(props: { name: string; kind: string; value: string; note: string | undefined }) {
  return (
    <div class={`tile ${props.kind}`}>
      <dt>{props.name}</dt>
      <dd>
        <strong>{props.value}</strong>
        <small>{props.note ?? 'since the node started'}</small>
      </dd>
    </div>
  )
}

/** What engines got of the nodes that answered, but for what these read at sources: in words, of what and of whom. */
export function savedBy({ nodes, silent, unasked }: ClusterFacts): { bytes: number; words: string | undefined } {
  const sum = (name: 'engines' | 'source') => nodes.reduce((all, { totals }) => all + totals[name], 0)
  const [engines, source] = [sum('engines'), sum('source')]
  const saved = Math.max(0, engines - source)
  if (engines === 0) return { bytes: 0, words: undefined }
  const all = nodes.length + silent + unasked
  const whose = all === 1 ? '' : nodes.length === all ? ` on ${all} nodes` : ` on ${nodes.length} of ${all} nodes`
  return { bytes: saved, words: `${share(saved, engines)}% of ${bytes(engines)}${whose}` }
}
