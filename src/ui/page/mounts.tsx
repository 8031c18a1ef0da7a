/** Images that are mounted on this host, and how much of each is here. */
import type { MountedFacts } from '../../lazy/mounted.ts'
import { type MountedRow, rowsOf } from '../../lazy/mounted-rows.ts'
import { Bar } from './bar.tsx'
import { bytes } from './words.ts'

export function Mounts({ mounted }: { readonly mounted: MountedFacts }) {
  return (
    <section class="card" aria-labelledby="mounts">
      <div class="head">
        <h2 id="mounts">Mounts</h2>
        <span class="quiet">{savedOf(mounted)}</span>
      </div>
      <ul class="list">
        {rowsOf(mounted).map((row) => (
          <OneMount key={row.key} row={row} />
        ))}
      </ul>
    </section>
  )
}

function OneMount({ row }: { readonly row: MountedRow }) {
  const { where, what, size, here, deduped, complete, notes } = row
  return (
    <li>
      <div class="line">
        <strong class="name">{what.replace(/^docker\.io\/(library\/)?/, '')}</strong>
        <span class="quiet mono">{where}</span>
      </div>
      {!complete && <Bar name={`Of ${what} at ${where}`} done={here} fromSource={0} size={size} />}
      <p class="line small quiet">
        <span>{complete ? 'all of it is here' : notes.join('; ') || 'loads what is read'}</span>
        <span class="number">
          {complete ? bytes(size) : `${bytes(here)} of ${bytes(size)}`}
          {deduped > 0 && `, ${bytes(deduped)} from other layers`}
        </span>
      </p>
      {complete && notes.length > 0 && <p class="small quiet">{notes.join('; ')}</p>}
    </li>
  )
}

/** What of all that is mounted was neither fetched nor stored again; nothing where that is nothing. */
export function savedOf({ mounters }: Pick<MountedFacts, 'mounters'>): string {
  const saved = mounters.reduce((sum, { totals }) => sum + totals.deduped, 0)
  return saved === 0 ? '' : `${bytes(saved)} saved, for other layers have the same`
}
