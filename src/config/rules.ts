/** Rules for repositories, as one writes them into settings: to whom they are copied. Patterns are those of picomatch. */
import { dockerHub, looksLikeRegistry } from '../oci/reference.ts'
import { type Kind, kind } from './values.ts'

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
