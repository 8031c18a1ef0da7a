/**
 * podman, CRI-O, skopeo and buildah: registries.conf and the files beside it. A later file's `[[registry]]` takes the
 * place of an earlier one's for the same prefix, whole; so a registry that has one is edited where it stands, and only
 * the others go into a file of their own.
 */
import { dirname, join } from 'node:path'
import { type Edit, type Files, type Mirrors, type Plan, Refusal, sameMirror, type Wanted } from './plan.ts'
import { lineEnd, spliced, textOf } from './text.ts'
import {
  appended,
  checked,
  isTable,
  linesOf,
  parse,
  startWithComments,
  type Table,
  type Toml,
  type Values,
} from './toml.ts'

/** Registries have to be named one by one here. */
export const usualRegistries = [
  'docker.io',
  'ghcr.io',
  'quay.io',
  'registry.k8s.io',
  'gcr.io',
  'public.ecr.aws',
  'mcr.microsoft.com',
]

/** `file` is the drop-in. @throws {Refusal} */
export function planRegistries(
  file: string,
  files: Files,
  { mirrors, former, registries }: Wanted,
): Omit<Plan, 'effect'> {
  const folder = dirname(file)
  const main = join(folder, '..', 'registries.conf')
  const paths = [
    main,
    ...files
      .list(folder)
      .filter((name) => name.endsWith('.conf'))
      .map((name) => join(folder, name)),
  ]
  const before = new Map([...new Set([...paths, file])].map((path) => [path, files.read(path)]))
  const after = new Map(before)
  const notes: string[] = []
  refuseOldForm(main, before.get(main))
  for (const registry of registries.length > 0 ? registries : usualRegistries) {
    const holder = paths.findLast((path) => entryOf(parsed(after.get(path), path), registry) !== undefined)
    if (holder === undefined) {
      after.set(file, added(after.get(file), file, registry, mirrors))
      continue
    }
    const entry = entryOf(parsed(after.get(holder), holder), registry)!
    if (entry.values.blocked === true) notes.push(`${registry} is blocked in ${holder}, and stays so`)
    else after.set(holder, withMirrors(after.get(holder)!, holder, registry, mirrors, former))
  }
  const edits = [...after].map(([path, text]): Edit => ({ path, before: before.get(path), after: text }))
  return { edits: edits.filter((edit) => edit.before !== edit.after), notes }
}

/** A file without `mirrors`. @throws {Refusal} */
export function withoutMirrorsOf(whole: string, path: string, mirrors: Mirrors): string {
  const { mark, body } = textOf(whole)
  const { tables, values } = parse(body, path)
  const ours = tables.filter((table) => {
    const location = isMirror(table) ? valuesAt(values, table).location : undefined
    return typeof location === 'string' && mirrors.some((url) => location.startsWith(`${hostOf(url)}/`))
  })
  return mark + ours.reduceRight((text, table) => spliced(text, ...linesOf(body, table), ''), body)
}

interface Entry {
  readonly table: Table
  readonly values: Values
  /** Of its `[[registry.mirror]]`s. */
  readonly mirrors: readonly Table[]
}

function parsed(whole: string | undefined, path: string): Toml {
  return parse(textOf(whole ?? '').body, path)
}

/** The last `[[registry]]` that is for all of a registry. */
function entryOf({ values, tables }: Toml, registry: string): Entry | undefined {
  const table = tables.findLast((each) => {
    if (each.path[0] !== 'registry' || each.path.length !== 2) return false
    const { prefix, location } = valuesAt(values, each)
    return (prefix ?? location) === registry
  })
  if (!table) return undefined
  const mirrors = tables.filter((each) => isMirror(each) && each.path[1] === table.path[1])
  return { table, values: valuesAt(values, table), mirrors }
}

function isMirror({ path }: Table): boolean {
  return path[0] === 'registry' && path[2] === 'mirror'
}

