/** What `shoal status` prints for people: from facts to text, nothing else. */

import Table from 'cli-table3'
import prettyBytes from 'pretty-bytes'
import type { PreheatSummary } from '../admin/preheats.ts'
import type { BanFacts, BlobPage, MemberFacts, NodeFacts, Transfers } from '../admin/view.ts'
import type { MountedFacts } from '../lazy/mounted.ts'
import { rowsOf } from '../lazy/mounted-rows.ts'
import { shortDigest } from '../oci/digest.ts'
import { largestUnits } from '../span.ts'
import { countsText } from './preheat-text.ts'

export interface StatusFacts {
  readonly node: NodeFacts
  readonly members: readonly MemberFacts[]
  /** The page of those used last. */
  readonly blobs: BlobPage
  readonly transfers: Transfers
  readonly bans: readonly BanFacts[]
  /** Lately asked for; absent where nobody can say. */
  readonly preheats?: readonly PreheatSummary[]
  /** Absent where the node is too old to be told of any. */
  readonly mounted?: MountedFacts
}

export function renderStatus({ node, members, blobs, transfers, bans, preheats = [], mounted }: StatusFacts): string {
  return [
    describe(node),
    section(
      `Members (${members.length})`,
      ['node', 'address', 'modes', 'zone', 'version', 'heard'],
      members.map((member) => [
        shortNode(member.id),
        member.url,
        member.modes.join(','),
        member.zone ?? '',
        member.version,
        member.self ? 'this node' : `${span(member.secondsSinceHeard)} ago`,
      ]),
    ),
    ...(node.sources ?? []).map(({ registry, endpoints }) =>
      section(
        `Endpoints of ${registry} (${endpoints.length})`,
        ['url', 'state', 'since', 'reason'],
        endpoints.map(({ url, state, since = '', reason = '' }) => [url, state, since, reason]),
      ),
    ),
    section(
      blobs.total > blobs.blobs.length
        ? `Blobs (the last ${blobs.blobs.length} of ${blobs.total})`
        : `Blobs (${blobs.total})`,
      ['digest', 'size', 'here', 'kind', 'repository'],
      blobs.blobs.map((blob) => [
        shortDigest(blob.digest),
        bytes(blob.size),
        blob.complete ? (blob.borrowed ? 'whole, of the engine' : 'whole') : share(blob.bytes, blob.size),
        blob.kind,
        blob.repositories[0] ?? '',
      ]),
    ),
    section(
      `Downloads (${transfers.downloads.length})`,
      ['digest', 'size', 'here', 'rate', 'from'],
      transfers.downloads.map((download) => [
        shortDigest(download.digest),
        download.size === undefined ? '?' : bytes(download.size),
        download.size === undefined ? bytes(download.bytes) : share(download.bytes, download.size),
        `${bytes(download.rate)}/s`,
        download.parents.map(({ id, rate }) => `${shortNode(id)} ${bytes(rate)}/s`).join(', '),
      ]),
    ),
    section(
      `Uploads (${transfers.uploads.length})`,
      ['digest', 'sent', 'rate', 'to'],
      transfers.uploads.map((upload) => [
        shortDigest(upload.digest),
        bytes(upload.bytes),
        `${bytes(upload.rate)}/s`,
        upload.to === undefined ? '?' : shortNode(upload.to),
      ]),
    ),
    ...(mounted ? mountLines(mounted) : []),
    ...preheatLines(preheats),
    // Ids whole: they are what lifts a ban.
    ...(bans.length === 0
      ? []
      : [
          section(
            `Banned nodes (${bans.length})`,
            ['node', 'until', 'reason'],
            bans.map((ban) => [ban.node, ban.until, ban.reason]),
          ),
        ]),
  ].join('\n\n')
}

function mountLines(mounted: MountedFacts): string[] {
  const rows = rowsOf(mounted).map(({ where, what, size, here, fetched, deduped, complete, notes }) => [
    where,
    what,
    bytes(size),
    complete ? 'all' : share(here, size),
    bytes(fetched),
    bytes(deduped),
    notes.join('; '),
  ])
  if (rows.length === 0) return []
  // Unpacked bytes but for those that were fetched; what other layers had was not fetched again and is not stored again.
  return [section(`Mounts (${rows.length})`, ['at', 'what', 'size', 'here', 'fetched', 'saved', 'notes'], rows)]
}

/** Those under way: what is over is for `shoal preheat --list`. */
function preheatLines(preheats: readonly PreheatSummary[]): string[] {
  const running = preheats.filter(({ state }) => state === 'pending' || state === 'running')
  if (running.length === 0) return []
  const rows = running.map((preheat) => [
    String(preheat.id),
    preheat.what[0] ?? '',
    countsText(preheat),
    `${share(preheat.bytes, preheat.total)} of ${bytes(preheat.total)}`,
  ])
  return [section(`Preheats (${running.length} under way)`, ['id', 'what', 'nodes', 'there'], rows)]
}

