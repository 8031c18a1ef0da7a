/**
 * The folders of a layer that entries need and none describes. What they are is a matter of the layers below, of which an
 * index knows nothing: engines give them what the same folder has below (containerd's archive.Apply, mkparent), or 0755
 * and root. The image has them with the latter, and says behind its last block, where the kernel does not look, which
 * they are; whoever lays the layer over others gives them what they have there.
 *
 *     folder   u8 kind: 1 when an entry describes it and it leads to folders that none describes, 2 when none describes it
 *              u8 length of its name, its name, its folders, u8 0
 *
 * The root's folders and a last 0; nothing where all are described.
 */
import { Failure } from '../failure.ts'
import { blockBytes, blocksOf, superEnd } from './format.ts'
import type { Inode } from './tree.ts'

const kinds = { end: 0, described: 1, implied: 2 } as const

/** Folders before those in them. Names are byte strings, as in a tar. */
export interface ListedFolder {
  /** 0 for those in the root. */
  readonly depth: number
  readonly name: string
  readonly isImplied: boolean
}

/** @param inodes of a tree: the root, and folders before what is in them */
export function impliedBytes(inodes: readonly Inode[]): Uint8Array {
  const listed = new Set<Inode>()
  for (const inode of inodes.toReversed()) {
    if (!inode.isImplied && !listed.has(inode)) continue
    listed.add(inode)
    if (inode.parent) listed.add(inode.parent)
  }
  const root = inodes[0]!
  if (!listed.has(root)) return new Uint8Array(0)
  const inside = (folder: Inode) =>
    [...folder.children!].filter(([, child]) => listed.has(child)).sort(([a], [b]) => (a < b ? 1 : -1))
  const parts: Uint8Array[] = []
  const end = new Uint8Array([kinds.end])
  // The next is the last; none where a folder ends.
  const ahead: ([string, Inode] | undefined)[] = [undefined, ...inside(root)]
  while (ahead.length > 0) {
    const next = ahead.pop()
    if (!next) {
      parts.push(end)
      continue
    }
    const [name, inode] = next
    parts.push(new Uint8Array([inode.isImplied ? kinds.implied : kinds.described, name.length]))
    parts.push(Buffer.from(name, 'latin1'))
    ahead.push(undefined, ...inside(inode))
  }
  return new Uint8Array(Buffer.concat(parts))
}

/** Where the list begins in a file that begins with these bytes. @param start {@link superEnd} bytes at least */
export function impliedAt(start: Uint8Array): number {
  return blocksOf(start) * blockBytes
}

export { superEnd }

/** @throws {Failure} `corrupt`; and for names that lead elsewhere */
export function* impliedIn(list: Uint8Array): Generator<ListedFolder> {
  let depth = 0
  for (let at = 0; at < list.length; ) {
    const kind = list[at++]!
    if (kind === kinds.end) {
      if (--depth >= 0) continue
      if (at === list.length) return
      break
    }
    const length = list[at++] ?? 0
    const name = Buffer.from(list.subarray(at, at + length)).toString('latin1')
    at += length
    const isName = length > 0 && name.length === length && name !== '.' && name !== '..' && !/[/\0]/.test(name)
    if (kind > kinds.implied || !isName) break
    yield { depth, name, isImplied: kind === kinds.implied }
    depth++
  }
  if (list.length > 0)
    throw new Failure('corrupt', 'the folders of a layer that it does not describe are listed wrongly')
}
