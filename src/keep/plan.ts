/**
 * What of a repository of the cluster's own goes, by a rule: tags that the rule does not keep, then manifests that nothing
 * leads to any more, then blobs that no manifest names. Everything has a reason, for people. Pure.
 */
import type { KeepRule } from '../config/rules.ts'
import { type Digest, shortDigest } from '../oci/digest.ts'
import type { Tag } from '../oci/reference.ts'
import { largestUnits } from '../span.ts'
import type { Content, TagEntry } from '../state/state.ts'

export interface Inventory {
  /** What points to something. */
  readonly tags: readonly { readonly tag: Tag; readonly entry: TagEntry & { readonly digest: Digest } }[]
  readonly contents: readonly Content[]
  /** For what somebody asked that it stays, an operator or a preheat. */
  pinnedFor(digest: Digest): string | undefined
  /** Why it stays though nothing here leads to it. */
  neededFor?(digest: Digest): string | undefined
}

export type Item =
  | {
      readonly kind: 'tag'
      readonly tag: Tag
      readonly entry: TagEntry & { readonly digest: Digest }
      readonly reason: string
    }
  | { readonly kind: 'manifest' | 'blob'; readonly content: Content; readonly reason: string }

export interface KeepPlan {
  /** In this order nothing is ever there whose parts are not. */
  readonly remove: readonly Item[]
  readonly keep: readonly Item[]
}

/** `now`: wall ms. */
export function planKeeping(inventory: Inventory, rule: KeepRule, now: number): KeepPlan {
  const tags = judgeTags(inventory, rule, now)
  const contents = judgeContents(inventory, tags.keep, rule, now)
  return { remove: [...tags.remove, ...contents.remove], keep: [...tags.keep, ...contents.keep] }
}

type Tagged = Extract<Item, { kind: 'tag' }>
type Contained = Extract<Item, { kind: 'manifest' | 'blob' }>

function judgeTags({ tags, pinnedFor }: Inventory, rule: KeepRule, now: number) {
  const [remove, keep]: [Tagged[], Tagged[]] = [[], []]
  const newest = [...tags].sort((a, b) => setAt(b.entry) - setAt(a.entry) || (a.tag < b.tag ? -1 : 1))
  for (const [place, { tag, entry }] of newest.entries()) {
    const age = now - setAt(entry)
    const pin = pinnedFor(entry.digest)
    const stays = (reason: string) => keep.push({ kind: 'tag', tag, entry, reason })
    if (rule.tags === undefined && rule.ageMs === undefined) stays('every tag stays')
    else if (rule.tags !== undefined && place < rule.tags) stays(`one of the ${rule.tags} that were set last`)
    else if (rule.ageMs !== undefined && age < rule.ageMs) stays(`set within ${span(rule.ageMs)}`)
    else if (age < rule.graceMs) stays('set a moment ago')
    else if (pin !== undefined) stays(`pinned for ${pin}`)
    else remove.push({ kind: 'tag', tag, entry, reason: tagReason(rule, place, age) })
  }
  return { remove, keep }
}

/** Who pushes the same again has set it then. */
function setAt({ at, seenAt = at }: TagEntry): number {
  return Math.max(at, seenAt)
}

function tagReason({ tags, ageMs }: KeepRule, place: number, age: number): string {
  const later = tags === undefined ? [] : [`${place} were set later, and ${tags} stay`]
  const older = ageMs === undefined ? [] : [`set ${span(age)} ago, and those of ${span(ageMs)} stay`]
  return [...later, ...older].join('; ')
}

function judgeContents(
  { contents, pinnedFor, neededFor }: Inventory,
  tags: readonly Tagged[],
  rule: KeepRule,
  now: number,
) {
  const reasons = reachable(contents, tags, (content) => {
    const pin = pinnedFor(content.digest)
    if (pin !== undefined) return `pinned for ${pin}`
    return now - content.at < rule.graceMs ? 'came a moment ago' : neededFor?.(content.digest)
  })
  const [remove, keep]: [Contained[], Contained[]] = [[], []]
  for (const content of contents) {
    const { kind, subject } = content
    const why = reasons.get(content.digest)
    if (why !== undefined) keep.push({ kind, content, reason: why })
    else if (kind === 'blob') remove.push({ kind, content, reason: 'no manifest names it' })
    else {
      const reason = subject ? 'neither a tag leads to it nor its subject stays' : 'no tag leads to it'
      remove.push({ kind, content, reason })
    }
  }
  return { remove: remove.sort(wholesFirst), keep }
}

/** What stays, and why: from what stays by itself on, to what that names, and to what refers to it. */
function reachable(
  contents: readonly Content[],
  tags: readonly Tagged[],
  byItself: (content: Content) => string | undefined,
): Map<Digest, string> {
  const known = new Map(contents.map((content) => [content.digest, content]))
  const referrers = Map.groupBy(
    contents.filter(({ subject }) => subject !== undefined),
    ({ subject }) => subject!,
  )
  const reasons = new Map<Digest, string>()
  const reached: Content[] = []
  const reach = (digest: Digest, reason: string) => {
    const content = known.get(digest)
    if (!content || reasons.has(digest)) return
    reasons.set(digest, reason)
    reached.push(content)
  }
  for (const { tag, entry } of tags) reach(entry.digest, `${tag} leads to it`)
  for (const content of contents) {
    const reason = byItself(content)
    if (reason !== undefined) reach(content.digest, reason)
  }
  for (const { kind, digest, parts } of reached) {
    if (kind === 'blob') continue
    for (const part of parts ?? []) reach(part, `${shortDigest(digest)} names it`)
    for (const referrer of referrers.get(digest) ?? []) reach(referrer.digest, `it is about ${shortDigest(digest)}`)
    // Whoever wrote it down did not look: all blobs may be its own.
    if (parts === undefined) {
      for (const blob of contents) if (blob.kind === 'blob') reach(blob.digest, `${shortDigest(digest)} may name it`)
    }
  }
  return reasons
}

/** An index before its images, an image before its blobs. */
function wholesFirst(a: Contained, b: Contained): number {
  return rank(a) - rank(b)

  function rank({ kind, content }: Contained): number {
    if (kind === 'blob') return 2
    return /index|manifest\.list/.test(content.mediaType) ? 0 : 1
  }
}

function span(ms: number): string {
  return largestUnits(ms / 1000)
    .filter(([count], i) => i === 0 || count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(' ')
}
