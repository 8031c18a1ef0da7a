import { ptr } from 'bun:ffi'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Member, tarOf } from '../../../test/fakes/tar.ts'
import { erofsOf } from '../../erofs/image.ts'
import { Failure } from '../../failure.ts'
import { cString, libc } from '../../fuse/libc.ts'
import type { LayerEntry } from '../../tar/entry.ts'
import { TarReader } from '../../tar/reader.ts'
import { hasImplied, makeFolders } from './implied-folders.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-implied-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const isRoot = process.getuid?.() === 0
const at = (path: string) => join(dir, path)
const over = () => at('over')

/** Folders with their modes; what ends in no slash is a file. */
function tree(name: string, folders: Readonly<Record<string, number>>): string {
  mkdirSync(at(name), { recursive: true })
  for (const [path, mode] of Object.entries(folders)) {
    if (path.endsWith('/')) mkdirSync(join(at(name), path), { recursive: true })
    else writeFileSync(join(at(name), path), '')
    chmodSync(join(at(name), path), mode)
  }
  return at(name)
}

/** The layer of these entries, as it is when it is mounted. */
function layer(...members: Member[]) {
  const entries: LayerEntry[] = []
  const reader = new TarReader({ entry: (entry) => void entries.push(entry), data: () => {} })
  reader.push(tarOf(members))
  writeFileSync(at('tree'), erofsOf(entries, { dataBytes: 0 }))
  const mounted = tree('layer', {})
  for (const { name, flag, mode } of members) {
    mkdirSync(join(mounted, flag === '5' ? name : join(name, '..')), { recursive: true })
    if (flag === '5') chmodSync(join(mounted, name), mode!)
  }
  return { tree: at('tree'), layer: mounted }
}

const make = (above: ReturnType<typeof layer>, ...below: string[]) => makeFolders({ ...above, below, into: over() })
const modeOf = (path: string) => (lstatSync(path).mode & 0o7777).toString(8)
const shown = () =>
  readdirSync(over(), { recursive: true, encoding: 'utf8' })
    .sort()
    .map((path) => `${path} ${modeOf(join(over(), path))}`)

