/**
 * Settings from everything that was said: flag over variable over file over default. Whatever is wrong is reported at
 * once and in full, each problem with the place it was said at.
 */
import { type Flags, fromFlags, fromVariables, fromYaml, type Givens, type Variables } from './given.ts'
import type { Host } from './host.ts'
import { ConfigError, Problems, quote, whyUnreadable } from './problem.ts'
import { Secret } from './secret.ts'
import type { Settings } from './settings.ts'
import { settle } from './settle.ts'
import { type Name, names, settingOf, type Values, variableOf } from './table.ts'

export interface Loaded {
  readonly settings: Settings
  /** What they were settled from, by name. */
  readonly values: Values
  /** Of files that they name: the SHA-256 of what was in them, which may change under the same name. */
  readonly contents: { readonly [N in Name]?: string }
  /** The YAML file that was read, if any. */
  readonly file?: string
}

/** @throws {ConfigError} with every problem there is */
export function load(flags: Flags, variables: Variables, host: Host): Loaded {
  const problems = new Problems()
  const said: Givens = { ...fromVariables(variables, problems), ...fromFlags(flags) }
  const file = problems.collect(() => resolveValue('config', said, host))
  const yaml = file === undefined ? '' : problems.collect(() => readConfig(file, said, host))
  const givens: Givens = { ...fromYaml(yaml ?? '', file ?? '', problems), ...said }
  const read = Object.fromEntries(
    names.map((name) => [name, problems.collect(() => (name === 'config' ? file : resolveValue(name, givens, host)))]),
  )
  // Nothing is settled from values that may be missing.
  problems.throw()
  // The map above has each name of the table with its own kind's value; no type of an object built so can say that.
  const values = read as unknown as Values
  const contents: { [N in Name]?: string } = {}
  const noted = (name: Name, text: string) => {
    contents[name] = new Bun.CryptoHasher('sha256').update(text).digest('hex')
    return text
  }
  const settings = settle(values, host, {
    problems,
    labelOf: (name) => labelOf(name, givens),
    read: (path, name) => noted(name, readNamed(path, name, givens, host)),
    readToken: (path) => {
      const token = readToken(path, labelOf('admin-token-file', givens), host)
      noted('admin-token-file', token.reveal())
      return token
    },
  })
  problems.throw()
  return { settings: freeze(settings), values, contents, ...(file === undefined ? {} : { file }) }
}

/** One setting alone, for commands that need no more: flag over variable over default. @throws {ConfigError} */
export function loadOne<N extends Name>(name: N, flags: Flags, variables: Variables, host: Host): Values[N] {
  const variable = variableOf(name)
  const own = fromVariables({ [variable]: variables[variable] }, new Problems())
  return resolveValue(name, { ...own, ...fromFlags(flags) }, host)
}

/** A token in a file; `label` says who named the file. @throws {ConfigError} */
export function readToken(path: string, label: string, host: Host): Secret {
  const token = readFile(path, label, host).trim()
  // RFC 6750, section 2.1: b64token. What is shorter can be guessed.
  if (/^[A-Za-z0-9._~+/-]{16,}=*$/.test(token)) return new Secret(token)
  throw new ConfigError([
    `${label} ${quote(path)}: expected one line with a token of 16 or more letters, digits or -._~+/ in it`,
  ])
}

function resolveValue<N extends Name>(name: N, givens: Givens, host: Host): Values[N] {
  const setting = settingOf(name)
  const usual = typeof setting.default === 'function' ? setting.default(host) : setting.default
  const items = givens[name] ?? (usual === undefined ? [] : [{ text: usual, at: `default of ${name}` }])
  const problems: string[] = []
  const parsed = items.map(({ text, at }) => {
    const result = setting.kind.safeParse(text)
    if (!result.success) problems.push(`${at} ${quote(text)}: expected ${result.error.issues[0]?.message}`)
    return result.data
  })
  if (problems.length > 0) throw new ConfigError(problems)
  return (setting.many ? parsed : parsed[0]) as Values[N]
}

/** Who said it, to open an error with. */
function labelOf(name: Name, givens: Givens): string {
  return givens[name]?.[0]?.at ?? `default of ${name}`
}

function readNamed(path: string, name: Name, givens: Givens, host: Host): string {
  return readFile(path, labelOf(name, givens), host)
}

function readConfig(path: string, givens: Givens, host: Host): string {
  try {
    return readNamed(path, 'config', givens, host)
  } catch (error) {
    // Nobody named it, so nobody knows what this is about.
    if (givens.config || !(error instanceof ConfigError)) throw error
    const remedy = 'run as root, let this user into its folder and read it, or name another file with --config'
    const shut = (problem: string) => problem.endsWith('may not read it')
    throw new ConfigError(error.problems.map((problem) => (shut(problem) ? `${problem}; ${remedy}` : problem)))
  }
}

function readFile(path: string, label: string, host: Host): string {
  try {
    return host.read(path)
  } catch (error) {
    throw new ConfigError([`${label} ${quote(path)}: ${whyUnreadable(error)}`])
  }
}

function freeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) if (typeof part === 'object' && part !== null) freeze(part)
  return Object.freeze(value)
}
