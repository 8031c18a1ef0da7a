/**
 * A folder's entries, as EROFS keeps them: blocks of 512 bytes, each with 12 bytes for every name and then the names,
 * sorted by byte within a block and from block to block, so that the kernel finds a name by halving.
 */
import { blockBytes } from './format.ts'
import type { Inode, InodeType } from './tree.ts'

const entryBytes = 12

const fileTypes: Readonly<Record<InodeType, number>> = {
  ...{ file: 1, directory: 2, char: 3, block: 4, fifo: 5, symlink: 7 },
}

/** A folder's names with `.` and `..`, sorted and cut into blocks. */
export interface Names {
  readonly names: readonly string[]
  /** Where each block begins among the names, and the end of the last. */
  readonly blocks: readonly number[]
  /** Bytes of the whole: full blocks, then what the last one needs. */
  readonly size: number
}

export function namesOf(folder: Inode): Names {
  // One char is one byte, so that the order of strings is the order of bytes.
  const names = ['.', '..', ...folder.children!.keys()].sort()
  const blocks = [0]
  let used = 0
  for (const [i, name] of names.entries()) {
    const need = entryBytes + name.length
    if (used + need > blockBytes) {
      blocks.push(i)
      used = 0
    }
    used += need
  }
  blocks.push(names.length)
  return { names, blocks, size: (blocks.length - 2) * blockBytes + used }
}

/** Writes one block of a folder whose inodes have their numbers. */
export function writeBlock(target: DataView, at: number, folder: Inode, { names, blocks }: Names, block: number): void {
  const first = blocks[block]!
  const end = blocks[block + 1]!
  let nameAt = (end - first) * entryBytes
  for (let i = first; i < end; i++) {
    const name = names[i]!
    const inode = name === '.' ? folder : name === '..' ? (folder.parent ?? folder) : folder.children!.get(name)!
    const entry = at + (i - first) * entryBytes
    target.setBigUint64(entry, BigInt(inode.nid), true)
    target.setUint16(entry + 8, nameAt, true)
    target.setUint8(entry + 10, fileTypes[inode.facts.type])
    for (let j = 0; j < name.length; j++) target.setUint8(at + nameAt + j, name.charCodeAt(j))
    nameAt += name.length
  }
}
