/** What seeds ask each other so that each has a copy of what the others know of tags and of what repositories contain. */
import { z } from 'zod'
import { nodeIdSchema } from '../cluster/node-info.ts'
import { digestSchema as digest } from '../oci/schemas.ts'
import type { ContentChange, TagChange } from '../state/state.ts'
import type { Call } from '../wire/calls.ts'
import { repositorySchema, tagSchema } from '../wire/messages.ts'

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
const short = z.string().max(512)
const mostChanges = 500

/** The numbers after which changes are wanted, each of the database `of`; of another one: from its beginning. */
const asked = z.object({ of: z.string().max(64).optional(), tags: count, contents: count })
export type ChangesAsked = z.infer<typeof asked>

const tagChange: z.ZodType<TagChange> = z.object({
  repository: repositorySchema,
  tag: tagSchema,
  digest: digest.exactOptional(),
  mediaType: short,
  size: count,
  at: count,
  seenAt: count.exactOptional(),
  by: short,
  number: count,
})
const contentChange: z.ZodType<ContentChange> = z.object({
  repository: repositorySchema,
  digest,
  content: z
    .object({
      digest,
      kind: z.enum(['manifest', 'blob']),
      mediaType: short,
      size: count,
      at: count,
      subject: digest.exactOptional(),
      artifactType: short.exactOptional(),
      annotations: z.record(z.string(), z.string()).exactOptional(),
      parts: z.array(digest).exactOptional(),
    })
    .exactOptional(),
  saidAt: count,
  number: count,
})

const told = z.object({
  /** Names the database that the numbers are of. */
  of: z.string().max(64),
  tags: z.array(tagChange).max(mostChanges),
  contents: z.array(contentChange).max(mostChanges),
  /** There is more after these. */
  more: z.boolean(),
  /** The last numbers that there are; older releases do not say. */
  last: z.object({ tags: count, contents: count }).exactOptional(),
})
export type ChangesTold = z.infer<typeof told>

export const changesCall: Call<ChangesAsked, ChangesTold> = { name: 'changes', request: asked, reply: told }

/** The node named has something new: answered once the receiver has it. */
const news = z.object({ node: nodeIdSchema })
const heard = z.object({})
export const newsCall: Call<{ node: string }, object> = { name: 'news', request: news, reply: heard }

/** An answer may have a mebibyte, whatever is in it. */
const mostBytes = 512 * 1024

/** As many of the changes as fit, contents before tags: a tag is not known before what it points to. Pure. */
export function fitting(
  contents: readonly ContentChange[],
  tags: readonly TagChange[],
): { contents: ContentChange[]; tags: TagChange[]; all: boolean } {
  let room = mostBytes
  const fit = <T>(changes: readonly T[]) => {
    const taken: T[] = []
    for (const change of changes) {
      room -= JSON.stringify(change).length
      if (room < 0 || taken.length === mostChanges) return { taken, all: false }
      taken.push(change)
    }
    return { taken, all: changes.length < mostChanges }
  }
  const bare = contents.map(withoutBulk)
  const first = fit(bare)
  const second = first.all ? fit(tags) : { taken: [], all: false }
  return { contents: first.taken, tags: second.taken, all: first.all && second.all }
}

/** Of an index of tens of thousands of images, what it is and not what is in it: that is read again from itself. */
function withoutBulk(change: ContentChange): ContentChange {
  if (!change.content || JSON.stringify(change).length < mostBytes / 2) return change
  const { annotations: _, parts: __, ...content } = change.content
  return { ...change, content }
}
