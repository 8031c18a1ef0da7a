/** What the page knows of its node, as the API tells it. */
import type { PreheatSummary } from '../../admin/preheats.ts'
import type {
  BanFacts,
  BlobPage,
  ClusterFacts,
  ClusterHistoryFacts,
  FaultFacts,
  HistoryFacts,
  MemberFacts,
  NodeFacts,
  Transfers,
} from '../../admin/view.ts'
import type { MountedFacts } from '../../lazy/mounted.ts'

import { byHost, type Flow, type Someone, source } from './picture.ts'
import { pullsOf } from './pulls-of.ts'
import { count } from './words.ts'

export interface Facts {
  readonly node?: NodeFacts
  readonly members?: readonly MemberFacts[]
  readonly transfers?: Transfers
  readonly cluster?: ClusterFacts
  readonly clusterHistory?: ClusterHistoryFacts
  readonly blobs?: BlobPage
  readonly bans?: readonly BanFacts[]
  readonly faults?: FaultFacts
  readonly history?: HistoryFacts
  readonly preheats?: readonly PreheatSummary[]
  readonly mounted?: MountedFacts
}

/** Less is what is left of a measure that forgets, not something that moves. */
const noticed = 1024

/** Who sends to whom: what this node sees itself, and what the others say. */
export function flowsOf({ node, transfers, cluster }: Facts): Flow[] {
  if (!node) return []
  const flows = new Map<string, Flow>()
  const add = (from: string, to: string, rate: number) => {
    // Both ends tell of it, a moment apart.
    const known = flows.get(`${from} ${to}`)?.rate ?? 0
    if (rate >= noticed && rate > known) flows.set(`${from} ${to}`, { from, to, rate })
  }
  const own = new Map<string, number>()
  const { downloads = [], uploads = [] } = transfers ?? {}
  for (const { id, rate } of downloads.flatMap(({ parents }) => parents)) own.set(id, (own.get(id) ?? 0) + rate)
  for (const [from, rate] of own) add(from, node.id, rate)
  const sent = new Map<string, number>()
  for (const { to, rate } of uploads) if (to !== undefined) sent.set(to, (sent.get(to) ?? 0) + rate)
  for (const [to, rate] of sent) add(node.id, to, rate)
  // What this node receives it knows better, and sooner.
  for (const { id, flows: told } of cluster?.nodes ?? []) {
    if (id !== node.id) for (const { from, rate } of told) add(from, id, rate)
  }
  return [...flows.values()]
}

/** Members, and others that this node has to do with, each with how far it is, as far as that is known here. */
export function nodesOf({ node, members = [], transfers, cluster }: Facts): Someone[] {
  const progress = new Map<string, number>()
  for (const { id, pulling } of cluster?.nodes ?? []) {
    if (pulling) progress.set(id, pulling.size === 0 ? 0 : pulling.have / pulling.size)
  }
  const own = pullsOf(transfers?.downloads ?? [])
  if (node) {
    progress.delete(node.id)
    const size = own.reduce((sum, pull) => sum + pull.size, 0)
    if (own.length > 0) progress.set(node.id, size === 0 ? 0 : own.reduce((sum, pull) => sum + pull.done, 0) / size)
  }
  const known = new Map<string, Someone>()
  for (const { id, url, zone } of (transfers?.downloads ?? []).flatMap(({ parents }) => parents)) {
    if (id !== source) known.set(id, { id, ...(url ? { url } : {}), ...(zone ? { zone } : {}), self: false })
  }
  // A mere peer is a member to schedulers only.
  for (const { id, url, zone, self } of members) known.set(id, { id, url, ...(zone ? { zone } : {}), self })
  return [...known.values()].map((each) => {
    const share = progress.get(each.id)
    return share === undefined ? each : { ...each, progress: Math.min(1, share) }
  })
}

/** Another host that fetches something. */
export interface Pulling {
  readonly id: string
  readonly url: string | undefined
  readonly size: number
  readonly have: number
  /** Bytes per second, from wherever. */
  readonly rate: number
}

/** Those that fetch, by address; this node left out, of which more is known. */
export function pullingOf({ node, members = [], cluster }: Facts): Pulling[] {
  const urls = new Map(members.map(({ id, url }) => [id, url]))
  return (cluster?.nodes ?? [])
    .flatMap(({ id, pulling, rates }) =>
      pulling && id !== node?.id ? [{ id, url: urls.get(id), ...pulling, rate: rates.received + rates.source }] : [],
    )
    .sort((a, b) => byHost(a).localeCompare(byHost(b)))
}

/** Whose traffic is not known, in a sentence. */
export function missingOf({ silent, unasked }: ClusterFacts): string | undefined {
  const parts = [
    silent > 0 && `${count(silent, 'member')} did not say what moves there`,
    unasked > 0 && `${count(unasked, 'member')} more ${unasked === 1 ? 'was' : 'were'} not asked`,
  ].filter((part) => part !== false)
  return parts.length === 0 ? undefined : `${parts.join('; ')}.`
}
