/** What went wrong, and who was banned for it. */
import type { BanFacts, FaultFacts, NodeFacts } from '../../admin/view.ts'
import { Refused } from './refused.tsx'
import { Scroll } from './scroll.tsx'
import { ago, left, shortNode } from './words.ts'

export interface FaultsProps {
  readonly node: NodeFacts
  readonly bans: readonly BanFacts[]
  readonly faults: FaultFacts
  readonly now: number
  /** Why a ban was not lifted; empty: it was. */
  readonly refusal: string
  onLift(node: string): void
}

export function Faults({ node, bans, faults, now, refusal, onLift }: FaultsProps) {
  const standing = [...node.notReady, node.store.trouble, node.state?.trouble].filter((each) => each !== undefined)
  const quiet = standing.length + bans.length + faults.counts.length + faults.recent.length === 0
  return (
    <section class="card" aria-labelledby="faults">
      <div class="head">
        <h2 id="faults">Bans and faults</h2>
      </div>
      <Refused why={refusal} />
      {quiet && <p class="empty">Nobody is banned, and nothing went wrong since the node started.</p>}
      {standing.length > 0 && (
        <ul class="standing">
          {standing.map((sentence) => (
            <li key={sentence}>{sentence}</li>
          ))}
        </ul>
      )}
      {bans.length > 0 && <Bans bans={bans} now={now} onLift={onLift} />}
      {faults.counts.length > 0 && (
        <dl class="counts">
          {faults.counts.map(({ what, count }) => (
            <div key={what}>
              <dt>{what}</dt>
              <dd>{count.toLocaleString('en')}</dd>
            </div>
          ))}
        </dl>
      )}
      {faults.recent.length > 0 && (
        <>
          <h3>Said lately</h3>
          <ol class="said">
            {faults.recent.map(({ at, level, message, details }) => (
              <li key={at + message} class={level}>
                <span class="when quiet">{ago(at, now)}</span>
                <span>
                  {message}
                  {details !== '' && <span class="quiet mono"> {details}</span>}
                </span>
              </li>
            ))}
          </ol>
        </>
      )}
    </section>
  )
}

function Bans({ bans, now, onLift }: Pick<FaultsProps, 'bans' | 'now' | 'onLift'>) {
  return (
    <Scroll label="Banned nodes">
      <table>
        <thead>
          <tr>
            <th scope="col">Banned</th>
            <th scope="col">Why</th>
            <th scope="col" class="number">
              For another
            </th>
            <th scope="col">
              <span class="unseen">Lift</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {bans.map(({ node, reason, until }) => (
            <tr key={node}>
              <th scope="row" class="mono" title={node}>
                {shortNode(node)}
              </th>
              <td>{reason}</td>
              <td class="number">{left(until, now)}</td>
              <td class="number">
                <button
                  type="button"
                  class="plain"
                  onClick={() => onLift(node)}
                  aria-label={`Lift the ban of ${shortNode(node)}`}
                >
                  Lift
                </button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </Scroll>
  )
}
