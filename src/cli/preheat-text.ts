/** What `shoal preheat` says: from facts to text, nothing else. */
import prettyBytes from 'pretty-bytes'
import type { PreheatFacts, PreheatSummary } from '../admin/preheats.ts'
import { largestUnits } from '../span.ts'

type NodeFacts = PreheatFacts['nodes'][number]

/** `3 done, 1 running`; the states that there are, in the order in which they come. */
export function countsText({ counts }: Pick<PreheatSummary, 'counts'>): string {
  const order = ['done', 'running', 'pending', 'failed', 'cancelled'] as const
  const said = order.filter((state) => counts[state] > 0).map((state) => `${counts[state]} ${state}`)
  return said.join(', ') || 'no node yet'
}

export function summaryText(facts: PreheatSummary): string {
  const { id, state, what, reason, bytes: here, total } = facts
  const names = what.length > 3 ? `${what.slice(0, 3).join(' ')} and ${what.length - 3} more` : what.join(' ')
  const amount = state === 'done' ? bytes(total) : `${bytes(here)} of ${bytes(total)}`
  return `preheat ${id} ${state}: ${names}; nodes: ${countsText(facts)}; ${amount}${reason ? `; ${reason}` : ''}`
}

export function detailText(facts: PreheatFacts): string {
  return [
    summaryText(facts),
    `  to ${targetText(facts)}; platforms: ${facts.platforms === 'all' ? 'all' : facts.platforms.join(', ')}${pinText(facts)}`,
    ...facts.nodes.map((node) => `  ${nodeText(node)}`),
  ].join('\n')
}

export function listText(preheats: readonly PreheatSummary[]): string {
  return preheats.length === 0 ? 'there are no preheats' : preheats.map(summaryText).join('\n')
}

function targetText({ scope, zone, share }: PreheatFacts): string {
  const whom = scope === 'all' ? 'all nodes' : 'seeds'
  const part = share === undefined ? '' : `${Math.round(share * 1000) / 10}% of `
  return `${part}${whom}${zone === undefined ? '' : ` in ${zone}`}`
}

function pinText({ createdAt, pinSeconds }: PreheatFacts): string {
  if (pinSeconds === undefined) return ''
  return `; pinned until ${new Date(Date.parse(createdAt) + 1000 * pinSeconds).toISOString()}`
}

export function nodeText({ node, state, bytes: here, total, reason }: NodeFacts): string {
  const amount = total === undefined ? '' : `  ${bytes(here)} of ${bytes(total)}`
  return `${node}  ${state}${amount}${reason ? `  ${reason}` : ''}`
}

export interface BarLine {
  readonly name: string
  readonly bytes: number
  readonly total: number
  readonly note: string
}

/** A line of the picture: `..GqvT8xYz ######....  61%  164 MiB of 268 MiB`. */
export function barText({ name, bytes: here, total, note }: BarLine, bar: string): string {
  const percent = total === 0 ? 0 : Math.floor((100 * here) / total)
  const amount = total === 0 ? [] : [`${String(percent).padStart(3)}%  ${bytes(here)} of ${bytes(total)}`]
  return [`${name.padEnd(10)} ${bar}`, ...amount, ...(note ? [note] : [])].join('  ')
}

/** What there is to say of a node beside how far it is. */
export function noteOf({ state, reason }: Pick<NodeFacts, 'state' | 'reason'>): string {
  if (state === 'running' || state === 'done') return reason ?? ''
  return reason ? `${state}: ${reason}` : state
}

/** The end of a node's id is what differs. */
export function shortNode(id: string): string {
  return id.length > 12 ? `..${id.slice(-8)}` : id
}

export function spanText(seconds: number): string {
  return largestUnits(Math.round(seconds))
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ')
}

function bytes(count: number): string {
  return prettyBytes(count, { binary: true })
}
