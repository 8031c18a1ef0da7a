import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { importsOf, violations } from './floors.ts'

const src = join(import.meta.dir, '..', 'src')

test('every file imports from lower floors only', async () => {
  const found: string[] = []
  let files = 0
  for await (const path of new Bun.Glob('**/*.{ts,tsx}').scan(src)) {
    files++
    found.push(...violations(path, await Bun.file(join(src, path)).text()))
  }
  expect(files).toBeGreaterThan(15)
  expect(found.sort()).toEqual([])
})

test('all ways to import are read', () => {
  const text = `
import { a } from '../a.ts'
import type { B } from "../b.ts"
import {
  c,
} from '../c.ts'
export * from '../d.ts'
export { type E } from '../e.ts'
import '../f.ts'
const g = await import('../g.ts')
let h: import('../h.ts').H
import data from '../i.json' with { type: 'json' }
`
  expect(importsOf(text).map((specifier) => specifier.slice(3, 4))).toEqual([...'abcdefghi'])
})

test('an upward import is caught', () => {
  expect(violations('store/blob-store.ts', `import { x } from '../registry/app.ts'`)).toEqual([
    'store/blob-store.ts: imports ../registry/app.ts, upward from store to registry',
  ])
  expect(violations('oci/digest.ts', `import type { X } from '../content/content.ts'`)).toHaveLength(1)
  expect(violations('node/node.ts', `const { run } = await import('../cli/up.ts')`)).toHaveLength(1)
})

test('an import between folders of one floor is caught', () => {
  expect(violations('swarm/swarm.ts', `import type { X } from '../scheduler/parents.ts'`)).toEqual([
    'swarm/swarm.ts: imports ../scheduler/parents.ts, sideways from swarm to scheduler',
  ])
})

test('downward imports, siblings and packages are fine', () => {
  const text = `
import { Hono } from 'hono'
import { sibling } from './names.ts'
import { deeper } from './names/deeper.ts'
import type { Content } from '../content/content.ts'
import { Failure } from '../failure.ts'
`
  expect(violations('registry/app.ts', text)).toEqual([])
})

test('what decides in a download knows nothing of the swarm around it', async () => {
  const outward: string[] = []
  for await (const path of new Bun.Glob('swarm/download/*.ts').scan(src)) {
    if (path.endsWith('.test.ts')) continue
    const imports = importsOf(await Bun.file(join(src, path)).text())
    outward.push(...imports.filter((specifier) => /^\.\.\/[^/]+$/.test(specifier)).map((each) => `${path} ${each}`))
  }
  expect(outward).toEqual([])
})

test('only a test reaches outside src', () => {
  const text = `import { fakeSource } from '../../test/fakes/source.ts'`
  expect(violations('swarm/downloader.test.ts', text)).toEqual([])
  expect(violations('swarm/downloader.ts', text)).toHaveLength(1)
})

test('a folder without a floor is named', () => {
  expect(violations('helpers/x.ts', '')).toEqual(['helpers/x.ts: helpers has no floor; give it one in test/floors.ts'])
})
