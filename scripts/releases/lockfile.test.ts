import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { closureOf } from './lockfile.ts'

const root = join(import.meta.dir, '..', '..')

/** A lockfile with what is said of its packages: what they need, by key. */
function locked(direct: readonly string[], packages: Record<string, { needs?: string[]; peers?: string[] }>): string {
  const record = (names: readonly string[] = []) => Object.fromEntries(names.map((name) => [name, '*']))
  const entries = Object.entries(packages).map(([key, { needs, peers }]) => {
    const name = /(?:@[^/]+\/)?[^/]+$/.exec(key)![0]
    return [key, [`${name}@1.0.0`, '', { dependencies: record(needs), peerDependencies: record(peers) }, 'sha512-AAAA']]
  })
  return JSON.stringify({
    workspaces: { '': { dependencies: record(direct), devDependencies: record(['tool']) } },
    packages: Object.fromEntries(entries),
  })
}

const paths = (text: string) => closureOf(text).packages.map(({ path }) => path)

describe('what is part of the binary', () => {
  test('is what the dependencies lead to, and no tool', () => {
    const text = locked(['a'], { a: { needs: ['b'] }, b: {}, tool: { needs: ['c'] }, c: {} })
    expect(paths(text)).toEqual(['a', 'b'])
    expect(closureOf(text).direct).toEqual(['a'])
  })

  test('is a copy of its own where a package has one, else that of the next package above', () => {
    const text = locked(['@x/a', 'b'], {
      '@x/a': { needs: ['b', '@x/c'] },
      '@x/a/b': {},
      '@x/c': { needs: ['b'] },
      b: {},
    })
    const { packages } = closureOf(text)
    expect(packages.map(({ path }) => path)).toEqual(['@x/a', '@x/a/node_modules/b', '@x/c', 'b'])
    expect(packages.map(({ needs }) => needs)).toEqual([['@x/a/node_modules/b', '@x/c'], [], ['b'], []])
  })

  test('is found once where packages need each other', () => {
    expect(paths(locked(['a'], { a: { needs: ['b'] }, b: { needs: ['a'] } }))).toEqual(['a', 'b'])
  })

  test('has a peer only where there is one', () => {
    expect(paths(locked(['a'], { a: { peers: ['b', 'gone'] }, b: {} }))).toEqual(['a', 'b'])
  })

  test('cannot be told when a package is missing', () => {
    expect(() => closureOf(locked(['a'], { a: { needs: ['gone'] } }))).toThrow(/no gone, which a needs/)
  })

  test('is there in this repository, each with its digest', () => {
    const { packages, direct } = closureOf(readFileSync(join(root, 'bun.lock'), 'utf8'))
    expect(direct).toContain('hono')
    for (const name of ['@biomejs/biome', 'typescript', '@cyclonedx/cyclonedx-library']) {
      expect(packages.map((each) => each.name)).not.toContain(name)
    }
    for (const { integrity } of packages) expect(integrity).toMatch(/^sha512-[A-Za-z0-9+/]{86}==$/)
  })
})
