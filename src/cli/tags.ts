import { type Command, InvalidArgumentError } from 'commander'
import prettyBytes from 'pretty-bytes'
import {
  type TagEntryFacts,
  type TagPage,
  tagHistorySchema,
  tagPageSchema,
  tagRepositoriesSchema,
  tagSchema,
} from '../admin/tags.ts'
import { duration } from '../config/values.ts'
import type { AdminClient } from './admin-client.ts'
import { addClientFlags, clientOf } from './client-flags.ts'
import type { Context } from './context.ts'

interface TagsFlags {
  readonly history?: boolean
  readonly at?: string
  readonly json?: boolean
}

/** `shoal tags` */
export function tags(program: Command, context: Context): void {
  const command = program
    .command('tags [image]')
    .description('what the tags of a repository point to; of one tag: since when, and before; without a name: where')
  addClientFlags(command)
    .option('--history', 'all that the tag pointed to, the newest first')
    .option(
      '--at <time>',
      'what the tag pointed to then: 2026-11-21, 2026-11-21T14:00:00Z, or so long ago: 24h',
      timeOf,
    )
    .option('--json', 'as JSON, as the API has it')
    .action(async (image: string | undefined, { history, at, json }: TagsFlags) => {
      if (image?.includes('@')) {
        command.error(`shoal: ${image} names a digest, and tags lead to digests: shoal tags ${image.split('@')[0]}`)
      }
      const { repository, tag } = partsOf(image)
      if ((history || at) && tag === undefined) {
        command.error(`shoal: ${history ? '--history' : '--at'} is for one tag: shoal tags ${image ?? 'IMAGE'}:v1`)
      }
      if (history && at) command.error('shoal: --history is of all times, and --at of one: leave one of them out')
      const client = clientOf(command, context)
      const show = <T>(facts: T, render: (facts: T) => string) =>
        context.out(json ? JSON.stringify(facts, null, 2) : render(facts))
      if (repository === undefined) return show(await allRepositories(client), renderRepositories)
      const path = `/api/v1/tags/${encodeURIComponent(repository)}`
      if (tag === undefined) return show(await allTags(client, path), renderTags)
      const name = `${path}/${encodeURIComponent(tag)}`
      if (history) return show(await client.get(`${name}/history?limit=1000`, tagHistorySchema), renderHistory)
      const query = at === undefined ? '' : `?at=${encodeURIComponent(at)}`
      show(await client.get(`${name}${query}`, tagSchema), line)
    })
}

/** Names are checked by the node. */
function partsOf(image: string | undefined): { repository?: string; tag?: string } {
  if (image === undefined) return {}
  const colon = image.lastIndexOf(':')
  if (colon <= image.lastIndexOf('/')) return { repository: image }
  return { repository: image.slice(0, colon), tag: image.slice(colon + 1) }
}

function timeOf(text: string): string {
  const ago = duration.safeParse(text).data
  const time = ago === undefined ? Date.parse(text) : Date.now() - ago
  if (Number.isNaN(time)) {
    throw new InvalidArgumentError('Expected a time such as 2026-11-21T14:00:00Z, or how long ago, such as 24h.')
  }
  return new Date(time).toISOString()
}

async function allTags(client: AdminClient, path: string): Promise<TagPage> {
  let page = await client.get(`${path}?limit=1000`, tagPageSchema)
  const { repository, tags } = page
  while (page.next !== undefined) {
    page = await client.get(`${path}?limit=1000&after=${encodeURIComponent(page.next)}`, tagPageSchema)
    tags.push(...page.tags)
  }
  return { repository, tags }
}

async function allRepositories(client: AdminClient): Promise<{ repositories: string[] }> {
  const path = '/api/v1/tags?limit=1000'
  let page = await client.get(path, tagRepositoriesSchema)
  const { repositories } = page
  while (page.next !== undefined) {
    page = await client.get(`${path}&after=${encodeURIComponent(page.next)}`, tagRepositoriesSchema)
    repositories.push(...page.repositories)
  }
  return { repositories }
}

function renderRepositories({ repositories }: { repositories: string[] }): string {
  return repositories.join('\n') || 'no tags are known'
}

function renderTags({ repository, tags }: TagPage): string {
  return tags.map(line).join('\n') || `no tags are known of ${repository}`
}

function renderHistory({ history }: { history: TagEntryFacts[] }): string {
  return (
    history.map((entry) => `${entry.at}  ${entry.digest ?? 'taken away'}  by ${entry.by}`).join('\n') ||
    'nothing is known of that tag'
  )
}

function line({ tag, digest = '', at, seenAt, size }: TagEntryFacts & { tag: string }): string {
  return `${tag}  ${digest}  since ${at}, seen ${seenAt}; manifest of ${prettyBytes(size, { binary: true })}`
}
