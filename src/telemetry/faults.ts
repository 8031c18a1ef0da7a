/** What went wrong on a node, for people: how often, and what it said of late. */
import type { Clock } from '../clock.ts'
import type { Fields, LogLevel } from './log.ts'
import type { Metrics } from './metrics.ts'
import { secretKeys } from './pino.ts'

export interface Said {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly level: 'warn' | 'error'
  readonly message: string
  /** `reason timed out, node 12D3Ko...` */
  readonly details: string
}

const mostLines = 50
const mostDetails = 300

/** The last warnings and errors that were logged. */
export class Recent {
  readonly #clock: Pick<Clock, 'wall'>
  readonly #lines: Said[] = []

  constructor(clock: Pick<Clock, 'wall'>) {
    this.#clock = clock
  }

  add(level: LogLevel, message: string, fields: Fields = {}): void {
    if (level !== 'warn' && level !== 'error') return
    this.#lines.push({ at: this.#clock.wall(), level, message, details: detailsOf(fields) })
    if (this.#lines.length > mostLines) this.#lines.shift()
  }

  /** Newest first. */
  list(): Said[] {
    return this.#lines.toReversed()
  }
}

/** Only what is one word or sentence: what is deeper is for who reads the log. */
function detailsOf(fields: Fields): string {
  const parts = Object.entries(fields).flatMap(([key, value]) => {
    if (secretKeys.includes(key)) return []
    const text = value instanceof Error ? value.message : value
    return ['string', 'number', 'boolean'].includes(typeof text) ? [`${key} ${text}`] : []
  })
  const details = parts.join(', ')
  return details.length > mostDetails ? `${details.slice(0, mostDetails - 1)}…` : details
}

export interface FaultCount {
  readonly what: string
  readonly count: number
}

interface Reading {
  get(): Promise<{ values: { value: number; labels: Partial<Record<string, string | number>> }[] }>
}

/** Since the node started, the most frequent first; what did not happen is left out. */
export async function faultCounts(metrics: Metrics): Promise<FaultCount[]> {
  const found: FaultCount[] = []
  const add = async (counter: Reading, what: (labels: Record<string, string>) => string | undefined) => {
    for (const { value, labels } of (await counter.get()).values) {
      const words = value > 0 ? what(labels as Record<string, string>) : undefined
      if (words !== undefined) found.push({ what: words, count: value })
    }
  }
  await add(metrics.piecesRejected, ({ reason }) => `Pieces of other nodes that were wrong (${reason})`)
  await add(metrics.piecesDamaged, () => 'Pieces on the disk that were wrong')
  await add(metrics.peersBanned, () => 'Nodes banned')
  await add(metrics.peerRefused, ({ reason }) => `Requests on the peer port refused (${reason})`)
  await add(metrics.notServed, ({ code }) => `Requests left to the registry (${code})`)
  await add(metrics.schedulersSilent, () => 'Questions that no scheduler answered')
  // 401 is how registries ask for a token, and 404 how they say that there is no such tag.
  const usual = (status = '') => /^[23]/.test(status) || status === '401' || status === '404'
  await add(metrics.sourceRequests, ({ source, status }) =>
    usual(status) ? undefined : `Answers of ${source}: ${status}`,
  )
  return found.sort((a, b) => b.count - a.count || a.what.localeCompare(b.what))
}