function valuesAt(values: Values, { path }: Table): Values {
  const found = path.reduce<unknown>((value, key) => {
    if (Array.isArray(value)) return value[Number(key)] as unknown
    return isTable(value) ? value[key] : undefined
  }, values)
  return isTable(found) ? found : {}
}

function withMirrors(whole: string, path: string, registry: string, mirrors: Mirrors, former: Mirrors): string {
  const { mark, body, eol } = textOf(whole)
  const toml = parse(body, path)
  const entry = entryOf(toml, registry)!
  const place = String(entry.values.location ?? registry)
  const wanted = mirrors.map((url) => locationOf(url, place))
  const gone = [...wanted, ...former.map((url) => locationOf(url, place))]
  const listed = entry.mirrors.map((table) => String(valuesAt(toml.values, table).location))
  if (entry.mirrors.length === 0 && entry.values.mirror !== undefined) {
    throw new Refusal(
      `${path} has the mirrors of ${registry} in one line; write them as [[registry.mirror]], and run this again: nothing was changed`,
    )
  }
  const kept = listed.filter((location) => !gone.some((other) => sameMirror(location, other)))
  const order = [...wanted, ...kept]
  if (order.length === listed.length && order.every((location, i) => sameMirror(location, listed[i]!))) return whole
  const old = entry.mirrors.map((table) => valuesAt(toml.values, table))
  const left = entry.mirrors
    .filter((_, i) => gone.some((location) => sameMirror(location, listed[i]!)))
    .reduceRight((text, table) => spliced(text, ...linesOf(body, table), ''), body)
  const next = entryOf(parse(left, path), registry)!
  const blocks = wanted.map((location) => block(location, eol)).join(eol)
  const [first] = next.mirrors
  const at = first ? startWithComments(left, first.start) : lineEnd(left, next.table.end)
  const ended = at > 0 && left[at - 1] !== '\n' ? eol : ''
  const after = spliced(left, at, at, first ? `${blocks}${eol}` : `${ended}${eol}${blocks}`)
  return (
    mark +
    checked(body, after, path, (values) => {
      const list = values.registry as Values[]
      const index = Number(entry.table.path[1])
      const mirror = [...wanted.map(fresh), ...old.filter((_, i) => kept.includes(listed[i]!))]
      return { ...values, registry: list.map((each, i) => (i === index ? { ...each, mirror } : each)) }
    })
  )
}

/** With an entry for a registry that has none yet. */
function added(whole: string | undefined, path: string, registry: string, mirrors: Mirrors): string {
  const { mark, body, eol } = textOf(whole ?? '')
  const blocks = mirrors.map((url) => block(locationOf(url, registry), eol)).join(eol)
  const entry = `[[registry]]${eol}location = "${registry}"${eol}${eol}${blocks}`
  const after = appended(body, entry, eol)
  return (
    mark +
    checked(body, after, path, (values) => {
      const list = Array.isArray(values.registry) ? (values.registry as unknown[]) : []
      const mirror = mirrors.map((url) => fresh(locationOf(url, registry)))
      return { ...values, registry: [...list, { location: registry, mirror }] }
    })
  )
}

/** The first form of this file cannot be mixed with the other: podman refuses both. */
function refuseOldForm(path: string, whole: string | undefined): void {
  const { registries } = parsed(whole, path).values
  if (!isTable(registries)) return
  throw new Refusal(
    `${path} is in the first form of that file ([registries.search] and the like), with which others cannot be mixed; write it anew as containers-registries.conf(5) says, and run this again: nothing was changed`,
  )
}

const fresh = (location: string) => ({ location, insecure: true })
const hostOf = (url: string) => url.replace(/^https?:\/\//, '').replace(/\/+$/, '')
const locationOf = (url: string, place: string) => `${hostOf(url)}/${place}`

/** The node's registry port speaks HTTP. */
function block(location: string, eol: string): string {
  return `[[registry.mirror]]${eol}location = "${location}"${eol}insecure = true${eol}`
}
