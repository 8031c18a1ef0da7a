/** What bun.lock says is part of the binary: the packages that `dependencies` lead to, and nothing of the tools. Pure. */
import { parse } from 'jsonc-parser'
import { z } from 'zod'

export interface Package {
  readonly name: string
  readonly version: string
  /** As in the lockfile: `sha512-` and base64. */
  readonly integrity: string
  /** Its folder below `node_modules`. */
  readonly path: string
  /** Paths of the packages that it needs. */
  readonly needs: readonly string[]
}

const versions = z.record(z.string(), z.string()).default({})
const lockfile = z.object({
  workspaces: z.object({ '': z.object({ dependencies: versions }) }),
  packages: z.record(
    z.string(),
    z.tuple([z.string(), z.string(), z.object({ dependencies: versions, peerDependencies: versions }), z.string()]),
  ),
})

export interface Closure {
  readonly packages: readonly Package[]
  /** Paths of those that `package.json` names. */
  readonly direct: readonly string[]
}

/** @throws when the lockfile is of another form, or lacks a package that another one needs */
export function closureOf(text: string): Closure {
  const { packages, workspaces } = lockfile.parse(parse(text, [], { allowTrailingComma: true }))
  const found = new Map<string, Package>()
  const direct = Object.keys(workspaces[''].dependencies).map((name) => visit(name, ''))
  const byPath = (a: Package, b: Package) => (a.path < b.path ? -1 : 1)
  return { packages: [...found.values()].sort(byPath), direct: direct.filter(isThere).sort() }

  /** The path of `name` as seen from the package at `from`: its own copy, or the next one on the way up. */
  function visit(name: string, from: string, optional = false): string | undefined {
    for (let folder: string | undefined = from; folder !== undefined; folder = above(folder)) {
      const key = folder === '' ? name : `${folder}/${name}`
      const entry = packages[key]
      if (!entry) continue
      const path = pathOf(key)
      if (found.has(path)) return path
      const [resolved, , { dependencies, peerDependencies }, integrity] = entry
      const at = resolved.lastIndexOf('@')
      const needs: string[] = []
      found.set(path, { name: resolved.slice(0, at), version: resolved.slice(at + 1), integrity, path, needs })
      for (const each of Object.keys(dependencies)) needs.push(visit(each, key)!)
      // Peers that nobody brought are missing on purpose.
      needs.push(
        ...Object.keys(peerDependencies)
          .map((each) => visit(each, key, true))
          .filter(isThere),
      )
      needs.sort()
      return path
    }
    if (optional) return undefined
    throw new Error(`bun.lock has no ${name}, which ${from || 'package.json'} needs`)
  }
}

const isThere = (path: string | undefined): path is string => path !== undefined

/** Keys are names one below the other; a scoped name has a slash of its own. */
const namesIn = (key: string) => key.match(/@[^/]+\/[^/]+|[^/]+/g) ?? []

function above(key: string): string | undefined {
  return key === '' ? undefined : namesIn(key).slice(0, -1).join('/')
}

function pathOf(key: string): string {
  return namesIn(key).join('/node_modules/')
}
