/**
 * Folders that a layer has and does not describe, as engines make them when they unpack it over others (containerd's
 * archive.Apply, mkparent): mode, owner and attributes are those of the same folder in the nearest layer below that has
 * it, symlinks followed within that layer; where the nearest has something else in its place, and where none has it, they
 * stay as the layer's image has them. An overlay goes by the uppermost layer that has a folder, so those that differ are
 * made on the disk, to be laid over the layer; times are the layer's own.
 *
 * Paths are byte strings (latin1): names need not be text.
 */

import { ptr } from 'bun:ffi'
import {
  chmodSync,
  chownSync,
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readlinkSync,
  readSync,
  rmSync,
} from 'node:fs'
import { impliedAt, impliedIn, superEnd } from '../../erofs/implied.ts'
import { Failure } from '../../failure.ts'
import { errno, errnos, libc, systemError } from '../../fuse/libc.ts'

export interface FoldersWanted {
  readonly tree: string
  readonly layer: string
  readonly below: readonly string[]
  readonly into: string
}

/** A folder to be made. */
interface Folder {
  readonly path: string
  /** What has its mode, owner and attributes. */
  readonly like: string
  /** Something below it, or itself, is not what the layer has. */
  wanted: boolean
}

/** As many as Linux follows. */
const mostSymlinks = 40

/** Whether the tree in this file lists any. */
export function hasImplied(tree: string): boolean {
  try {
    return listIn(tree).length > 0
  } catch {
    // Who mounts it says what is wrong with it.
    return false
  }
}

/** @returns whether there were any to be made. @throws of the file system; {Failure} for a list that is none */
export function makeFolders({ tree, layer, below, into }: FoldersWanted): boolean {
  const own = bytesOf(layer)
  const [root, ...folders] = wantedOf(listIn(tree), own, below.map(bytesOf))
  if (!root?.wanted) return false
  const place = bytesOf(into)
  const made = [root, ...folders.filter(({ wanted }) => wanted)]
  try {
    for (const { path } of made) mkdirSync(raw(place + path), { mode: 0o700 })
    // Those inside first: to make them changes times, and what is made in a folder may inherit its attributes.
    for (const { path, like } of made.toReversed()) {
      copyFacts(like, place + path)
      copyTime(own + path, place + path)
    }
  } catch (error) {
    rmSync(into, { recursive: true, force: true })
    throw error
  }
  return true
}

/** Mode, owner, attributes and time of a folder for another one. @throws of the file system */
export function makeAlike(like: string, folder: string): void {
  copyFacts(bytesOf(like), bytesOf(folder))
  copyTime(bytesOf(like), bytesOf(folder))
}

/** The root and what is listed, in the order of the list. */
function wantedOf(list: Uint8Array, own: string, below: readonly string[]): Folder[] {
  const root: Folder = { path: '', like: own, wanted: false }
  const all = [root]
  // To the present folder, the root first.
  const way: Folder[] = [root]
  let unknown = Number.POSITIVE_INFINITY
  for (const { depth, name, isImplied } of impliedIn(list)) {
    // What no layer has below has nothing below in it either.
    if (depth > unknown) continue
    unknown = Number.POSITIVE_INFINITY
    way.length = depth + 1
    const path = `${way[depth]!.path}/${name}`
    if (!lstatSync(raw(own + path)).isDirectory()) {
      throw new Failure('corrupt', `${JSON.stringify(path)} is listed as a folder, and is none`)
    }
    const lower = isImplied ? find(path, below) : undefined
    if (isImplied && lower === undefined) {
      unknown = depth
      continue
    }
    const folder = { path, like: lower ?? own + path, wanted: lower !== undefined && !isAlike(lower, own + path) }
    way.push(folder)
    all.push(folder)
    if (folder.wanted) for (const each of way) each.wanted = true
  }
  return all
}

function find(path: string, below: readonly string[]): string | undefined {
  for (const root of below) {
    const found = within(root, path)
    if (found !== 'nothing') return found === 'other' ? undefined : root + found
  }
  return undefined
}

