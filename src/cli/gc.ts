import type { Command } from 'commander'
import prettyBytes from 'pretty-bytes'
import { type EvictionFacts, evictionSchema, type KeptFacts } from '../admin/view.ts'
import { ConfigError } from '../config/problem.ts'
import { size } from '../config/values.ts'
import { shortDigest } from '../oci/digest.ts'
import { addClientFlags, clientOf } from './client-flags.ts'
import type { Context } from './context.ts'

/** `shoal gc` */
export function gc(program: Command, context: Context): void {
  const command = program
    .command('gc')
    .description('make a node drop the blobs that were not used for the longest, and what rules do not keep')
  addClientFlags(command)
    .option('--to <size>', 'what blobs may take afterwards (default: what --cache-size of the node says)')
    .option('--dry-run', 'remove nothing, and say what would go, what would stay, and why')
    .option('--json', 'as JSON, as the API has it')
    .action(async (options: { to?: string; dryRun?: boolean; json?: boolean }) => {
      const path = `/api/v1/eviction${options.to === undefined ? '' : `?to=${bytesOf(options.to)}`}`
      // Rules may ask backends about each image.
      const client = clientOf(command, context).patient()
      const facts = options.dryRun ? await client.get(path, evictionSchema) : await client.post(path, evictionSchema)
      context.out(options.json ? JSON.stringify(facts, null, 2) : render(facts))
    })
}

/** @throws {ConfigError} */
function bytesOf(text: string): number {
  const parsed = text === '0' ? { bytes: 0 } : size.safeParse(text).data
  if (parsed && 'bytes' in parsed) return parsed.bytes
  throw new ConfigError([`--to "${text}": expected a size such as 20GiB or 500MB, or 0 for nothing that can go`])
}

function render({ done, limit, remove, keep, missing, pushed = [], trouble }: EvictionFacts): string {
  const sum = (blobs: EvictionFacts['keep']) => bytes(blobs.reduce((total, blob) => total + blob.bytes, 0))
  const line = (word: string) => (blob: EvictionFacts['keep'][number]) =>
    `  ${word}  ${shortDigest(blob.digest)}  ${bytes(blob.bytes)}, last used ${blob.usedAt}: ${blob.reason}`
  const gone = done ? 'removed' : 'would remove'
  return [
    `${gone} ${remove.length} blobs (${sum(remove)}), ${done ? 'kept' : 'would keep'} ${keep.length} (${sum(keep)})` +
      (limit === undefined ? '; this node has no limit' : `; the limit is ${bytes(limit)}`),
    ...remove.map(line(done ? 'gone' : 'goes')),
    ...(done ? [] : keep.map(line('stays'))),
    ...pushed.flatMap((kept) => renderKept(kept, done)),
    ...(trouble ? [`rules ${done ? 'were not' : 'could not be'} applied to what was pushed: ${trouble}`] : []),
    ...(missing > 0 ? [`${bytes(missing)} more than the limit stay: they are in use or pinned`] : []),
  ].join('\n')
}

function renderKept({ repository, rule, remove, keep }: KeptFacts, done: boolean): string[] {
  const line = (word: string) => (item: KeptFacts['keep'][number]) =>
    `  ${word}  ${item.kind} ${item.kind === 'tag' ? item.what : item.what.slice(0, 19)}${item.bytes === undefined ? '' : `  ${bytes(item.bytes)}`}: ${item.reason}`
  return [
    `${repository} by "${rule}": ${done ? 'removed' : 'would remove'} ${counted(remove)}, ${done ? 'kept' : 'would keep'} ${counted(keep)}`,
    ...remove.map(line(done ? 'gone' : 'goes')),
    ...(done ? [] : keep.map(line('stays'))),
  ]
}

/** `2 tags, 1 manifest`; `nothing` */
function counted(items: KeptFacts['keep']): string {
  const counts = (['tag', 'manifest', 'blob'] as const).flatMap((kind) => {
    const count = items.filter((item) => item.kind === kind).length
    return count === 0 ? [] : [`${count} ${kind}${count === 1 ? '' : 's'}`]
  })
  return counts.join(', ') || 'nothing'
}

function bytes(count: number): string {
  return prettyBytes(count, { binary: true })
}
