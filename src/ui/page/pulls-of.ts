/** Downloads as pulls: the layers of one image together. Pure. */
import type { DownloadFacts } from '../../admin/view.ts'
import { source } from './picture.ts'

export interface Pull {
  /** What is pulled: `docker.io/library/debian`; without a name, the digest. */
  readonly name: string
  readonly downloads: readonly DownloadFacts[]
  /** Bytes of it that are here. */
  readonly done: number
  readonly fromSource: number
  /** What is known of it: the size of a layer that nobody has told yet is missing. */
  readonly size: number
  readonly rate: number
  readonly parents: number
  /** Seconds to go; absent while nothing moves. */
  readonly left?: number
}

/** The largest first. */
export function pullsOf(downloads: readonly DownloadFacts[]): Pull[] {
  const groups = Map.groupBy(downloads, ({ repository, digest }) => repository ?? digest)
  return [...groups].map(([name, group]) => pullOf(name, group)).sort((a, b) => b.size - a.size)
}

function pullOf(name: string, group: readonly DownloadFacts[]): Pull {
  const sum = (of: (download: DownloadFacts) => number) => group.reduce((total, download) => total + of(download), 0)
  const done = sum(held)
  const size = sum((download) => download.size ?? 0)
  const rate = sum((download) => download.rate)
  const parents = new Set(group.flatMap((download) => download.parents.map(({ id }) => id)))
  parents.delete(source)
  return {
    name,
    downloads: [...group].sort((a, b) => (b.size ?? 0) - (a.size ?? 0)),
    done,
    fromSource: sum((download) => download.parents.find(({ id }) => id === source)?.bytes ?? 0),
    size,
    rate,
    parents: parents.size,
    ...(rate >= 1 && size > done ? { left: (size - done) / rate } : {}),
  }
}

/** By pieces: what was there before counts too. */
export function held({ size, bytes, pieces }: DownloadFacts): number {
  return size === undefined || pieces.total === 0 ? bytes : Math.round((size * pieces.have) / pieces.total)
}
