/** What is brought to nodes before it is needed, and what was lately. */
import type { PreheatSummary } from '../../admin/preheats.ts'
import { Bar } from './bar.tsx'
import { Refused } from './refused.tsx'
import { ago, bytes, count } from './words.ts'

export interface PreheatsProps {
  readonly preheats: readonly PreheatSummary[]
  readonly now: number
  /** Why one was not cancelled; empty: it was. */
  readonly refusal: string
  onCancel(id: number): void
}

export function Preheats({ preheats, now, refusal, onCancel }: PreheatsProps) {
  return (
    <section class="card" aria-labelledby="preheats">
      <div class="head">
        <h2 id="preheats">Preheats</h2>
      </div>
      <Refused why={refusal} />
      <ul class="list">
        {preheats.map((preheat) => (
          <OnePreheat key={preheat.id} preheat={preheat} now={now} onCancel={onCancel} />
        ))}
      </ul>
    </section>
  )
}

function OnePreheat({ preheat, now, onCancel }: Pick<PreheatsProps, 'now' | 'onCancel'> & { preheat: PreheatSummary }) {
  const { id, state, reason, what, bytes: here, total, updatedAt } = preheat
  const running = state === 'pending' || state === 'running'
  return (
    <li>
      <div class="line">
        <strong class="name">{nameOf(what)}</strong>
        {running ? (
          <button type="button" class="plain" onClick={() => onCancel(id)} aria-label={`Cancel preheat ${id}`}>
            Cancel
          </button>
        ) : (
          <span class="quiet">{ago(updatedAt, now)}</span>
        )}
      </div>
      {running && <Bar name={`Of preheat ${id}`} done={here} fromSource={0} size={total} />}
      <p class="line small quiet">
        <span>
          {stateOf(preheat)}
          {reason !== undefined && state === 'failed' && `: ${reason}`}
        </span>
        <span class="number">{running ? `${bytes(here)} of ${bytes(total)}` : bytes(total)}</span>
      </p>
    </li>
  )
}

function nameOf([first = '', ...more]: readonly string[]): string {
  const name = first.replace(/^docker\.io\/(library\/)?/, '')
  return more.length === 0 ? name : `${name} and ${more.length} more`
}

/** `3 of 16 nodes have it`, `failed, 15 of 16 nodes have it`. */
export function stateOf({ state, counts }: Pick<PreheatSummary, 'state' | 'counts'>): string {
  const nodes = Object.values(counts).reduce((sum, each) => sum + each, 0)
  const have =
    nodes === 0 ? 'no node yet' : `${counts.done} of ${count(nodes, 'node')} ${counts.done === 1 ? 'has' : 'have'} it`
  return state === 'failed' || state === 'cancelled' ? `${state}, ${have}` : have
}
