import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import fc from 'fast-check'
import { readErofs } from '../../test/fakes/erofs.ts'
import { Failure } from '../failure.ts'
import type { LayerEntry } from '../tar/entry.ts'
import { erofsOf } from './image.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

type Some = Partial<LayerEntry> & Pick<LayerEntry, 'path'>

const entryOf = (some: Some): LayerEntry => ({
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: { seconds: 1000, nanos: 0 },
  rdev: { major: 0, minor: 0 },
  target: '',
  size: 0,
  extents: [],
  xattrs: new Map(),
  ...some,
})

const treeOf = (...entries: Some[]) => readErofs(erofsOf(entries.map(entryOf), { dataBytes: 2 ** 40 }))
const folder = (path: string, some: Partial<LayerEntry> = {}): Some => ({
  path,
  type: 'directory',
  mode: 0o755,
  ...some,
})
const link = (path: string, target: string): Some => ({ path, type: 'hardlink', target })
const symlink = (path: string, target: string): Some => ({ path, type: 'symlink', mode: 0o777, target })
const bytes = (text: string) => Buffer.from(text, 'latin1')
const run = (length: number, at = 512): Pick<LayerEntry, 'size' | 'extents'> => ({
  size: length,
  extents: length === 0 ? [] : [{ offset: 0, at, length }],
})

describe('what a name has', () => {
  test('owner, mode, time and place of its bytes', () => {
    const mtime = { seconds: -3, nanos: 7 }
    const tree = treeOf({ path: 'f', mode: 0o4755, uid: 70_000, gid: 80_000, mtime, ...run(1000, 1024) })
    expect(tree.get('f')).toMatchObject({
      ...{ mode: 0o104755, uid: 70_000, gid: 80_000, mtime, links: 1, size: 1000 },
      runs: [{ offset: 0, at: 1024, length: 1000 }],
    })
  })

  test('a file of more than 4 GiB, and the last block that a number can say', () => {
    const size = 5 * 2 ** 30 + 1
    expect(treeOf({ path: 'f', ...run(size) }).get('f')).toMatchObject({ size, runs: [{ at: 512, length: size }] })
    const at = 2 ** 40 - 512
    expect(treeOf({ path: 'f', ...run(512, at) }).get('f')!.runs[0]!.at).toBe(at)
  })

  test('devices, pipes and symlinks of any length', () => {
    const lengths = [1, 100, 448, 449, 480, 481, 511, 512, 513, 1024, 4095]
    const tree = treeOf(
      { path: 'c', type: 'char', rdev: { major: 4095, minor: 1_048_575 } },
      { path: 'b', type: 'block', rdev: { major: 8, minor: 300 } },
      { path: 'p', type: 'fifo' },
      ...lengths.map((length) => symlink(`l${length}`, 'x'.repeat(length))),
    )
    expect(tree.get('c')).toMatchObject({ mode: 0o020644, device: '4095:1048575' })
    expect(tree.get('b')).toMatchObject({ mode: 0o060644, device: '8:300' })
    expect(tree.get('p')!.mode).toBe(0o010644)
    for (const length of lengths) expect(tree.get(`l${length}`)!.target).toBe('x'.repeat(length))
  })

  test('a symlink is of mode 0777, whatever the tar says', () => {
    expect(treeOf({ ...symlink('l', 't'), mode: 0o600 }).get('l')!.mode).toBe(0o120777)
  })

  test('extended attributes, equal ones once', () => {
    const value = 'v'.repeat(2000)
    const xattrs = new Map([
      ['security.selinux', bytes(value)],
      ['user.x', bytes('\0\xff\n')],
      ['system.posix_acl_access', bytes('acl')],
    ])
    const tree = treeOf({ path: 'a', xattrs }, { path: 'b', xattrs: new Map([...xattrs].slice(0, 1)) })
    expect(tree.get('a')!.xattrs).toEqual({
      ...{ 'security.selinux': value, 'user.x': '\0\xff\n', 'system.posix_acl_access': 'acl' },
    })
    expect(tree.get('b')!.xattrs).toEqual({ 'security.selinux': value })
    const length = (count: number) => {
      const entries = Array.from({ length: count }, (_, i) => entryOf({ path: `f${i}`, xattrs }))
      return erofsOf(entries, { dataBytes: 0 }).length
    }
    expect(length(100) - length(2)).toBeLessThan(98 * 200)
  })

  test('attributes that steer overlayfs, or that Linux does not have there, are left out', () => {
    const xattrs = new Map(
      ['trusted.overlay.redirect', 'trusted.x', 'system.other', 'user.', 'odd'].map((name) => [name, bytes('x')]),
    )
    expect(treeOf({ path: 'f', xattrs }).get('f')!.xattrs).toEqual({})
    const user = new Map([['user.x', bytes('x')]])
    expect(treeOf({ ...symlink('l', 't'), xattrs: user }).get('l')!.xattrs).toEqual({})
  })

  test('more attributes than an image can say are refused', () => {
    expect(() => treeOf({ path: 'f', xattrs: new Map([['user.x', new Uint8Array(65_536)]]) })).toThrow(Failure)
    expect(() => treeOf({ path: 'f', xattrs: new Map([[`user.${'x'.repeat(251)}`, bytes('x')]]) })).toThrow(Failure)
    const many = Array.from({ length: 5 }, (_, i) => [`user.${i}`, new Uint8Array(65_000)] as const)
    expect(() => treeOf({ path: 'f', xattrs: new Map(many) })).toThrow(Failure)
  })
})

