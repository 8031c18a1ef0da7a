/** The few figures that say how it goes. */
import type { HistoryFacts, NodeFacts } from '../../admin/view.ts'
import { bytes, count, rate, share } from './words.ts'

export interface TilesProps {
  readonly node: NodeFacts
  readonly history: HistoryFacts | undefined
}

export function Tiles({ node, history }: TilesProps) {
  const { rates, store } = node
  const last = history?.samples.at(-1)
  const saved = last ? Math.max(0, last.engines - last.source) : undefined
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
        value={saved === undefined ? '–' : bytes(saved)}
        note={last && last.engines > 0 ? `${share(saved ?? 0, last.engines)}% of what engines got here` : undefined}
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