describe('folders that a layer does not describe', () => {
  test('are made as they are below, and those on the way as the layer has them', () => {
    const above = layer({ name: 'tmp/x' }, { name: 'var/', flag: '5', mode: 0o711 }, { name: 'var/tmp/x' })
    chmodSync(above.layer, 0o701)
    const base = tree('base', { 'tmp/': 0o1777, 'var/': 0o755, 'var/tmp/': 0o1777, 'root/': 0o700 })
    expect(make(above, base)).toBe(true)
    expect(shown()).toEqual(['tmp 1777', 'var 711', 'var/tmp 1777'])
    expect(modeOf(over())).toBe('701')
  })

  test('are not made where they are the same below, or nowhere below', () => {
    const base = tree('base', { 'usr/': 0o755, 'usr/lib/': 0o755 })
    expect(make(layer({ name: 'usr/lib/x' }, { name: 'opt/app/x' }), base)).toBe(false)
    expect(existsSync(over())).toBe(false)
  })

  test('are those of the nearest layer that has them; what is no folder there hides the rest', () => {
    const above = layer({ name: 'a/x' }, { name: 'b/c/x' }, { name: 'd/x' })
    const near = tree('near', { 'a/': 0o750, b: 0o644 })
    const far = tree('far', { 'a/': 0o700, 'b/': 0o700, 'b/c/': 0o700, 'd/': 0o770 })
    make(above, near, far)
    expect(shown()).toEqual(['a 750', 'd 770'])
  })

  test('are found through symlinks, which never lead out of their layer', () => {
    const above = layer({ name: 'run/x' }, { name: 'out/x' }, { name: 'loop/x' }, { name: 'gone/x' })
    const base = tree('base', { 'real/': 0o700, 'real/run/': 0o1777 })
    symlinkSync('/link/run', join(base, 'run'))
    symlinkSync('../../real', join(base, 'link'))
    tree('outside', { '../escape/': 0o777 })
    symlinkSync('../../escape', join(base, 'out'))
    symlinkSync('loop', join(base, 'loop'))
    symlinkSync('nowhere', join(base, 'gone'))
    make(above, base)
    expect(shown()).toEqual(['run 1777'])
  })

  test('have names of any bytes', () => {
    const name = Buffer.from(`${dir}/base/caf\xe9`, 'latin1')
    const above = layer()
    const own = Buffer.from(`${dir}/layer/caf\xe9`, 'latin1')
    const entries: LayerEntry[] = []
    const reader = new TarReader({ entry: (entry) => void entries.push(entry), data: () => {} })
    reader.push(tarOf([{ name: 'caf\xe9/x' }]))
    writeFileSync(above.tree, erofsOf(entries, { dataBytes: 0 }))
    mkdirSync(own)
    tree('base', {})
    mkdirSync(name)
    chmodSync(name, 0o1777)
    make(above, at('base'))
    expect(lstatSync(Buffer.from(`${over()}/caf\xe9`, 'latin1')).mode & 0o7777).toBe(0o1777)
  })

  test("keep the layer's own times", () => {
    const above = layer({ name: 'a/b/x' })
    for (const path of ['', 'a', 'a/b']) utimesSync(join(above.layer, path), 5, 1.5)
    make(above, tree('base', { 'a/': 0o700, 'a/b/': 0o700 }))
    for (const path of ['', 'a', 'a/b']) expect(lstatSync(join(over(), path)).mtimeMs).toBe(1500)
  })

  test.skipIf(!isRoot)('have owners and attributes of what is below, but none that steer file systems', () => {
    const above = layer({ name: 'home/me/x' })
    const base = tree('base', { 'home/': 0o755, 'home/me/': 0o755 })
    chownSync(join(base, 'home/me'), 1000, 70_000)
    for (const name of ['trusted.overlay.opaque', 'user.color']) {
      const [path, key, value] = [join(base, 'home/me'), name, 'y'].map(cString)
      expect(libc().lsetxattr(ptr(path!), ptr(key!), ptr(value!), 1, 0)).toBe(0)
    }
    make(above, base)
    const { uid, gid } = lstatSync(join(over(), 'home/me'))
    expect([uid, gid]).toEqual([1000, 70_000])
    const [made, names] = [cString(join(over(), 'home/me')), new Uint8Array(4096)]
    const length = Number(libc().llistxattr(ptr(made), ptr(names), names.length))
    const found = Buffer.from(names.subarray(0, length)).toString().split('\0')
    expect(found.filter((name) => /^(user|trusted)\./.test(name))).toEqual(['user.color'])
    // Attributes alone make a difference too.
    rmSync(over(), { recursive: true })
    chownSync(join(base, 'home/me'), 0, 0)
    expect(make(above, base)).toBe(true)
  })

  test('are made all or none', () => {
    mkdirSync(over())
    const base = tree('base', { 'tmp/': 0o1777 })
    expect(() => make(layer({ name: 'tmp/x' }), base)).toThrow(/EEXIST/)
  })
})

test('a tree lists some, or none', () => {
  expect(hasImplied(layer({ name: 'tmp/x' }).tree)).toBe(true)
  expect(hasImplied(layer({ name: 'tmp/', flag: '5', mode: 0o755 }).tree)).toBe(false)
  expect(hasImplied(at('none'))).toBe(false)
})

test('a list that does not fit its layer is refused', () => {
  const above = layer({ name: 'a/b/x' })
  rmSync(join(above.layer, 'a'), { recursive: true })
  symlinkSync('/', join(above.layer, 'a'))
  expect(() => make(above, tree('base', { 'a/': 0o700, 'a/b/': 0o700 }))).toThrow(Failure)
})