function keyed({ key, alsoAdmit = [] }: NodeFacts['cluster']): string {
  const also = alsoAdmit.length > 0 ? `, and ${alsoAdmit.join(', ')} admits too` : ''
  return `keyed${key ? ` (${key}${also})` : ''}`
}

function describe(node: NodeFacts): string {
  const { store, scrub, rates, addresses, cluster } = node
  const limit = store.limit === undefined ? '' : ` of ${bytes(store.limit)}`
  const open = 'open: whoever reaches this node may join; `shoal keygen` makes a key for --cluster-key-file'
  return [
    `Node ${node.id}`,
    `  state    ${node.notReady.length === 0 ? 'ready' : `not ready: ${node.notReady.join('; ')}`}`,
    ...(store.trouble === undefined ? [] : [`  trouble  ${store.trouble}`]),
    ...(node.state?.trouble === undefined ? [] : [`  trouble  no tags and jobs: ${node.state.trouble}`]),
    `  version  ${node.version} (${node.commit}), up ${span(node.uptimeSeconds)}`,
    `  modes    ${node.modes.join(', ')}${node.zone ? `; zone ${node.zone}` : ''}`,
    `  cluster  ${cluster.admission === 'keyed' ? keyed(cluster) : open}${cluster.encrypted ? '; encrypted' : ''}`,
    `  mirror   ${addresses.registry}`,
    `  peers    ${addresses.peer}, ${addresses.p2p.join(', ')}`,
    `  store    ${bytes(store.disk)}${limit} on disk, ${store.complete} whole, ${store.partial} in part, in ${node.dataDir}`,
    ...engineLines(node),
    ...(node.state === undefined ? [] : [`  keeps    tags and jobs in ${node.state.where}`]),
    ...(node.owed === undefined || node.owed.waiting === 0
      ? []
      : [
          `  owes     ${node.owed.waiting} to backends, the oldest for ${span(node.owed.oldestSeconds)}: GET /api/v1/home says why`,
        ]),
    `  scrub    ${scrub.due} ${scrub.due === 1 ? 'blob' : 'blobs'} due, ${scrub.damaged} wrong ${scrub.damaged === 1 ? 'piece' : 'pieces'} found`,
    `  rates    ${bytes(rates.received)}/s from peers, ${bytes(rates.source)}/s from sources, ${bytes(rates.sent)}/s to peers`,
  ].join('\n')
}

/** Nothing where there is no engine that keeps blobs. */
function engineLines({ engine, store: { borrowed = { blobs: 0, bytes: 0 } } }: NodeFacts): string[] {
  if (engine === undefined || engine.folders.length === 0) return []
  const { blobs } = borrowed
  const folders = engine.folders.map(({ path, trouble }) => (trouble === undefined ? path : `${path} (${trouble})`))
  const held = `${blobs} ${blobs === 1 ? 'blob' : 'blobs'} of ${bytes(borrowed.bytes)} ${blobs === 1 ? 'is' : 'are'} read from its files`
  return [`  engine   ${held}, in ${folders.join(' and ')}`]
}

function section(title: string, head: string[], rows: string[][]): string {
  if (rows.length === 0) return `${title.replace(/ \(0\)$/, '')}: none`
  const blank = {
    top: '',
    'top-mid': '',
    'top-left': '',
    'top-right': '',
    bottom: '',
    'bottom-mid': '',
    'bottom-left': '',
  }
  const lines = {
    'bottom-right': '',
    left: ' ',
    'left-mid': '',
    mid: '',
    'mid-mid': '',
    right: '',
    'right-mid': '',
    middle: ' ',
  }
  const table = new Table({
    head,
    chars: { ...blank, ...lines },
    style: { head: [], border: [], 'padding-left': 1, 'padding-right': 0 },
  })
  table.push(...rows)
  const text = table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
  return [title, ...text].join('\n')
}

/** The end of a peer id is what differs; its beginning is the same for all. */
function shortNode(id: string): string {
  return id.length > 12 ? `..${id.slice(-8)}` : id
}

function bytes(count: number): string {
  return prettyBytes(Math.round(count), { binary: true })
}

/** Rounded down: what is not whole is not at 100%. */
function share(part: number, whole: number): string {
  return `${whole === 0 ? 0 : Math.floor((part / whole) * 100)}%`
}

/** `3d 4h`, `5m 2s`, `0s`: the two largest units. */
function span(seconds: number): string {
  return largestUnits(seconds)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ')
}
