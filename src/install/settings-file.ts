/** The settings file with what `shoal install` was told put into it. Pure; comments and order stay as they are. */
import { resolve } from 'node:path'
import { type Document, isMap, parseDocument } from 'yaml'
import { type Flags, fromYaml, piecesOf } from '../config/given.ts'
import { Problems } from '../config/problem.ts'
import { type Name, names, settingOf } from '../config/table.ts'
import { path, toggle } from '../config/values.ts'
import { copied, places } from './places.ts'

const opening = `# Settings of shoal: each flag of \`shoal up\` is a key here (\`shoal up --help\` lists them).
# After a change: systemctl restart shoal
`

export interface Copy {
  readonly from: string
  readonly path: string
}

export interface Written {
  readonly text: string
  /** Files that settings name, and where the settings file says they are. */
  readonly copies: readonly Copy[]
}

/**
 * `folder`: what relative paths are meant from; a service is started elsewhere.
 * @throws {ConfigError} where the file that is there is no map, into which nothing can be put
 */
export function withSettings(before: string | undefined, flags: Flags, folder: string): Written {
  const given = names.filter((name) => flags[name] !== undefined)
  if (given.length === 0) return { text: before ?? opening, copies: [] }
  const copies: Copy[] = []
  const document = documentOf(before ?? '')
  for (const name of given) document.set(name, yamlOf(name))
  const text = document.toString({ lineWidth: 0 })
  return { text: before === undefined ? opening + text : text, copies }

  function yamlOf(name: Name): string | boolean | string[] {
    const { kind, many } = settingOf(name)
    const texts = flags[name]!
    if (kind === toggle) return texts.at(-1) === 'true'
    if (many) return piecesOf(name, texts).map((text) => text.trim())
    const last = texts.at(-1)!
    if (kind !== path) return last
    const from = resolve(folder, last)
    const to = copied[name]
    if (to === undefined) return from
    copies.push({ from, path: to })
    return to
  }
}

function documentOf(text: string): Document {
  const document: Document = parseDocument(text)
  const { contents, errors } = document
  if (errors.length === 0 && isMap(contents)) return document
  const problems = new Problems()
  fromYaml(text, places.settings, problems)
  problems.throw()
  // There are no settings in it, but perhaps comments.
  document.contents = null
  return document
}

/** The variables in a file as systemd reads it: a line each, values in quotes or not. */
export function variablesOf(text: string): Record<string, string> {
  const lines = text.matchAll(/^[ \t]*(SHOAL_\w+)=(["']?)(.*?)\2[ \t]*$/gm)
  return Object.fromEntries([...lines].map(([, name, , value]) => [name!, value!]))
}