test('a file that the last block of the layer does not hold whole is refused, for the kernel could not read it', () => {
  const last = entryOf({ path: 'f', ...run(700) })
  expect(readErofs(erofsOf([last], { dataBytes: 1536 })).has('f')).toBe(true)
  for (const dataBytes of [1535, 1212, 600]) expect(() => erofsOf([last], { dataBytes })).toThrow(/padding/)
})

describe('files with holes', () => {
  test('holes stay holes, and what is between them is found', () => {
    const extents = [
      { offset: 4096, at: 512, length: 8192 },
      { offset: 1_048_576, at: 8704, length: 512 },
    ]
    const { size, runs } = treeOf({ path: 's', size: 2_000_000, extents }).get('s')!
    expect(size).toBe(2_000_000)
    const map = runs.flatMap((r) =>
      Array.from({ length: r.length / 512 }, (_, i) => [r.offset + 512 * i, r.at + 512 * i]),
    )
    const wanted = extents.flatMap((e) =>
      Array.from({ length: e.length / 512 }, (_, i) => [e.offset + 512 * i, e.at + 512 * i]),
    )
    expect(map).toEqual(wanted)
  })

  test('one hole only, however long, costs next to nothing', () => {
    expect(treeOf({ path: 's', size: 2 ** 44 }).get('s')).toMatchObject({ size: 2 ** 44, runs: [] })
  })

  test('holes that no block can follow, or too many of them, are refused', () => {
    const odd = { path: 's', size: 4096, extents: [{ offset: 100, at: 512, length: 10 }] }
    expect(() => treeOf(odd)).toThrow(/512/)
    const long = { path: 's', size: 2 ** 45, extents: [{ offset: 512, at: 512, length: 512 }] }
    expect(() => treeOf(long)).toThrow(Failure)
  })
})

