/**
 * The snapshotter in containerd's config.toml: where it is (`proxy_plugins`), that Kubernetes' half of containerd uses it
 * and says which image a layer is of, and, from containerd 2 on, that `ctr` may unpack into it. What is not there is
 * added, what says otherwise is changed, and all around it stays as it is.
 */
import { isDisabled } from './containerd.ts'
import type { Edit, Files, Plan } from './plan.ts'
import { lineEnd, lineStart, spliced, textOf } from './text.ts'
import { appended, checked, indentIn, inserted, isAt, isTable, linesOf, parse, type Values, valueAt } from './toml.ts'

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
const transfer = ['plugins', 'io.containerd.transfer.v1.local']
const what = 'what the snapshotter needs'

/** Kubernetes' half, by version of the file. */
function criOf(version: number): string[] {
  if (version >= 3) return ['plugins', 'io.containerd.cri.v1.images']
  return ['plugins', version === 2 ? 'io.containerd.grpc.v1.cri' : 'cri', 'containerd']
}

/** @throws {Refusal} */
export function planSnapshotter(place: SnapshotterPlace, files: Files): Plan {
  const { file, major, socket, dataDir, platform } = place
  const whole = files.read(file)
  const { mark, body, eol } = textOf(whole ?? '')
  const { values } = parse(body, file)
  const made = (major ?? 1) >= 2 ? 3 : 2
  const version = typeof values.version === 'number' ? values.version : body.trim() === '' ? made : 1
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
    if (before !== undefined && before !== snapshotterName && before !== 'overlayfs')
      notes.push(`Kubernetes used the snapshotter ${before} here; what is there stays, and its images are pulled anew`)
    for (const cri of cris) {
      set(cri, 'disable_snapshot_annotations', false)
      set(cri, 'snapshotter', snapshotterName)
    }
  }
  const after = mark + text
  const edits = after === whole ? [] : [{ path: file, before: whole, after }]
  return { edits, notes, effect: edits.length > 0 ? 'restart' : 'none' }
}

/** A file without what was put into it, whatever else became of it since. @throws {Refusal} */
export function withoutSnapshotter(whole: string, file: string): string {
  const { mark, body } = textOf(whole)
  let text = body
  for (;;) {
    const { tables } = parse(text, file)
    const ours = tables.find(
      ({ path, pairs }) =>
        isAt(path, plugin) ||
        isAt(path, exportsOf) ||
        (isUnpacking(path) && pairs.some((pair) => saysShoal(text, pair))),
    )
    if (!ours) break
    text = spliced(text, ...linesOf(text, ours), '')
  }
  const cris = [1, 2, 3].map((version) => [...criOf(version), 'snapshotter'])
  for (;;) {
    const pair = parse(text, file)
      .tables.flatMap(({ pairs }) => pairs)
      .find((each) => cris.some((path) => isAt(each.path, path)) && saysShoal(text, each))
    if (!pair) return mark + text
    text = spliced(text, lineStart(text, pair.range[0]), lineEnd(text, pair.range[1]), '')
  }
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
    return { path, before, after: withoutSnapshotter(before, path) }
  })
  const differing = edits.filter(({ before, after }) => before !== after && before !== undefined)
  return { edits: differing, notes, effect: differing.length > 0 ? 'restart' : 'none' }
}

const saysShoal = (
  text: string,
  { path, value }: { path: readonly (string | number)[]; value: { range: readonly [number, number] } },
) => path.at(-1) === 'snapshotter' && text.slice(...value.range).slice(1, -1) === snapshotterName

const isUnpacking = (path: readonly (string | number)[]) => isAt(path.slice(0, -1), [...transfer, 'unpack_config'])

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
  const pair = [...toml.pairs, ...toml.tables.flatMap(({ pairs }) => pairs)].find(({ path }) =>
    isAt(path, [...section, key]),
  )
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
  const path = [...transfer, 'unpack_config']
  const there = valueAt(toml.values, path)
  const before: unknown[] = Array.isArray(there) ? there : []
  if (before.some((each) => isTable(each) && each.snapshotter === snapshotterName)) return body
  const added = [...(there === undefined ? ['overlayfs'] : []), snapshotterName].map((snapshotter) => ({
    platform,
    snapshotter,
  }))
  const inline = [...toml.pairs, ...toml.tables.flatMap(({ pairs }) => pairs)].find((pair) => isAt(pair.path, path))
  let after: string
  if (inline) {
    const [start, end] = inline.value.range
    const list = body.slice(start, end).replace(/,?\s*\]$/, '')
    const entry = `{ platform = "${platform}", snapshotter = "${snapshotterName}" }`
    after = spliced(body, start, end, `${list}${before.length > 0 ? ', ' : ''}${entry}]`)
  } else {
    const tables = added.map(
      ({ snapshotter }) =>
        `[[${header(path)}]]${eol}  platform = "${platform}"${eol}  snapshotter = "${snapshotter}"${eol}`,
    )
    after = appended(body, tables.join(eol), eol)
  }
  return checked(body, after, file, (values) => withAt(values, path, [...before, ...added]), what)
}

const header = (section: readonly string[]) =>
  section.map((name) => (/^[\w-]+$/.test(name) ? name : `"${name}"`)).join('.')

function withAt(values: Values, [key, ...more]: readonly string[], value: unknown): Values {
  if (key === undefined) return values
  if (more.length === 0) return { ...values, [key]: value }
  const inner = values[key]
  return { ...values, [key]: withAt(isTable(inner) ? inner : {}, more, value) }
}
