import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { asideOf, intoPlace, removeLeftovers } from './aside.ts'
import { seededRandom } from './clock.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'shoal-aside-'))
})
afterEach(() => rmSync(root, { recursive: true }))

const later = () => Date.now() + 2 * 3_600_000

test('no two runs have one name, in the folder of the file', () => {
  const random = seededRandom(1)
  const names = Array.from({ length: 100 }, () => asideOf('/etc/a.conf', random))
  expect(new Set(names).size).toBe(100)
  for (const name of names) expect(name).toMatch(/^\/etc\/\.a\.conf\.shoal-[0-9a-f]+$/)
})

test('what killed runs left goes, and nothing else', () => {
  const ours = ['.f.shoal-1', basename(asideOf(join(root, 'f')))]
  const others = ['f', '.g.shoal-1', '.f.shoal-1.bak', '.f.shoal-', '.f.swp', 'f.shoal-1']
  for (const name of [...ours, ...others]) writeFileSync(join(root, name), '')
  mkdirSync(join(root, '.f.shoal-2'))
  removeLeftovers(join(root, 'f'), later())
  expect(readdirSync(root).sort()).toEqual([...others, '.f.shoal-2'].sort())
  removeLeftovers(join(root, 'no/folder/f'), later())
})

test('the file of a run that goes on stays, also one that has got an old time', () => {
  writeFileSync(join(root, '.f.shoal-1'), '')
  utimesSync(join(root, '.f.shoal-1'), 1, 1)
  removeLeftovers(join(root, 'f'), Date.now())
  expect(readdirSync(root)).toEqual(['.f.shoal-1'])
})

test('a file is on the disk before its name is, and the name when it is told of', () => {
  const calls: string[] = []
  const sync = (path: string) => void calls.push(`sync ${path}`)
  intoPlace('/bin/.f', '/bin/f', {
    sync,
    rename: (from, to) => void calls.push(`rename ${String(from)} ${String(to)}`),
  })
  expect(calls).toEqual(['sync /bin/.f', 'rename /bin/.f /bin/f', 'sync /bin'])
})