describe('the tree', () => {
  const names = (...entries: Some[]) => [...treeOf(...entries).keys()].sort()

  test('folders that nobody mentions are made', () => {
    const tree = treeOf({ path: 'a/b/c', mtime: { seconds: 5, nanos: 6 } })
    expect(tree.get('a/b')).toMatchObject({ mode: 0o040755, uid: 0, links: 2, mtime: { seconds: 5, nanos: 6 } })
    expect(tree.get('a')!.links).toBe(3)
  })

  test('no name leads out of the layer', () => {
    expect(
      names({ path: '/abs' }, { path: '../up' }, { path: 'd/../../../x/y' }, { path: '..' }, { path: '' }),
    ).toEqual([...['', 'abs', 'up', 'x', 'x/y']])
  })

  test('the root has what its entry says', () => {
    expect(treeOf(folder('./', { mode: 0o1777, uid: 9 })).get('')).toMatchObject({ mode: 0o041777, uid: 9 })
  })

  test('a later entry takes the place of an earlier one; folders are merged', () => {
    const tree = treeOf(folder('d', { uid: 1 }), { path: 'd/f', ...run(1) }, folder('d', { uid: 2 }), {
      ...{ path: 'd/f', ...run(2, 1024) },
    })
    expect(tree.get('d')!.uid).toBe(2)
    expect(tree.get('d/f')!.size).toBe(2)
    expect(names(folder('d'), { path: 'd/f' }, { path: 'd' })).toEqual(['', 'd'])
    expect(names({ path: 'd' }, folder('d'), { path: 'd/f' })).toEqual(['', 'd', 'd/f'])
  })

  test('entries below a symlink go where it leads, but no further up than the root', () => {
    expect(names(symlink('lib', 'usr/lib'), { path: 'lib/x' })).toEqual(['', 'lib', 'usr', 'usr/lib', 'usr/lib/x'])
    expect(names(symlink('l', '/../../etc'), { path: 'l/passwd' })).toEqual(['', 'etc', 'etc/passwd', 'l'])
    expect(names(folder('a/b'), symlink('a/b/up', '../c'), { path: 'a/b/up/f' })).toContain('a/c/f')
    expect(names(symlink('d', 'x'), folder('d'))).toEqual(['', 'd'])
  })

  test('symlinks that lead to each other, and files that are taken for folders, are refused', () => {
    expect(() => treeOf(symlink('a', 'b'), symlink('b', 'a'), { path: 'a/f' })).toThrow(Failure)
    expect(() => treeOf({ path: 'f' }, { path: 'f/x' })).toThrow(/no folder/)
  })

  test('a maze of symlinks that would take for ever to walk is refused', () => {
    const maze = Array.from({ length: 40 }, (_, i) =>
      symlink(`l${i}`, i === 39 ? 'end' : `l${i + 1}/${'x/../'.repeat(800)}`),
    )
    const lost = Array.from({ length: 1000 }, (_, i) => ({ path: `l0/${i}` }))
    expect(() => treeOf(...maze, ...lost)).toThrow(/too many/)
  })

  test('hard links are names of one inode, chains of them too', () => {
    const tree = treeOf(
      { path: 'd/a', ...run(9) },
      link('b', 'd/a'),
      link('c', './b'),
      link('s', 'c'),
      link('a', '/d/a'),
    )
    const nids = ['d/a', 'b', 'c', 's', 'a'].map((name) => tree.get(name)!.nid)
    expect(new Set(nids).size).toBe(1)
    expect(tree.get('c')).toMatchObject({ links: 5, size: 9 })
    const inode = treeOf(symlink('l', 'nowhere'), link('m', 'l'))
    expect(inode.get('m')!.nid).toBe(inode.get('l')!.nid)
  })

  test('a hard link keeps what its target was when it was made', () => {
    const tree = treeOf({ path: 'a', ...run(1) }, link('b', 'a'), { path: 'a', ...run(2, 1024) })
    expect(tree.get('b')).toMatchObject({ links: 1, size: 1 })
    expect(tree.get('a')).toMatchObject({ links: 1, size: 2 })
    expect(treeOf({ path: 'a', ...run(1) }, link('a', 'a')).get('a')!.size).toBe(1)
  })

  test('hard links to what comes later, to nothing, to folders and to what is gone are refused', () => {
    expect(() => treeOf(link('b', 'a'), { path: 'a' })).toThrow(/not in this layer before it/)
    expect(() => treeOf(link('b', 'nowhere/x'))).toThrow(Failure)
    expect(() => treeOf(folder('d'), link('b', 'd'))).toThrow(/folder/)
    expect(() => treeOf(folder('d'), { path: 'd/f' }, link('d', 'd/f'))).toThrow(Failure)
    expect(() => treeOf({ path: '.wh.a' }, link('b', 'a'))).toThrow(Failure)
  })

  test('names of any bytes, in the order of bytes', () => {
    const odd = [
      '!',
      '+',
      '-',
      '.x',
      '..y',
      '...',
      '\n',
      '\xff\xfe',
      'a b',
      'A',
      'a',
      'ab',
      'a.',
      '\x01',
      'n'.repeat(255),
    ]
    expect(names(...odd.map((path) => ({ path })))).toEqual(['', ...odd].sort())
    expect(() => treeOf({ path: 'n'.repeat(256) })).toThrow(/255/)
    expect(() => treeOf({ path: 'a/'.repeat(2048) })).toThrow(/4095/)
  })

  test('a folder of 50,000 names', () => {
    const count = 50_000
    const tree = treeOf(...Array.from({ length: count }, (_, i) => ({ path: `d/${i}`, ...run(1, 512 * (i + 1)) })))
    expect(tree.size).toBe(count + 2)
    for (let i = 0; i < count; i += 997) expect(tree.get(`d/${i}`)!.runs[0]!.at).toBe(512 * (i + 1))
  })

  test('a path of 1,000 folders, symlinked on and on', () => {
    const deep = 'd/'.repeat(1000)
    const tree = treeOf(folder(deep), symlink('l', deep), folder(`l/${deep}`), { path: `${deep}/${deep}f` })
    expect(tree.size).toBe(2003)
  })
})

