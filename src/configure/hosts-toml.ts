/**
 * The `hosts.toml` of a registry, as containerd has them below `config_path`: it asks `[host."..."]` tables in the order
 * of the file, and then `server`, or the registry itself.
 */
import { type Mirrors, Refusal, sameMirror, without } from './plan.ts'
import { spliced, textOf } from './text.ts'
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

/** The file with `mirrors` as the first hosts, `former` ones gone. `server`: for a file that is made. @throws {Refusal} */
export function withHosts(
  whole: string | undefined,
  path: string,
  { mirrors, former, server }: { mirrors: Mirrors; former: Mirrors; server?: string },
): string {
  const { mark, body, eol } = textOf(whole ?? '')
  if (body.trim() === '') {
    const head = server === undefined ? '' : `server = "${server}"${eol}${eol}`
    return mark + body + head + mirrors.map((url) => block(url, eol)).join(eol)
  }
  const toml = parse(body, path)
  const present = hostsOf(toml, path)
  const wanted = [...mirrors, ...without(present, [...mirrors, ...former])]
  if (present.length === wanted.length && present.every((url, i) => sameMirror(url, wanted[i]!))) return whole!
  const blocks = mirrors.map((url) => ownBlock(body, toml, url) ?? block(url, eol))
  const left = cut(body, toml, [...mirrors, ...former])
  const put = blocks.map((text) => `${text.trimEnd()}${eol}`).join(eol)
  const next = parse(left, path).tables.find(isHost)
  const at = next && startWithComments(left, next.start)
  const after = at === undefined ? appended(left, put, eol) : spliced(left, at, at, `${put}${eol}`)
  return mark + checked(body, after, path, (values) => ({ ...values, host: ordered(values, after, path, wanted) }))
}

/** The file without `mirrors`. @throws {Refusal} */
export function withoutHosts(whole: string, path: string, mirrors: Mirrors): string {
  const { mark, body } = textOf(whole)
  const toml = parse(body, path)
  if (without(hostsOf(toml, path), mirrors).length === hostsOf(toml, path).length) return whole
  return mark + cut(body, toml, mirrors)
}

export function isHost({ path }: Table): boolean {
  return path[0] === 'host' && path.length > 1
}

/** In the order in which containerd asks them. */
function hostsOf({ pairs, tables }: Toml, path: string): string[] {
  const inline = [...pairs, ...tables.filter((table) => table.path.length === 1).flatMap((table) => table.pairs)]
  if (inline.some((pair) => pair.path[0] === 'host')) {
    throw new Refusal(
      `${path} has hosts that are not tables of their own; write them as [host."https://..."], and run this again: nothing was changed`,
    )
  }
  return [...new Set(tables.filter(isHost).map((table) => String(table.path[1])))]
}

/** What the operator wrote for a mirror that is there already, if it is in one place. */
function ownBlock(body: string, { tables }: Toml, url: string): string | undefined {
  const own = tables.filter((table) => isHost(table) && sameMirror(String(table.path[1]), url))
  const [first] = own
  const last = own.at(-1)
  if (!first || !last || tables.indexOf(last) - tables.indexOf(first) !== own.length - 1) return undefined
  return body.slice(linesOf(body, first)[0], linesOf(body, last)[1])
}

function cut(body: string, { tables }: Toml, urls: readonly string[]): string {
  return tables
    .filter((table) => isHost(table) && urls.some((url) => sameMirror(url, String(table.path[1]))))
    .reduceRight((text, table) => spliced(text, ...linesOf(body, table), ''), body)
}

/** The hosts as they are meant to be: those that were there as they were. The new ones are what this program wrote. */
function ordered(before: Values, after: string, path: string, wanted: readonly string[]): Values {
  const old = isTable(before.host) ? before.host : {}
  const now = parse(after, path).values.host
  const hosts = isTable(now) ? now : {}
  const names = Object.keys(hosts)
  const value = (url: string) => old[names.find((name) => sameMirror(name, url)) ?? url] ?? fresh
  return Object.fromEntries(wanted.map((url) => [names.find((name) => sameMirror(name, url)) ?? url, value(url)]))
}

const fresh = { capabilities: ['pull', 'resolve'] }

function block(url: string, eol: string): string {
  return `[host."${url}"]${eol}  capabilities = ["pull", "resolve"]${eol}`
}
