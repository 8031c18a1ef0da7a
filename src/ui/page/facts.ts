/** What the page knows of its node, as the API tells it. */
import type {
  BanFacts,
  BlobPage,
  FaultFacts,
  HistoryFacts,
  MemberFacts,
  NodeFacts,
  SwarmFacts,
  Transfers,
} from '../../admin/view.ts'

export interface Facts {
  readonly node?: NodeFacts
  readonly members?: readonly MemberFacts[]
  readonly transfers?: Transfers
  readonly swarms?: readonly SwarmFacts[]
  readonly blobs?: BlobPage
  readonly bans?: readonly BanFacts[]
  readonly faults?: FaultFacts
  readonly history?: HistoryFacts
}

/** What flows from one node, or from the source, to another. */
export interface Flow {
  readonly from: string
  readonly to: string
  /** Bytes per second. */
  readonly rate: number
}

/** Stands for all sources together. */
export const source = 'source'

/** Less is what is left of a measure that forgets, not something that moves. */
const noticed = 1024

/** Who sends to whom, as far as this node takes part in it. */
export function ownFlows(self: string, { downloads, uploads }: Transfers): Flow[] {
  const sums = new Map<string, { from: string; to: string; rate: number }>()
  const add = (from: string, to: string, rate: number) => {
    const known = sums.get(`${from} ${to}`)
    if (known) known.rate += rate
    else sums.set(`${from} ${to}`, { from, to, rate })
  }
  for (const { parents } of downloads) for (const { id, rate } of parents) add(id, self, rate)
  for (const { to, rate } of uploads) if (to !== undefined) add(self, to, rate)
  return [...sums.values()].filter(({ rate }) => rate >= noticed)
}