/** Where a path leads in a layer, which symlinks do not lead out of; and whether there is a folder. */
function within(root: string, path: string): string | 'nothing' | 'other' {
  // The next part is the last.
  const ahead = path.split('/').reverse()
  let at: string[] = []
  let symlinks = 0
  for (let part = ahead.pop(); part !== undefined; part = ahead.pop()) {
    if (part === '' || part === '.') continue
    if (part === '..') {
      at.pop()
      continue
    }
    const here = raw(`${[root, ...at, part].join('/')}`)
    const found = lstatSync(here, { throwIfNoEntry: false })
    if (!found) return 'nothing'
    if (found.isSymbolicLink()) {
      if (++symlinks > mostSymlinks) return 'nothing'
      const target = readlinkSync(here, 'latin1')
      if (target.startsWith('/')) at = []
      ahead.push(...target.split('/').reverse())
    } else if (found.isDirectory()) at.push(part)
    else return 'other'
  }
  return ['', ...at].join('/')
}

function isAlike(one: string, other: string): boolean {
  const [a, b] = [lstatSync(raw(one)), lstatSync(raw(other))]
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid) return false
  const [mine, theirs] = [attributesOf(one), attributesOf(other)]
  return mine.size === theirs.size && [...mine].every(([name, value]) => theirs.get(name)?.equals(value) ?? false)
}

function copyFacts(from: string, to: string): void {
  const { mode, uid, gid } = lstatSync(raw(from))
  chownSync(raw(to), uid, gid)
  chmodSync(raw(to), mode & 0o7777)
  const where = ended(to)
  for (const [name, value] of attributesOf(from)) {
    const what = ended(name)
    // There is no pointer to nothing.
    const room = Buffer.concat([value, Buffer.alloc(1)])
    const failed = libc().lsetxattr(ptr(where), ptr(what), ptr(room), value.length, 0) !== 0
    if (failed && errno() !== errnos.EOPNOTSUPP) throw systemError(errno(), `set ${name} of ${to}`)
  }
}

const currentFolder = -100
const omitted = 0x3ffffffen

function copyTime(from: string, to: string): void {
  const { mtimeNs } = lstatSync(raw(from), { bigint: true })
  const second = 1_000_000_000n
  const nanos = ((mtimeNs % second) + second) % second
  // Of reading, which stays as it is, and of change.
  const times = new BigInt64Array([0n, omitted, (mtimeNs - nanos) / second, nanos])
  const where = ended(to)
  if (libc().utimensat(currentFolder, ptr(where), ptr(times), 0) !== 0) throw systemError(errno(), `set time of ${to}`)
}

/** Those that engines copy; `trusted` ones are the file systems' own. */
function attributesOf(path: string): ReadonlyMap<string, Buffer> {
  const where = ended(path)
  const names = answer((room) => libc().llistxattr(ptr(where), ptr(room), room.length), `list attributes of ${path}`)
  const found = new Map<string, Buffer>()
  for (const name of names?.toString('latin1').split('\0') ?? []) {
    if (name === '' || name.startsWith('trusted.')) continue
    const asked = ended(name)
    const value = answer(
      (room) => libc().lgetxattr(ptr(where), ptr(asked), ptr(room), room.length),
      `read ${name} of ${path}`,
    )
    if (value) found.set(name, value)
  }
  return found
}

/** As long as Linux lets one be. */
const mostAttributeBytes = 65_536

/** Undefined where the file system has none. */
function answer(ask: (room: Uint8Array) => number | bigint, what: string): Buffer | undefined {
  const room = new Uint8Array(mostAttributeBytes)
  const length = Number(ask(room))
  if (length >= 0) return Buffer.from(room.subarray(0, length))
  if (errno() === errnos.EOPNOTSUPP) return undefined
  throw systemError(errno(), what)
}

/** What stands behind the image in the file of a tree. */
function listIn(tree: string): Uint8Array {
  const file = openSync(tree, 'r')
  try {
    const start = new Uint8Array(superEnd)
    if (readSync(file, start, 0, superEnd, 0) < superEnd) return new Uint8Array(0)
    const at = impliedAt(start)
    const { size } = lstatSync(tree)
    const list = new Uint8Array(Math.max(0, size - at))
    readSync(file, list, 0, list.length, at)
    return list
  } finally {
    closeSync(file)
  }
}

function bytesOf(path: string): string {
  return Buffer.from(path).toString('latin1')
}

function raw(path: string): Buffer {
  return Buffer.from(path, 'latin1')
}

/** As C wants it. */
function ended(path: string): Buffer {
  return Buffer.from(`${path}\0`, 'latin1')
}
