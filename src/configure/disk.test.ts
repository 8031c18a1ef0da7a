import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Disk } from './disk.ts'

let root: string
let disk: Disk
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'shoal-configure-'))
  disk = new Disk(root)
})
afterEach(() => rmSync(root, { recursive: true }))

const put = (path: string, text: string | Uint8Array) => {
  mkdirSync(join(root, path, '..'), { recursive: true })
  writeFileSync(join(root, path), text)
}
const got = (path: string) => readFileSync(join(root, path), 'utf8')
const all = () => (readdirSync(root, { recursive: true }) as string[]).sort()

test('a new file may be read by all, and its folders are made', () => {
  disk.write([{ path: '/etc/docker/daemon.json', before: undefined, after: '{}' }])
  expect(got('etc/docker/daemon.json')).toBe('{}')
  expect(statSync(join(root, 'etc/docker/daemon.json')).mode & 0o777).toBe(0o644)
  expect(all()).toEqual(['etc', 'etc/docker', 'etc/docker/daemon.json'])
})

test('a file keeps its mode and owner, also when nobody may write it', () => {
  put('f', 'a')
  chmodSync(join(root, 'f'), 0o440)
  const { uid, gid } = statSync(join(root, 'f'))
  disk.write([{ path: '/f', before: 'a', after: 'b' }])
  expect(got('f')).toBe('b')
  expect(statSync(join(root, 'f'))).toMatchObject({ mode: 0o100440, uid, gid })
})

test('a link stays a link, and what it points to is replaced', () => {
  put('srv/daemon.json', 'a')
  symlinkSync(join(root, 'srv/daemon.json'), join(root, 'link'))
  disk.write([{ path: '/link', before: 'a', after: 'b' }])
  expect(lstatSync(join(root, 'link')).isSymbolicLink()).toBe(true)
  expect(readlinkSync(join(root, 'link'))).toBe(join(root, 'srv/daemon.json'))
  expect(got('srv/daemon.json')).toBe('b')
})

describe('what a run that was killed left beside a file', () => {
  const left = `.f.shoal-${process.pid}`

  test('keeps no other from writing it, whose process has the same number', () => {
    put(left, 'half')
    disk.write([{ path: '/f', before: undefined, after: 'a' }])
    expect(got('f')).toBe('a')
    // It may be of one that goes on.
    expect(all()).toEqual([left, 'f'])
  })

  test('goes later, whether the file is written or removed', () => {
    const later = new Disk(root, () => Date.now() + 2 * 3_600_000)
    put(left, 'half')
    later.write([{ path: '/f', before: undefined, after: 'a' }])
    expect(all()).toEqual(['f'])
    put(left, 'half')
    later.write([{ path: '/f', before: 'a', after: undefined }])
    expect(all()).toEqual([])
  })
})

describe('nothing is changed, and it is said what to do', () => {
  test('when a link leads to nothing', () => {
    symlinkSync('/nowhere', join(root, 'link'))
    expect(() => disk.read('/link')).toThrow('cannot read /link: it is a link to a file that is not there')
  })

  test('when a file is not UTF-8', () => {
    put('f', new Uint8Array([0xff, 0xfe, 0x7b, 0x00]))
    expect(() => disk.read('/f')).toThrow('/f is not UTF-8 text')
  })

  test('when a file is a folder', () => {
    mkdirSync(join(root, 'f'))
    expect(() => disk.read('/f')).toThrow('cannot read /f: it is a folder')
  })

  test('when a part of the path is a file', () => {
    put('etc', 'a file')
    expect(() => disk.read('/etc/docker/daemon.json')).toThrow('a part of the path is a file')
  })

  test('when the second of two files cannot be written', () => {
    put('a', '1')
    put('b', 'a file')
    const edits = [
      { path: '/a', before: '1', after: '2' },
      { path: '/new/c', before: undefined, after: '2' },
      { path: '/b/c', before: undefined, after: '2' },
    ]
    expect(() => disk.write(edits)).toThrow('cannot write /b/c')
    expect(all()).toEqual(['a', 'b'])
    expect(got('a')).toBe('1')
  })

  test('when somebody else changed the second of two files meanwhile: the first is as it was again', () => {
    put('a', '1')
    put('b', 'theirs')
    const edits = [
      { path: '/a', before: '1', after: '2' },
      { path: '/new/c', before: undefined, after: '2' },
      { path: '/b', before: '1', after: '2' },
    ]
    expect(() => disk.write(edits)).toThrow('/b was changed by somebody else just now')
    expect(all()).toEqual(['a', 'b'])
    expect([got('a'), got('b')]).toEqual(['1', 'theirs'])
  })

  test('when that happens after a file was removed: it is there again, and no more people can read it than before', () => {
    put('a', 'a password')
    chmodSync(join(root, 'a'), 0o600)
    utimesSync(join(root, 'a'), 1_700_000_000, 1_700_000_000)
    put('b', 'theirs')
    const edits = [
      { path: '/a', before: 'a password', after: undefined },
      { path: '/b', before: '1', after: '2' },
    ]
    expect(() => disk.write(edits)).toThrow('/b was changed by somebody else just now')
    expect(got('a')).toBe('a password')
    expect(statSync(join(root, 'a'))).toMatchObject({ mode: 0o100600, mtimeMs: 1_700_000_000_000 })
  })
})
