/**
 * `registry-mirrors` in dockerd's daemon.json. dockerd reads strict JSON: with a comment or a trailing comma it does not
 * start, so such a file is not in use as it stands, and is refused rather than edited.
 */
import { isDeepStrictEqual } from 'node:util'
import { modify, type Node, type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser'
import { type Mirrors, Refusal, sameMirror, without } from './plan.ts'
import { lineOf, lineStart, spliced, textOf } from './text.ts'

const key = 'registry-mirrors'
const again = 'nothing was changed; mend it, and run this again'

/**
 * The file with `mirrors` first, then those that it had, `former` ones left out.
 * @throws {Refusal}
 */
export function withMirrors(whole: string | undefined, path: string, mirrors: Mirrors, former: Mirrors): string {
  const { mark, body, eol } = textOf(whole ?? '')
  if (body.trim() === '') {
    return `${mark}${['{', `  ${property(mirrors)}`, '}', ''].join(eol)}`
  }
  const { root, node, listed } = read(body, path)
  const wanted = [...mirrors, ...without(listed ?? [], [...mirrors, ...former])]
  if (listed?.length === wanted.length && listed.every((url, i) => sameMirror(url, wanted[i]!))) return whole!
  const after = node?.type === 'array' ? replaced(body, node, wanted) : added(body, root, node, wanted, eol)
  return mark + checked(body, after, path)
}

/** The file without `mirrors`; the whole list goes with the last one unless the file had one `before` them. */
export function withoutMirrors(whole: string, path: string, mirrors: Mirrors, before: string | undefined): string {
  const { mark, body } = textOf(whole)
  if (body.trim() === '') return whole
  const { node, listed } = read(body, path)
  if (!node || !listed) return whole
  const left = without(listed, mirrors)
  if (left.length === listed.length) return whole
  if (left.length > 0 || listsMirrors(before, path)) return mark + checked(body, replaced(body, node, left), path)
  const edits = modify(body, [key], undefined, {})
  const after = edits.reduceRight(
    (text, { offset, length, content }) => spliced(text, offset, offset + length, content),
    body,
  )
  return mark + checked(body, after, path)
}

/** False where it says nothing of mirrors, not even that there are none. @throws {Refusal} */
export function listsMirrors(whole: string | undefined, path: string): boolean {
  const { body } = textOf(whole ?? '')
  return body.trim() !== '' && read(body, path).listed !== undefined
}

/** For a file that {@link listsMirrors} says nothing in: what dockerd reads in its place, to let go of those that it has. */
export function withEmptyList(whole: string | undefined, path: string): string {
  return withMirrors(whole, path, [], [])
}

interface Read {
  readonly root: Node
  /** The value of `registry-mirrors`, and what it lists. */
  readonly node: Node | undefined
  readonly listed: string[] | undefined
}

function read(body: string, path: string): Read {
  const errors: ParseError[] = []
  const root = parseTree(body, errors, { disallowComments: true, allowTrailingComma: false })
  const [error] = errors
  if (error) {
    const what = printParseErrorCode(error.error)
      .replace(/(?<=[a-z])(?=[A-Z])/g, ' ')
      .toLowerCase()
    const comment = what.includes('comment') ? ', which dockerd does not take' : ''
    throw new Refusal(`${path} line ${lineOf(body, error.offset)}: ${what}${comment}; ${again}`)
  }
  if (root?.type !== 'object') throw new Refusal(`${path} is not an object of settings; ${again}`)
  const found = (root.children ?? []).filter(({ children }) => children?.[0]?.value === key)
  if (found.length > 1) throw new Refusal(`${path} has "${key}" ${found.length} times; ${again}`)
  const node = found[0]?.children?.[1]
  if (!node || node.type === 'null') return { root, node, listed: undefined }
  const items = node.type === 'array' ? (node.children ?? []) : undefined
  if (!items?.every(({ type }) => type === 'string')) {
    throw new Refusal(`${path}: "${key}" is not a list of addresses, and dockerd takes nothing else; ${again}`)
  }
  return { root, node, listed: items.map(({ value }) => String(value)) }
}

/** A list written as the one that is there: what stands around its items and between them stays. */
function replaced(body: string, node: Node, urls: readonly string[]): string {
  const start = node.offset
  const end = start + node.length
  const [first, second] = node.children ?? []
  const last = node.children?.at(-1)
  if (!first || !last || urls.length === 0) return spliced(body, start, end, list(urls))
  const lead = body.slice(start + 1, first.offset)
  const between = second
    ? body.slice(first.offset + first.length, second.offset)
    : `,${lead.includes('\n') ? lead : ' '}`
  const tail = body.slice(last.offset + last.length, end - 1)
  return spliced(body, start, end, `[${lead}${urls.map(quoted).join(between)}${tail}]`)
}

/** As the last property, on a line of its own where the others have theirs. */
function added(body: string, root: Node, nothing: Node | undefined, urls: readonly string[], eol: string): string {
  if (nothing) return spliced(body, nothing.offset, nothing.offset + nothing.length, list(urls))
  const last = root.children?.at(-1)
  const end = root.offset + root.length
  if (!last) return spliced(body, root.offset, end, `{${eol}  ${property(urls)}${eol}}`)
  const line = body.slice(lineStart(body, last.offset), last.offset)
  const space = line.trim() === '' && body.slice(root.offset, last.offset).includes('\n') ? eol + line : ' '
  return spliced(body, last.offset + last.length, last.offset + last.length, `,${space}${property(urls)}`)
}

/** An edit that would change anything else is not made. */
function checked(before: string, after: string, path: string): string {
  const others = (text: string) => ({ ...(JSON.parse(text) as Record<string, unknown>), [key]: undefined })
  if (isDeepStrictEqual(others(before), others(after))) return after
  throw new Refusal(`${path} cannot be edited without changing more than "${key}"; add it by hand: nothing was changed`)
}

const quoted = (url: string) => JSON.stringify(url)
const list = (urls: readonly string[]) => `[${urls.map(quoted).join(', ')}]`
const property = (urls: readonly string[]) => `${JSON.stringify(key)}: ${list(urls)}`
