/**
 * Where the bytes of a download came from, for the client that downloads: it makes up an id, shows it with each of its
 * requests, and asks. Longer than a download nothing is remembered of it, and not of many.
 */

import type { Provenance } from '../content/content.ts'
import { lru } from '../lru.ts'

export const downloadHeader = 'shoal-download'
export const sharesPath = '/shoal/download'

const idPattern = /^[A-Za-z0-9-]{16,64}$/
const mostDownloads = 1024

export function isDownloadId(text: string): boolean {
  return idPattern.test(text)
}

interface Download {
  readonly ended: Provenance
  /** What was sent so far of each blob that is being sent. */
  readonly live: Set<() => Provenance>
}

export class Shares {
  readonly #downloads = lru<string, Download>(mostDownloads)

  /** A blob is being sent; call the result when that is over. Nothing without an id. */
  sending(id: string | undefined, sent: () => Provenance): () => void {
    if (id === undefined || !isDownloadId(id)) return () => {}
    const download = this.#downloads.get(id) ?? { ended: { store: 0, swarm: 0, source: 0 }, live: new Set() }
    this.#downloads.set(id, download)
    download.live.add(sent)
    return () => {
      if (download.live.delete(sent)) add(download.ended, sent())
    }
  }

  of(id: string): Provenance {
    const sum = { store: 0, swarm: 0, source: 0 }
    const download = this.#downloads.get(id)
    if (!download) return sum
    add(sum, download.ended)
    for (const sent of download.live) add(sum, sent())
    return sum
  }
}

function add(sum: Provenance, more: Provenance): void {
  sum.store += more.store
  sum.swarm += more.swarm
  sum.source += more.source
}
