import type { BlobFacts, BlobPage } from '../../admin/view.ts'
import { Scroll } from './scroll.tsx'
import { ago, bytes, count, share, shortDigest } from './words.ts'

export type BlobState = 'all' | 'complete' | 'partial'

export interface BlobSearch {
  readonly filter: string
  readonly state: BlobState
  readonly offset: number
}

export const pageLength = 15

export function blobQuery({ filter, state, offset }: BlobSearch): string {
  const query = new URLSearchParams({ limit: String(pageLength), offset: String(offset) })
  if (filter.trim() !== '') query.set('filter', filter.trim())
  if (state !== 'all') query.set('state', state)
  return `/api/v1/blobs?${query}`
}

export interface BlobsProps {
  readonly page: BlobPage
  readonly search: BlobSearch
  readonly now: number
  onSearch(search: BlobSearch): void
  onRemove(blob: BlobFacts): void
}

const states: readonly { readonly state: BlobState; readonly name: string }[] = [
  { state: 'all', name: 'Whole and in part' },
  { state: 'complete', name: 'Whole' },
  { state: 'partial', name: 'In part' },
]

export function Blobs({ page, search, now, onSearch, onRemove }: BlobsProps) {
  const searching = search.filter.trim() !== '' || search.state !== 'all'
  return (
    <section class="card" aria-labelledby="blobs">
      <div class="head">
        <h2 id="blobs">
          Blobs <span class="tally">{page.total.toLocaleString('en')}</span>
        </h2>
        <div class="controls">
          <input
            type="search"
            aria-label="Search blobs"
            placeholder="Repository, digest or media type"
            value={search.filter}
            onInput={({ currentTarget }) => onSearch({ ...search, filter: currentTarget.value, offset: 0 })}
          />
          <select
            aria-label="Which blobs"
            value={search.state}
            onChange={({ currentTarget }) =>
              onSearch({ ...search, state: currentTarget.value as BlobState, offset: 0 })
            }
          >
            {states.map(({ state, name }) => (
              <option key={state} value={state}>
                {name}
              </option>
            ))}
          </select>
        </div>
      </div>
      {page.blobs.length === 0 ? (
        <p class="empty">
          {searching ? 'No blob fits.' : 'The store is empty. What is pulled through this node stays here.'}
        </p>
      ) : (
        <Scroll label="Blobs">
          <table>
            <thead>
              <tr>
                <th scope="col" class="wide">
                  Digest
                </th>
                <th scope="col">Repository</th>
                <th scope="col" class="wide">
                  Kind
                </th>
                <th scope="col" class="number">
                  Size
                </th>
                <th scope="col" class="number">
                  Here
                </th>
                <th scope="col" class="number wide">
                  Used
                </th>
                <th scope="col">
                  <span class="unseen">Remove</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {page.blobs.map((blob) => (
                <Row key={blob.digest} blob={blob} now={now} onRemove={() => onRemove(blob)} />
              ))}
            </tbody>
          </table>
        </Scroll>
      )}
      <Pages page={page} onTurn={(offset) => onSearch({ ...search, offset })} />
    </section>
  )
}

function Row({ blob, now, onRemove }: { blob: BlobFacts; now: number; onRemove(): void }) {
  const [first, ...others] = blob.repositories
  return (
    <tr>
      <th scope="row" class="mono wide" title={blob.digest}>
        {shortDigest(blob.digest)}
      </th>
      <td class="name" title={blob.repositories.join(', ')}>
        {first ?? <span class="quiet">none</span>}
        <span class="narrow mono quiet">{shortDigest(blob.digest)}</span>
        {others.length > 0 && <span class="quiet wide"> and {others.length} more</span>}
      </td>
      <td class="wide">{kindOf(blob)}</td>
      <td class="number">{bytes(blob.size)}</td>
      <td class="number">{blob.complete ? 'whole' : `${share(blob.bytes, blob.size)}%`}</td>
      <td class="number wide">{ago(blob.usedAt, now)}</td>
      <td class="number">
        <button type="button" class="plain" onClick={onRemove} aria-label={`Remove ${shortDigest(blob.digest)}`}>
          Remove
        </button>
      </td>
    </tr>
  )
}

/** What a media type says, without what all of them say. */
export function kindOf({ kind, mediaType = '' }: Pick<BlobFacts, 'kind' | 'mediaType'>): string {
  if (kind === 'manifest') return /list|index/.test(mediaType) ? 'index' : 'manifest'
  return /config|container\.image\.v1/.test(mediaType) ? 'config' : /layer|diff/.test(mediaType) ? 'layer' : 'blob'
}

function Pages({ page, onTurn }: { page: BlobPage; onTurn(offset: number): void }) {
  const { offset, total, blobs } = page
  if (total <= pageLength) return null
  return (
    <nav class="pages" aria-label="Pages of blobs">
      <button type="button" disabled={offset === 0} onClick={() => onTurn(Math.max(0, offset - pageLength))}>
        Newer
      </button>
      <span class="quiet">
        {offset + 1} to {offset + blobs.length} of {count(total, 'blob')}
      </span>
      <button type="button" disabled={offset + pageLength >= total} onClick={() => onTurn(offset + pageLength)}>
        Older
      </button>
    </nav>
  )
}
