/** One line of `shoal status --watch` where there is no terminal to draw on: for files, and for grep. */
import prettyBytes from 'pretty-bytes'
import type { StatusFacts } from './status-text.ts'

export function statusLine({ node, members, transfers, bans, mounted }: StatusFacts, wall: number): string {
  const { rates, store } = node
  const perSecond = (count: number) => `${prettyBytes(Math.round(count), { binary: true }).replace(' ', '')}/s`
  return [
    new Date(wall).toISOString(),
    node.notReady.length === 0 ? 'ready' : `not ready (${node.notReady.join('; ')})`,
    `members=${members.length}`,
    `downloads=${transfers.downloads.length}`,
    `uploads=${transfers.uploads.length}`,
    `from-peers=${perSecond(rates.received)}`,
    `from-sources=${perSecond(rates.source)}`,
    `to-peers=${perSecond(rates.sent)}`,
    `store=${prettyBytes(store.disk, { binary: true }).replace(' ', '')}`,
    ...(mounted && mounted.mounts.length > 0 ? [`mounts=${mounted.mounts.length}`] : []),
    ...(bans.length > 0 ? [`banned=${bans.length}`] : []),
    ...(store.trouble === undefined ? [] : [`trouble: ${store.trouble}`]),
  ].join('  ')
}