describe('what is gone', () => {
  const opaque = { 'trusted.overlay.opaque': 'y' }

  test('a whiteout is a character device 0:0', () => {
    const tree = treeOf({ path: 'd/.wh.x', uid: 3 })
    expect(tree.get('d/x')).toMatchObject({ mode: 0o020000, device: '0:0', uid: 3 })
    expect(tree.has('d/.wh.x')).toBe(false)
  })

  test('an opaque folder says so, whatever the order', () => {
    expect(treeOf(folder('d'), { path: 'd/.wh..wh..opq' }, { path: 'd/f' }).get('d')!.xattrs).toEqual(opaque)
    expect(treeOf({ path: 'd/.wh..wh..opq' }, folder('d')).get('d')!.xattrs).toEqual(opaque)
    expect(treeOf({ path: '.wh..wh..opq' }).get('')!.xattrs).toEqual(opaque)
  })

  test('a name that is gone and here again hides what was below', () => {
    expect(treeOf({ path: '.wh.d' }, folder('d')).get('d')!.xattrs).toEqual(opaque)
    expect(treeOf(folder('d'), { path: '.wh.d' }).get('d')).toMatchObject({ mode: 0o040755, xattrs: opaque })
    expect(treeOf({ path: '.wh.d' }, { path: 'd/f' }).get('d')!.xattrs).toEqual(opaque)
    expect(treeOf({ path: '.wh.f' }, { path: 'f', ...run(1) }).get('f')!.size).toBe(1)
    expect(treeOf({ path: 'f', ...run(1) }, { path: '.wh.f' }).get('f')!.size).toBe(1)
  })

  test("AUFS' own names are left out; whiteouts of nothing are refused", () => {
    expect([...treeOf({ path: '.wh..wh.plnk' }, { path: '.wh..wh.aufs' }).keys()]).toEqual([''])
    for (const path of ['.wh.', '.wh..', '.wh...']) expect(() => treeOf({ path })).toThrow(Failure)
  })
})

