/** Rules for repositories, as one writes them into settings: to whom they are copied, what of them is kept. Patterns are picomatch's. */
import { dockerHub, looksLikeRegistry } from '../oci/reference.ts'
import { type Kind, kind, lifetime } from './values.ts'

/** What is copied to whom. */
export interface ReplicationRule {
  /** `apps.corp/**` */
  readonly pattern: string
  /** As it was written, for people. */
  readonly target: string
  /** `https://seed.other:4880` */
  readonly origin: string
  /** What stands before the name of a repository there; `{registry}` stands for the registry it is of here. */
  readonly prefix: string
  /** Tags that are deleted here are deleted there. */
  readonly deletes: boolean
}

const mostText = 512

/**
 * A registry in front, or a wildcard that may stand for one; a pattern without either means Docker Hub, as a name does.
 * Undefined for what would match nothing.
 */
export function patternOf(text: string): string | undefined {
  if (text === '' || text.length > 256 || /[\s\\=]/.test(text)) return undefined
  const first = text.split('/')[0]!
  if (/[*?{[(]/.test(first)) return text
  if (looksLikeRegistry(first)) return first === text ? undefined : text
  return `${dockerHub}/${text.includes('/') ? text : `library/${text}`}`
}

/** `apps.corp/**=https://seed.other:4880`, `apps.corp/**=https://harbor.corp/mirror/{name} deletes` */
export const replication: Kind<ReplicationRule> = kind(
  "a pattern and where it is copied to, such as 'apps.corp/**=https://seed.other:4880', and perhaps the word deletes " +
    '(credentials belong in --credentials-file)',
  (text) => {
    const [rule = '', ...words] = text.split(/\s+/)
    const deletes = words.length === 1 && words[0] === 'deletes'
    if (text.length > mostText || (words.length > 0 && !deletes)) return undefined
    const equals = rule.indexOf('=')
    const pattern = patternOf(rule.slice(0, Math.max(0, equals)))
    const target = rule.slice(equals + 1).replace(/\/+$/, '')
    const url = URL.parse(target)
    if (!pattern || !url || !/^https?:$/.test(url.protocol)) return undefined
    if (url.username || url.password || url.search || url.hash) return undefined
    const prefix = prefixOf(decodeURI(url.pathname))
    return prefix === undefined ? undefined : { pattern, target, origin: url.origin, prefix, deletes }
  },
)

/** Without a path, names stay what they are here; a path stands before them without their registry. */
function prefixOf(path: string): string | undefined {
  const trimmed = path.replace(/^\/+|\/+$/g, '')
  const [, before = ''] = /^(?:(.*)\/)?\{name\}$/.exec(trimmed) ?? [undefined, trimmed === '' ? '{registry}' : trimmed]
  return /^(?:(?:[a-z0-9._-]+|\{registry\})(?:\/|$))*$/.test(before) ? before : undefined
}

/** What of some repositories is kept, and for how long. */
export interface KeepRule {
  /** `apps.corp/**` */
  readonly pattern: string
  /** As it was written, for reasons. */
  readonly text: string
  /** Of what was pushed. Every tag stays; what no tag leads to does not. */
  readonly all: boolean
  /** Of what was pushed: so many tags of each repository stay, those set last. */
  readonly tags?: number
  /** Of what was pushed: tags that were set within so many ms stay. */
  readonly ageMs?: number
  /** Of what is cached: what was used within so many ms stays, room permitting. */
  readonly idleMs?: number
  /** Nothing that came within so many ms goes: a push may be under way. */
  readonly graceMs: number
}

/** Whether it says anything of what was pushed. */
export function isAboutPushed({ all, tags, ageMs }: KeepRule): boolean {
  return all || tags !== undefined || ageMs !== undefined
}

const dayMs = 86_400_000

/** `apps.corp/**: tags=10, age=90d`, `docker.io/**: idle=7d`, `apps.corp/base/*: all` */
export const keep: Kind<KeepRule> = kind(
  "a pattern and what is kept of it, such as 'apps.corp/**: tags=10, age=90d' (the ten tags set last, and those of 90 " +
    "days), 'apps.corp/base/*: all' or 'docker.io/**: idle=7d', and perhaps grace=1h",
  (text) => {
    const colon = text.lastIndexOf(': ')
    const pattern = patternOf(text.slice(0, Math.max(0, colon)).trim())
    if (pattern === undefined || text.length > mostText) return undefined
    const terms = text
      .slice(colon + 1)
      .split(/[\s,]+/)
      .filter((term) => term !== '')
    const read: { all?: true; tags?: number; ageMs?: number; idleMs?: number; graceMs?: number } = {}
    for (const term of terms) {
      const [name = '', value] = term.split('=', 2)
      const key = keyOf(name)
      const parsed = key === undefined ? undefined : termValue(key, value)
      if (key === undefined || parsed === undefined || key in read) return undefined
      Object.assign(read, { [key]: parsed })
    }
    const { all = false, graceMs = dayMs, ...limits } = read
    // Grace alone keeps nothing, and all of some does not mean anything.
    const limited = limits.tags !== undefined || limits.ageMs !== undefined
    if (all ? limited : !limited && limits.idleMs === undefined) return undefined
    return { pattern, text: `${pattern}: ${terms.join(', ')}`, all, graceMs, ...limits }
  },
)

/** What of a rule is about what is cached, and so for nodes that nothing is pushed to; undefined for none, and no rule. */
export function cachedPart(text: string): string | undefined {
  const rule = keep.safeParse(text).data
  if (rule?.idleMs === undefined) return undefined
  const terms = rule.text.slice(rule.pattern.length + 2).split(', ')
  return `${rule.pattern}: ${terms.filter((term) => /^(?:idle|grace)=/.test(term)).join(', ')}`
}

const keys = { all: 'all', tags: 'tags', age: 'ageMs', idle: 'idleMs', grace: 'graceMs' } as const

function keyOf(name: string): (typeof keys)[keyof typeof keys] | undefined {
  return Object.hasOwn(keys, name) ? keys[name as keyof typeof keys] : undefined
}

function termValue(key: (typeof keys)[keyof typeof keys], value: string | undefined): number | true | undefined {
  if (key === 'all') return value === undefined ? true : undefined
  if (key !== 'tags') return lifetime.safeParse(value).data
  const count = Number(/^[0-9]{1,6}$/.exec(value ?? '')?.[0] ?? 0)
  return count > 0 ? count : undefined
}
