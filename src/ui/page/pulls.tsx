import type { DownloadFacts } from '../../admin/view.ts'
import { Bar } from './bar.tsx'
import type { Pulling } from './facts.ts'
import { labelOf, source } from './picture.ts'
import { held, type Pull, pullsOf } from './pulls-of.ts'
import { bytes, count, rate, share, shortDigest, span } from './words.ts'

export function Pulls({ downloads, others }: { downloads: readonly DownloadFacts[]; others: readonly Pulling[] }) {
  const pulls = pullsOf(downloads)
  return (
    <section class="card pulls" aria-labelledby="pulls">
      <div class="head">
        <h2 id="pulls">Pulls in progress</h2>
      </div>
      {pulls.length + others.length === 0 ? (
        <p class="empty">Nothing is being fetched. A pull through this node, or another one, shows up here.</p>
      ) : (
        <ul class="list">
          {pulls.map((pull) => (
            <OnePull key={pull.name} pull={pull} />
          ))}
        </ul>
      )}
      {others.length > 0 && <Others others={others} />}
    </section>
  )
}

/** Enough to see how it goes: all of them are in the picture. */
const mostOthers = 12

function Others({ others }: { others: readonly Pulling[] }) {
  return (
    <>
      <h3>On other hosts</h3>
      <ul class="layers">
        {others.slice(0, mostOthers).map((host) => (
          <li key={host.id} class="layer">
            <span>{labelOf(host)}</span>
            <Bar name={`On ${labelOf(host)}`} done={host.have} fromSource={0} size={host.size} />
            <span class="number">{share(host.have, host.size)}%</span>
            <span class="number">{rate(host.rate)}</span>
          </li>
        ))}
      </ul>
      {others.length > mostOthers && <p class="more quiet">and {count(others.length - mostOthers, 'host')} more</p>}
    </>
  )
}

function OnePull({ pull }: { pull: Pull }) {
  const { name, downloads, done, size, rate: speed, parents, left } = pull
  const from = [parents > 0 && count(parents, 'node'), pull.fromSource > 0 && 'the source']
    .filter(Boolean)
    .join(' and ')
  return (
    <li>
      <div class="line">
        <strong class="name">{name.replace(/^docker\.io\/(library\/)?/, '')}</strong>
        <span class="number">{rate(speed)}</span>
      </div>
      <Bar name={`Of ${name}`} done={done} fromSource={pull.fromSource} size={size} />
      <p class="line small quiet">
        <span>
          {bytes(done)} of {size > 0 ? bytes(size) : 'what is not known yet'}
          {from && `, from ${from}`}
        </span>
        <span class="number">{left === undefined ? '' : `${span(left)} left`}</span>
      </p>
      {downloads.length > 1 && (
        <details>
          <summary>{count(downloads.length, 'layer')}</summary>
          <ul class="layers">
            {downloads.map((download) => (
              <Layer key={download.digest} download={download} />
            ))}
          </ul>
        </details>
      )}
    </li>
  )
}

function Layer({ download }: { download: DownloadFacts }) {
  const { digest, size = 0, rate: speed, parents } = download
  return (
    <li class="layer">
      <span class="mono">{shortDigest(digest)}</span>
      <Bar
        name={`Of layer ${shortDigest(digest)}`}
        done={held(download)}
        fromSource={parents.find(({ id }) => id === source)?.bytes ?? 0}
        size={size}
      />
      <span class="number">{share(held(download), size)}%</span>
      <span class="number">{rate(speed)}</span>
    </li>
  )
}
