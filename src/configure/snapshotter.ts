/**
 * The snapshotter in containerd's config.toml: where it is (`proxy_plugins`), that Kubernetes' half of containerd uses it
 * and says which image a layer is of, and, from containerd 2 on, that `ctr` may unpack into it. What is not there is
 * added, what says otherwise is changed, and all around it stays as it is.
 */
import { isDisabled } from './containerd.ts'
import { type Edit, type Files, type Plan, Refusal } from './plan.ts'
import { lineEnd, lineStart, spliced, textOf } from './text.ts'
import {
  appended,
  checked,
  indentIn,
  inserted,
  isAt,
  isTable,
  linesOf,
  type Pair,
  pairAt,
  parse,
  type Values,
  valueAt,
  withItem,
  withoutItem,
} from './toml.ts'

export interface SnapshotterPlace {
  readonly file: string
  /** Of containerd, where it is known. */
  readonly major?: number | undefined
  readonly socket: string
  readonly dataDir: string
  /** `linux/amd64` */
  readonly platform: string
}

export const snapshotterName = 'shoal'
const plugin = ['proxy_plugins', snapshotterName]
const exportsOf = [...plugin, 'exports']
const unpacking = ['plugins', 'io.containerd.transfer.v1.local', 'unpack_config']
const usualSnapshotter = 'overlayfs'
/** What Kubernetes' half is told; the last one that is put into a table comes to stand first. */
const used = [
  ['disable_snapshot_annotations', false],
  ['snapshotter', snapshotterName],
] as const
const what = 'what the snapshotter needs'

/** Kubernetes' half, by version of the file. */
function criOf(version: number): string[] {
  if (version >= 3) return ['plugins', 'io.containerd.cri.v1.images']
  return ['plugins', version === 2 ? 'io.containerd.grpc.v1.cri' : 'cri', 'containerd']
}

/** A file that does not say it is of the first. */
const versionOf = ({ version }: Values) => (typeof version === 'number' ? version : 1)

/** @throws {Refusal} */
export function planSnapshotter(place: SnapshotterPlace, files: Files): Plan {
  const { file, major, socket, dataDir, platform } = place
  const whole = files.read(file)
  const { mark, body, eol } = textOf(whole ?? '')
  const { values } = parse(body, file)
  const made = (major ?? 1) >= 2 ? 3 : 2
  const version = body.trim() === '' ? made : versionOf(values)
  const notes: string[] = []
  let text = body.trim() === '' ? `version = ${version}${eol}` : body
  const set = (section: readonly string[], key: string, value: string | boolean) => {
    text = withValue(text, file, section, key, value, eol)
  }
  // The last one that is put into a table comes to stand first.
  set(plugin, 'address', socket)
  set(plugin, 'type', 'snapshot')
  const newer = version >= 3 || (major ?? 1) >= 2
  if (newer) {
    set(exportsOf, 'enable_remote_snapshot_annotations', 'true')
    set(exportsOf, 'root', dataDir)
    text = withUnpacking(text, file, platform, eol)
  }
  if (isDisabled(values)) {
    notes.push(`Kubernetes' half of containerd is switched off in ${file}, so nothing is set there`)
  } else {
    // containerd 2 reads an older file too, but takes the snapshotter over from there only if it has a table of runtimes.
    const cris = newer && version < 3 ? [criOf(version), criOf(3)] : [criOf(version)]
    const before = cris.map((cri) => valueAt(values, [...cri, 'snapshotter'])).find((each) => typeof each === 'string')
    if (before !== undefined && before !== snapshotterName && before !== usualSnapshotter)
      notes.push(`Kubernetes used the snapshotter ${before} here; what is there stays, and its images are pulled anew`)
    for (const cri of cris) for (const [key, value] of used) set(cri, key, value)
  }
  const after = mark + text
  const edits = after === whole ? [] : [{ path: file, before: whole, after }]
  return { edits, notes, effect: edits.length > 0 ? 'restart' : 'none' }
}

/**
 * A file without what was put into it, whatever else became of it since; where that took the place of something, what
 * `original` has there comes back. @throws {Refusal}
 */
export function withoutSnapshotter(whole: string, file: string, original: string | undefined): string {
  const { mark, body } = textOf(whole)
  const old = textOf(original ?? '').body
  let text = body
  for (const section of [plugin, exportsOf]) text = withoutTable(text, file, section)
  text = withoutUnpacking(text, file, valueAt(parse(old, file).values, unpacking) !== undefined)
  for (const version of [1, 2, 3]) text = withoutUse(text, file, version, old)
  const { values } = parse(text, file)
  const left = [1, 2, 3].some((version) => valueAt(values, [...criOf(version), 'snapshotter']) === snapshotterName)
  if (!left && !listOf(values).some(isOurs)) return mark + text
  throw new Refusal(
    `${file} names the snapshotter ${snapshotterName} in a way that cannot be edited in place; nothing was changed: take it out by hand, and run this again`,
  )
}

/**
 * Nothing is unpacked into it any more. `told`: it was said before where else to; if it was not, what was said only so
 * that the usual one goes on is not said any more either.
 */
function withoutUnpacking(body: string, file: string, told: boolean): string {
  const text = withoutEntry(body, file, listOf(parse(body, file).values).findIndex(isOurs))
  if (text === body) return body
  const toml = parse(text, file)
  const list = listOf(toml.values)
  const usual = list.every((entry) => isTable(entry) && entry.snapshotter === usualSnapshotter)
  if (told || list.length > 1 || !usual) return withoutUnpacking(text, file, told)
  // A list of nothing would be another thing than none.
  const inline = pairAt(toml, unpacking)
  return inline ? withoutLines(text, inline) : withoutEntry(text, file, 0)
}

