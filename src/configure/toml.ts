/**
 * TOML that is edited by ranges: the parser says where things are, the text around them stays as it is. What an edit
 * made of the values is compared with what it was meant to, so that a mistake becomes a refusal and not a broken file.
 */
import { isDeepStrictEqual } from 'node:util'
import { type AST, getStaticTOMLValue, ParseError, parseTOML } from 'toml-eslint-parser'
import { Refusal } from './plan.ts'
import { lineEnd, lineStart, spliced } from './text.ts'

type Path = readonly (string | number)[]
type Range = readonly [number, number]
export type Values = Record<string, unknown>

export interface Pair {
  /** From the root, tables included. */
  readonly path: Path
  readonly range: Range
  readonly value: {
    readonly range: Range
    readonly inline: boolean
    /** What is in a list. */
    readonly items: readonly Range[]
  }
}

export interface Table {
  /** With the index for a table of an array. */
  readonly path: Path
  readonly start: number
  /** After the last thing in it. */
  readonly end: number
  /** After its header. */
  readonly head: number
  readonly pairs: readonly Pair[]
}

export interface Toml {
  readonly values: Values
  /** Before the first table. */
  readonly pairs: readonly Pair[]
  readonly tables: readonly Table[]
}

/** @throws {Refusal} */
export function parse(body: string, path: string): Toml {
  try {
    const program = parseTOML(body, { tomlVersion: '1.0.0' })
    const nodes = program.body[0].body
    return {
      values: getStaticTOMLValue(program) as Values,
      pairs: nodes.flatMap((node) => (node.type === 'TOMLKeyValue' ? pairOf(node, []) : [])),
      tables: nodes.flatMap((node) => (node.type === 'TOMLTable' ? tableOf(node) : [])),
    }
  } catch (error) {
    if (!(error instanceof ParseError)) throw error
    const what = error.message.toLowerCase()
    throw new Refusal(`${path} line ${error.lineNumber}: ${what}; nothing was changed: mend it, and run this again`)
  }
}

/** @throws {Refusal} unless the values of `after` are those that `expected` makes of the ones before */
export function checked(
  before: string,
  after: string,
  path: string,
  expected: (values: Values) => Values,
  what = 'the mirrors',
): string {
  try {
    const wanted = expected(structuredClone(parse(before, path).values))
    if (isDeepStrictEqual(parse(after, path).values, wanted)) return after
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
  }
  throw new Refusal(
    `${path} is written in a way that cannot be edited without changing more than ${what}; nothing was changed: add them by hand`,
  )
}

/** What the values have at a path of names. */
export function valueAt(values: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((value, key) => (isTable(value) ? value[key] : undefined), values)
}

/** Where a value is written, if that is in a line of its own. */
export function pairAt({ pairs, tables }: Toml, path: readonly string[]): Pair | undefined {
  return [...pairs, ...tables.flatMap((table) => table.pairs)].find((pair) => isAt(pair.path, path))
}

export function isTable(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}

/** Comments that stand directly above a table are its own. */
export function startWithComments(body: string, offset: number): number {
  let start = lineStart(body, offset)
  while (start > 0) {
    const above = lineStart(body, start - 1)
    if (!/^\s*#/.test(body.slice(above, start))) break
    start = above
  }
  return start
}

/** The lines of a table, and the empty ones after it. */
export function linesOf(body: string, table: Table): [number, number] {
  let end = lineEnd(body, table.end)
  while (end < body.length && /^[ \t]*\r?\n/.test(body.slice(end))) end = lineEnd(body, end)
  return [lineStart(body, table.start), end]
}

/** `more` as the last lines, after an empty one. */
export function appended(body: string, more: string, eol: string): string {
  if (body.trim() === '') return `${body}${more}`
  const ended = body.endsWith('\n') ? body : `${body}${eol}`
  return `${ended}${/\n[ \t]*\r?\n$/.test(ended) ? '' : eol}${more}`
}

/** `line` as the first one of a table; a comment behind its header stays there. */
export function inserted(body: string, { head }: Table, line: string, eol: string): string {
  const at = lineEnd(body, head)
  return spliced(body, at, at, at > 0 && body[at - 1] === '\n' ? `${line}${eol}` : `${eol}${line}`)
}

/** The text with one more item as the last of a list; what stands around the others stays. */
export function withItem(body: string, { value: { range, items } }: Pair, item: string): string {
  const last = items.at(-1)
  const at = last ? last[1] : range[0] + 1
  return spliced(body, at, at, last ? `, ${item}` : item)
}

/** The text without an item of a list and the comma that parts it from the one before, or else from the next. */
export function withoutItem(body: string, { value: { items } }: Pair, index: number): string {
  const [start, end] = items[index]!
  const before = items[index - 1]?.[1]
  if (before !== undefined && !body.slice(before, start).includes('#')) return spliced(body, before, end, '')
  const [comma] = /^\s*,[ \t]*/.exec(body.slice(end)) ?? ['']
  return spliced(body, start, end + comma.length, '')
}

export const isAt = (path: Path, other: readonly string[]) =>
  path.length === other.length && path.every((key, i) => key === other[i])

/** Further than its header by as much as the first thing in it, or by two. */
export function indentIn(body: string, table: Table): string {
  const indentAt = (offset: number) => /[ \t]*$/.exec(body.slice(0, offset))?.[0] ?? ''
  const [first] = table.pairs
  return first ? indentAt(first.range[0]) : `${indentAt(table.start)}  `
}

function tableOf(node: AST.TOMLTable): Table {
  return {
    path: node.resolvedKey,
    start: node.range[0],
    end: node.range[1],
    // Its closing brackets follow the name.
    head: node.key.range[1] + (node.kind === 'array' ? 2 : 1),
    pairs: node.body.map((pair) => pairOf(pair, node.resolvedKey)),
  }
}

function pairOf(node: AST.TOMLKeyValue, within: Path): Pair {
  const keys = node.key.keys.map((key) => (key.type === 'TOMLBare' ? key.name : key.value))
  const { value } = node
  const items = value.type === 'TOMLArray' ? value.elements.map(({ range }) => range) : []
  return {
    path: [...within, ...keys],
    range: node.range,
    value: { range: value.range, inline: value.type === 'TOMLInlineTable', items },
  }
}
