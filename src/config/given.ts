/** What was said about settings, by whom, before anything is parsed: flags, variables, and the YAML file. */
import { isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'
import { hint, type Problems, quote } from './problem.ts'
import { flagOf, isName, type Name, names, settingOf, variableOf } from './table.ts'

export interface Given {
  readonly text: string
  /** Where it was said, to open an error with: `--zone`, `SHOAL_ZONE`, `/etc/shoal/shoal.yaml:3: zone`. */
  readonly at: string
}

/** By name; a setting that was not mentioned is not there. */
export type Givens = Partial<Record<Name, readonly Given[]>>

/** Flags as the command line had them, by name. */
export type Flags = Partial<Record<Name, readonly string[]>>
export type Variables = Readonly<Record<string, string | undefined>>

export function fromFlags(flags: Flags): Givens {
  const givens: Givens = {}
  for (const name of names) {
    const texts = flags[name]
    if (texts) givens[name] = split(name, texts, flagOf(name))
  }
  return givens
}

/** An empty variable counts as not set, as unit files and manifests leave them. One that means nothing is a problem. */
export function fromVariables(variables: Variables, problems: Problems): Givens {
  const known = new Map(names.map((name) => [variableOf(name), name]))
  const givens: Givens = {}
  for (const [variable, text] of Object.entries(variables)) {
    if (!variable.startsWith('SHOAL_') || !text || isServiceLink(variable, variables)) continue
    const name = known.get(variable)
    if (name) givens[name] = split(name, [text], variable)
    else problems.add(`${variable}: there is no such variable${hint(variable, [...known.keys()])}`)
  }
  return givens
}

/** Kubernetes gives containers such variables for every service; one called `shoal` must not keep nodes from starting. */
function isServiceLink(variable: string, variables: Variables): boolean {
  return (
    variables.KUBERNETES_SERVICE_HOST !== undefined &&
    /_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)$/.test(
      variable,
    )
  )
}

/** What is no YAML, no map or no known key is a problem, with its line; the rest counts. */
export function fromYaml(text: string, file: string, problems: Problems): Givens {
  const counter = new LineCounter()
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false })
  const lineAt = (offset: number | undefined) => `${file}:${counter.linePos(offset ?? 0).line || 1}`
  for (const error of document.errors) problems.add(`${lineAt(error.pos[0])}: ${error.message}`)
  if (document.errors.length > 0) return {}
  const root = document.contents
  if (root === null || (isScalar(root) && root.value === null)) return {}
  if (!isMap(root)) {
    problems.add(`${lineAt(root.range?.[0])}: expected a map of settings, such as "zone: eu/a"`)
    return {}
  }

  const givens: Givens = {}
  const fileNames = names.filter((name) => name !== 'config')
  for (const pair of root.items) {
    const key = pair.key as Node
    const at = lineAt(key.range?.[0])
    const name = isScalar(key) ? String(key.value) : ''
    if (!isName(name) || name === 'config') {
      problems.add(`${at}: there is no setting ${quote(name)}${hint(name, fileNames)}`)
      continue
    }
    const value = isAlias(pair.value) ? pair.value.resolve(document) : pair.value
    const items = read(name, value as Node | null | undefined, lineAt)
    if (typeof items === 'string') problems.add(`${at}: ${name}: expected ${items}`)
    else givens[name] = items
  }
  return givens

  /** The texts a node stands for, or what was expected in its place. */
  function read(name: Name, node: Node | null | undefined, at: (offset?: number) => string): Given[] | string {
    const many = settingOf(name).many
    const label = (item: Node) => `${at(item.range?.[0])}: ${name}`
    if (isScalar(node) && node.value !== null) return split(name, [textOf(node)], label(node))
    if (many && isSeq(node) && node.items.every((item) => isScalar(item) && item.value !== null)) {
      return node.items.filter(isScalar).map((item) => ({ text: textOf(item), at: label(item) }))
    }
    if (name === 'upstream' && isMap(node)) {
      const pairs = node.items.map(({ key, value }) => {
        const values = isSeq(value) ? value.items : [value]
        return isScalar(key) && values.length > 0 && values.every(isScalar)
          ? { key, values: values.filter(isScalar) }
          : undefined
      })
      if (pairs.every((pair) => pair !== undefined)) {
        return pairs.flatMap(({ key, values }) =>
          values.map((value) => ({ text: `${textOf(key)}=${textOf(value)}`, at: label(key) })),
        )
      }
    }
    if (name === 'upstream') return 'a map of NAME: URL, or a list of NAME=URL'
    return many ? 'one value or a list of values' : 'one value'
  }
}

/** A scalar as it was written: `80%`, `0755` and `on` mean what they look like, not what YAML makes of them. */
function textOf(scalar: { source?: string; value: unknown }): string {
  return scalar.source ?? String(scalar.value)
}

function split(name: Name, texts: readonly string[], at: string): Given[] {
  return piecesOf(name, texts).map((text) => ({ text, at }))
}

/** Of a repeatable setting each value by itself; of any other the last that was said. */
export function piecesOf(name: Name, texts: readonly string[]): string[] {
  const { many, separator = ',' } = settingOf(name)
  return many ? texts.flatMap((text) => text.split(separator)) : texts.slice(-1)
}