function withoutEntry(body: string, file: string, index: number): string {
  if (index < 0) return body
  const toml = parse(body, file)
  const inline = pairAt(toml, unpacking)
  if (inline) return withoutItem(body, inline, index)
  const table = toml.tables.find(({ path }) => isAt(path.slice(0, -1), unpacking) && path.at(-1) === index)
  return table ? spliced(body, ...linesOf(body, table), '') : body
}

/** Kubernetes' half uses again what it used before, if it still uses this one. */
function withoutUse(body: string, file: string, version: number, old: string): string {
  const cri = criOf(version)
  if (valueAt(parse(body, file).values, [...cri, 'snapshotter']) !== snapshotterName) return body
  const before = parse(old, file)
  // Whoever goes on to containerd 2 may have the file made into one of the newer version.
  const moved = versionOf(before.values) !== versionOf(parse(body, file).values)
  const from = moved ? criOf(versionOf(before.values)) : cri
  let text = body
  for (const [key, ours] of used) {
    const toml = parse(text, file)
    const pair = pairAt(toml, [...cri, key])
    if (!pair || valueAt(toml.values, [...cri, key]) !== ours) continue
    const was = pairAt(before, [...from, key])
    text = was ? spliced(text, ...pair.value.range, old.slice(...was.value.range)) : withoutLines(text, pair)
  }
  const { tables } = parse(text, file)
  const empty = tables.some(({ path, pairs }) => isAt(path, cri) && pairs.length === 0)
  return empty && !before.tables.some(({ path }) => isAt(path, cri)) ? withoutTable(text, file, cri) : text
}

function withoutTable(body: string, file: string, section: readonly string[]): string {
  const table = parse(body, file).tables.find(({ path }) => isAt(path, section))
  return table ? spliced(body, ...linesOf(body, table), '') : body
}

/** Back to what was there; from a file that somebody changed since only what was put there is taken out. */
export function planSnapshotterUndo(
  kept: readonly { path: string; original: string | undefined; ours: (text: string | undefined) => boolean }[],
  files: Files,
): Plan {
  const notes: string[] = []
  const edits = kept.map(({ path, original, ours }): Edit => {
    const before = files.read(path)
    if (ours(before) || before === original || before === undefined) return { path, before, after: original }
    notes.push(`${path} was changed since: only what was put there is taken out`)
    return { path, before, after: withoutSnapshotter(before, path, original) }
  })
  const differing = edits.filter(({ before, after }) => before !== after && before !== undefined)
  return { edits: differing, notes, effect: differing.length > 0 ? 'restart' : 'none' }
}

const withoutLines = (body: string, { range: [start, end] }: Pair) =>
  spliced(body, lineStart(body, start), lineEnd(body, end), '')

const listOf = (values: Values): readonly unknown[] => {
  const list = valueAt(values, unpacking)
  return Array.isArray(list) ? list : []
}

const isOurs = (entry: unknown) => isTable(entry) && entry.snapshotter === snapshotterName

function withValue(
  body: string,
  file: string,
  section: readonly string[],
  key: string,
  value: string | boolean,
  eol: string,
): string {
  const toml = parse(body, file)
  if (valueAt(toml.values, [...section, key]) === value) return body
  const written = JSON.stringify(value)
  const line = `${key} = ${written}`
  const pair = pairAt(toml, [...section, key])
  const table = toml.tables.find(({ path }) => isAt(path, section))
  const after = pair
    ? spliced(body, ...pair.value.range, written)
    : table
      ? inserted(body, table, `${indentIn(body, table)}${line}`, eol)
      : appended(body, `[${header(section)}]${eol}  ${line}${eol}`, eol)
  return checked(body, after, file, (values) => withAt(values, [...section, key], value), what)
}

/** Where nothing is said of it containerd unpacks into overlayfs, which it would not do any more with one thing said. */
function withUnpacking(body: string, file: string, platform: string, eol: string): string {
  const toml = parse(body, file)
  const before = listOf(toml.values)
  if (before.some(isOurs)) return body
  const told = valueAt(toml.values, unpacking) !== undefined
  const added = [...(told ? [] : [usualSnapshotter]), snapshotterName].map((snapshotter) => ({
    platform,
    snapshotter,
  }))
  const inline = pairAt(toml, unpacking)
  let after: string
  if (inline) {
    after = withItem(body, inline, `{ platform = "${platform}", snapshotter = "${snapshotterName}" }`)
  } else {
    const tables = added.map(
      ({ snapshotter }) =>
        `[[${header(unpacking)}]]${eol}  platform = "${platform}"${eol}  snapshotter = "${snapshotter}"${eol}`,
    )
    after = appended(body, tables.join(eol), eol)
  }
  return checked(body, after, file, (values) => withAt(values, unpacking, [...before, ...added]), what)
}

const header = (section: readonly string[]) =>
  section.map((name) => (/^[\w-]+$/.test(name) ? name : `"${name}"`)).join('.')

function withAt(values: Values, [key, ...more]: readonly string[], value: unknown): Values {
  if (key === undefined) return values
  if (more.length === 0) return { ...values, [key]: value }
  const inner = values[key]
  return { ...values, [key]: withAt(isTable(inner) ? inner : {}, more, value) }
}