describe('the image', () => {
  test('the same entries make the same bytes', () => {
    const entries = Array.from({ length: 100 }, (_, i) =>
      entryOf({ path: `d${i % 7}/f${i}`, ...run(i, 512 * (i + 1)) }),
    )
    expect(erofsOf(entries, { dataBytes: 1e6 })).toEqual(erofsOf(structuredClone(entries), { dataBytes: 1e6 }))
  })

  test('inodes are half as long where one time, and numbers of 16 bits, will do', () => {
    const length = (mtime: (i: number) => number, uid = 0) => {
      const entries = Array.from({ length: 1000 }, (_, i) =>
        entryOf({ path: `f${i}`, uid, mtime: { seconds: mtime(i), nanos: 0 } }),
      )
      return erofsOf(entries, { dataBytes: 0 }).length
    }
    expect(length((i) => i) - length(() => 5)).toBeGreaterThan(999 * 31)
    expect(length(() => 5, 70_000) - length(() => 5)).toBeGreaterThan(999 * 31)
  })

  test('whatever is put in is read back', () => {
    const name = fc
      .stringMatching(/^[a-zA-Z0-9\xe0-\xff._ -]{1,40}$/)
      .filter((n) => n !== '.' && n !== '..' && !n.startsWith('.wh.'))
    const common = {
      mode: fc.nat(0o7777),
      uid: fc.oneof(fc.nat(100), fc.nat(2 ** 32 - 1)),
      gid: fc.nat(2 ** 32 - 1),
      mtime: fc.record({ seconds: fc.oneof(fc.constant(1000), fc.integer()), nanos: fc.constantFrom(0, 999_999_999) }),
      xattrs: fc
        .dictionary(fc.stringMatching(/^[a-z]{1,30}$/), fc.uint8Array({ maxLength: 300 }), { maxKeys: 4 })
        .map((some) => new Map(Object.entries(some).map(([key, value]) => [`security.${key}`, value]))),
    }
    const kind = fc.oneof(
      fc.record({ ...common, type: fc.constant('file' as const), size: fc.nat(2 ** 33) }),
      fc.record({
        ...common,
        type: fc.constant('symlink' as const),
        target: fc.string({ minLength: 1, maxLength: 1200, unit: 'grapheme-ascii' }),
      }),
      fc.record({ ...common, type: fc.constant('directory' as const) }),
      fc.record({ ...common, type: fc.constant('fifo' as const) }),
    )
    const path = fc
      .array(name, { minLength: 1, maxLength: 3 })
      .map((parts) => parts.map((part, i) => `${i}${part}`).join('/'))
    const entries = fc.uniqueArray(fc.tuple(path, kind), { maxLength: 60, selector: ([key]) => key })
    fc.assert(
      fc.property(entries, (list) => {
        // What is below a file or symlink is another test's.
        const blocked = new Set(list.filter(([, some]) => some.type !== 'directory').map(([key]) => key))
        const usable = list.filter(([key]) => {
          const parts = key.split('/')
          return !parts.slice(1).some((_, i) => blocked.has(parts.slice(0, i + 1).join('/')))
        })
        const given = usable.map(([key, some], i) =>
          entryOf({ path: key, ...some, ...('size' in some ? run(some.size, 512 * (i + 1)) : {}) }),
        )
        const tree = readErofs(erofsOf(given, { dataBytes: 2 ** 40 }))
        for (const entry of given) {
          const found = tree.get(entry.path)!
          const xattrs = Object.fromEntries(
            [...entry.xattrs].map(([key, value]) => [key, Buffer.from(value).toString('latin1')]),
          )
          expect(found.mode & 0o7777).toBe(entry.type === 'symlink' ? 0o777 : entry.mode)
          expect(found).toMatchObject({ uid: entry.uid, gid: entry.gid, mtime: entry.mtime, target: entry.target })
          expect(found.xattrs).toEqual(xattrs)
          if (entry.type === 'file') expect(found).toMatchObject({ size: entry.size, runs: entry.extents })
        }
      }),
      { numRuns: 150 },
    )
  })
})
