/**
 * containerd's registries: `config_path` in config.toml names folders, and in them each registry has one with a
 * `hosts.toml`; `_default` is for all that have none. `ctr` and nerdctl read the folders by themselves, Kubernetes' half
 * of containerd only where `config_path` says so.
 */
import { join } from 'node:path'
import { withHosts } from './hosts-toml.ts'
import { type Edit, type Files, type Plan, Refusal, type Wanted } from './plan.ts'
import { spliced, textOf } from './text.ts'
import {
  appended,
  checked,
  indentIn,
  inserted,
  isAt,
  isTable,
  pairAt,
  parse,
  type Toml,
  type Values,
  valueAt,
} from './toml.ts'

const usualRoot = '/etc/containerd/certs.d'
const images = 'io.containerd.cri.v1.images'
const cri = 'io.containerd.grpc.v1.cri'
const hub = 'docker.io'
const hubServer = 'https://registry-1.docker.io'
const rest = '_default'

/** Where each version of the file has the registries of Kubernetes' half. */
function sectionOf(version: number): string[] {
  return ['plugins', version >= 3 ? images : version === 2 ? cri : 'cri', 'registry']
}

/** @throws {Refusal} */
export function planContainerd(
  { file, major }: { file: string; major?: number },
  files: Files,
  { mirrors, former, registries }: Wanted,
): Plan {
  const whole = files.read(file)
  const config = configPath(whole, file, files, major)
  const folders = config.roots.map((root) => ({ root, names: files.list(root) }))
  const hosts = (registries.length > 0 ? registries : [hub, rest]).map((registry): Edit => {
    const folder = join(rootFor(registry, folders), registry)
    const path = join(folder, 'hosts.toml')
    const before = files.read(path)
    if (before === undefined) refuseCertificates(folder, path, files)
    const server = registry === hub ? { server: hubServer } : {}
    return { path, before, after: withHosts(before, path, { mirrors, former, ...server }) }
  })
  const touched = new Set(hosts.map(({ path }) => path))
  const others = folders.flatMap(({ root, names }) =>
    names.filter((name) => {
      const path = join(root, name, 'hosts.toml')
      if (touched.has(path) || files.list(join(root, name)).length === 0) return false
      return !files.read(path)?.includes(`"${mirrors[0]}"`)
    }),
  )
  const own = others.length === 1 ? `${others[0]} has a folder` : `${others.join(', ')} have folders`
  const notes = [
    ...config.notes,
    ...(others.length > 0 ? [`${own} of its own, which stays as it is: --registry puts the node in front there`] : []),
    ...(config.roots.length > 1 && (major ?? 1) >= 2
      ? [
          `config_path names several folders, which containerd 2.2 can take for one (its issue 12808): if pulls pass the node by, name ${config.roots[0]} alone`,
        ]
      : []),
    ...(config.roots[0] === usualRoot ? [] : [`ctr and nerdctl find it with --hosts-dir ${config.roots[0]}`]),
  ]
  const edits = [...hosts, { path: file, before: whole, after: config.text }].filter(
    ({ before, after }) => before !== after,
  )
  return { edits, notes, effect: edits.some(({ path }) => path === file) ? 'restart' : 'none' }
}

interface ConfigPath {
  /** The file as it is to be. */
  readonly text: string | undefined
  /** The folders that are looked into, in this order. */
  readonly roots: readonly string[]
  readonly notes: readonly string[]
}

function configPath(whole: string | undefined, file: string, files: Files, major: number | undefined): ConfigPath {
  const { mark, body, eol } = textOf(whole ?? '')
  const toml = parse(body, file)
  const { version: said } = toml.values
  const made = major !== undefined && major >= 2 ? 3 : 2
  // A file that says nothing is of the first version; one that is made need not be.
  const version = typeof said === 'number' ? said : body.trim() === '' ? made : 1
  const section = sectionOf(version)
  for (const [path, values] of [...imported(toml.values, file, files), [file, toml.values] as const]) {
    refuseInline(values, path)
    const set = [cri, 'cri', images].map((plugin) => valueAt(values, ['plugins', plugin, 'registry', 'config_path']))
    const found = set.find((value) => typeof value === 'string' && value !== '')
    if (typeof found === 'string') return { text: whole, roots: found.split(':').filter(Boolean), notes: [] }
  }
  if (isDisabled(toml.values)) {
    const note = `Kubernetes' half of containerd is switched off in ${file}, so that needs no config_path`
    return { text: whole, roots: [usualRoot], notes: [note] }
  }
  const line = `config_path = "${usualRoot}"`
  const header = `[${section.map((name) => (/^[\w-]+$/.test(name) ? name : `"${name}"`)).join('.')}]`
  const fresh = `${header}${eol}  ${line}${eol}`
  if (body.trim() === '') return done(`version = ${version}${eol}${eol}${fresh}`)
  const pair = pairAt(toml, [...section, 'config_path'])
  const table = toml.tables.find(({ path }) => isAt(path, section))
  const after = pair
    ? spliced(body, ...pair.value.range, `"${usualRoot}"`)
    : table
      ? inserted(body, table, `${indentIn(body, table)}${line}`, eol)
      : appended(body, fresh, eol)
  return done(checked(body, after, file, (values) => withPath(values, section)))

  function done(text: string): ConfigPath {
    return { text: mark + text, roots: [usualRoot], notes: [] }
  }
}

function withPath(values: Values, [key, ...more]: readonly string[]): Values {
  if (key === undefined) return { ...values, config_path: usualRoot }
  const inner = values[key]
  return { ...values, [key]: withPath(isTable(inner) ? inner : {}, more) }
}

/** Kubernetes' half of containerd is switched off. */
export function isDisabled({ disabled_plugins: disabled }: Values): boolean {
  return Array.isArray(disabled) && disabled.some((name) => name === 'cri' || name === cri || name === images)
}

/** containerd does not start Kubernetes' half of itself when both ways of telling it are there. */
function refuseInline(values: Values, file: string): void {
  for (const plugin of ['cri', cri, images]) {
    const registry = valueAt(values, ['plugins', plugin, 'registry'])
    if (!isTable(registry)) continue
    const { mirrors, configs } = registry
    const keys = isTable(mirrors) && Object.keys(mirrors).length > 0 ? ['registry.mirrors'] : []
    if (isTable(configs) && Object.values(configs).some((each) => isTable(each) && each.tls))
      keys.push('registry.configs.*.tls')
    if (keys.length === 0) continue
    throw new Refusal(
      `${file} has ${keys.join(' and ')}, which containerd does not take beside config_path; move them into ${usualRoot}/<registry>/hosts.toml, set config_path = "${usualRoot}", and run this again: nothing was changed`,
    )
  }
}

/** What `imports` brings in, by files in folders; of patterns, those with a star in the name. */
export function imported({ imports }: Values, file: string, files: Files): (readonly [string, Values])[] {
  if (!Array.isArray(imports)) return []
  return imports
    .filter((each) => typeof each === 'string')
    .flatMap((pattern) => {
      const whole = pattern.startsWith('/') ? pattern : join(file, '..', pattern)
      const cutAt = whole.lastIndexOf('/')
      const folder = whole.slice(0, cutAt)
      const glob = new Bun.Glob(whole.slice(cutAt + 1))
      return files
        .list(folder)
        .filter((name) => glob.match(name))
        .flatMap((name) => {
          const path = join(folder, name)
          const text = files.read(path)
          return text === undefined ? [] : [[path, (parse(textOf(text).body, path) satisfies Toml).values] as const]
        })
    })
}

/**
 * The folder of folders in which a registry's is looked for. The first that has one counts, `_default` included; so the
 * rest is told of in the last, or else it would hide what is in those after it.
 */
function rootFor(registry: string, folders: readonly { root: string; names: readonly string[] }[]): string {
  const has = folders.find(({ names }) => names.includes(registry))
  if (has) return has.root
  const last = folders.findLastIndex(({ names }) => names.length > 0)
  return folders[registry === rest ? Math.max(last, 0) : 0]!.root
}

/** Certificates in a registry's folder count only as long as it has no hosts.toml. */
function refuseCertificates(folder: string, path: string, files: Files): void {
  const certificates = files.list(folder).filter((name) => /\.(crt|cert|key)$/.test(name))
  if (certificates.length === 0) return
  throw new Refusal(
    `${folder} has certificates (${certificates.join(', ')}), which containerd would not use any more beside a hosts.toml; write ${path} with them as ca and client, and run this again: nothing was changed`,
  )
}
