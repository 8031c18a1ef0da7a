/**
 * The tree that a layer's entries make, as an engine that unpacks them one by one would make it (containerd's
 * archive.Apply, whose rules these are): a later entry of the same name takes the place of an earlier one, folders are
 * merged, symlinks on the way to an entry are followed but never out of the layer, folders that nobody mentions are
 * made. Where such an engine gives up, this does.
 *
 * Whiteouts become what overlayfs reads: a character device 0:0 for a name that is gone, `opaque` for a folder that
 * hides what is below it.
 */
import { Failure } from '../failure.ts'
import type { LayerEntry } from '../tar/entry.ts'
import { shown } from '../tar/problem.ts'
import { partsOf } from './path.ts'

export const treeLimits = {
  /** Names, folders that no entry mentions among them. */
  inodes: 1_500_000,
  /** As Linux's PATH_MAX: an engine could not unpack a longer one either. */
  pathBytes: 4095,
  nameBytes: 255,
  /** Symlinks on the way to one entry, as in Linux. */
  symlinks: 40,
  /** Parts of symlinks' targets that are walked for all entries together: a few for each, of a million. */
  symlinkParts: 4_000_000,
}

export type InodeType = Exclude<LayerEntry['type'], 'hardlink'>

/** What a name stands for; hard links are names of the same one. */
export class Inode {
  facts: Facts
  /** Names that it has. */
  links = 0
  /** Of folders only. */
  readonly children: Map<string, Inode> | undefined
  readonly parent: Inode | undefined
  isOpaque = false
  /** A folder that no entry describes: what it is depends on the layers below. */
  isImplied = false
  /** Its number in an image that is being made: where it begins there. */
  nid = 0
  /** Stands for a name of the layers below that is gone. */
  readonly isWhiteout: boolean

  constructor(facts: Facts, parent?: Inode, isWhiteout = false) {
    this.facts = facts
    this.parent = parent
    this.isWhiteout = isWhiteout
    this.children = facts.type === 'directory' ? new Map() : undefined
  }
}

/** What an entry says of its inode: the entry itself, for there may be a million of them. */
export interface Facts extends Omit<LayerEntry, 'path' | 'type'> {
  readonly type: InodeType
}

/** A folder on the way and what of the path is not there yet. */
interface Way {
  readonly folder: Inode
  readonly missing: readonly string[]
}

const whiteoutPrefix = '.wh.'
const opaqueName = '.wh..wh..opq'

/** @throws {Failure} for entries that no engine could unpack */
export function treeOf(entries: Iterable<LayerEntry>): Inode {
  const tree = new Tree()
  for (const entry of entries) tree.add(entry)
  return tree.root
}

class Tree {
  root = new Inode(impliedFolder({ seconds: 0, nanos: 0 }))
  #isRootKnown = false
  #inodes = 1
  #symlinkParts = 0

  add(entry: LayerEntry): void {
    if (entry.path.length > treeLimits.pathBytes) {
      refuse(entry, `has a path of ${entry.path.length} bytes: at most ${treeLimits.pathBytes} can be used`)
    }
    const parts = partsOf(entry.path)
    if (!this.#isRootKnown) this.root.facts = impliedFolder(entry.mtime)
    this.#isRootKnown = true
    const name = parts.pop()
    if (name === undefined) {
      if (entry.type === 'directory') this.root.facts = factsOf(entry)
      return
    }
    const folder = this.#folderOf(parts, entry)
    if (name === opaqueName) folder.isOpaque = true
    // What AUFS wrote there for itself.
    else if (name.startsWith(`${whiteoutPrefix}${whiteoutPrefix}`)) return
    else if (name.startsWith(whiteoutPrefix)) this.#whiteOut(folder, name.slice(whiteoutPrefix.length), entry)
    else if (entry.type === 'hardlink') this.#link(folder, name, entry)
    else this.#put(folder, name, entry)
  }

  #put(folder: Inode, name: string, entry: LayerEntry): void {
    const there = folder.children!.get(name)
    if (there?.children && entry.type === 'directory') {
      there.facts = factsOf(entry)
      there.isImplied = false
      return
    }
    const inode = this.#made(new Inode(factsOf(entry), folder), entry)
    // Gone below, and here again: nothing of what is below may show through.
    if (there?.isWhiteout && inode.children) inode.isOpaque = true
    this.#name(folder, name, inode, entry)
  }

  #link(folder: Inode, name: string, entry: LayerEntry): void {
    const target = this.#targetOf(entry)
    if (target && folder.children!.get(name) === target) return
    // What has the name goes first, and may take the target with it.
    folder.children!.delete(name)
    const still = this.#targetOf(entry)
    if (!still) refuse(entry, `is a hard link to ${shown(entry.target)}, which is not in this layer before it`)
    if (still.children) refuse(entry, `is a hard link to the folder ${shown(entry.target)}`)
    this.#name(folder, name, still, entry)
  }

  #targetOf(entry: LayerEntry): Inode | undefined {
    if (entry.target.length > treeLimits.pathBytes) refuse(entry, 'is a hard link to a path that is too long')
    const parts = partsOf(entry.target)
    const name = parts.pop()
    if (name === undefined) return this.root
    const { folder, missing } = this.#walk(parts, entry)
    const inode = missing.length > 0 ? undefined : folder.children!.get(name)
    return inode?.isWhiteout ? undefined : inode
  }

  #whiteOut(folder: Inode, name: string, entry: LayerEntry): void {
    if (name === '' || name === '.' || name === '..') refuse(entry, 'is a whiteout of nothing that has a name')
    const there = folder.children!.get(name)
    // A whiteout is of what is below, wherever it stands among this layer's own entries.
    if (there?.children) {
      there.isOpaque = true
      there.isImplied = false
    }
    if (there) return
    const facts: Facts = {
      ...impliedFolder(entry.mtime),
      ...{ type: 'char', mode: 0, uid: entry.uid, gid: entry.gid },
    }
    this.#name(folder, name, this.#made(new Inode(facts, folder, true), entry), entry)
  }

  #name(folder: Inode, name: string, inode: Inode, entry: LayerEntry): void {
    if (name.length > treeLimits.nameBytes) {
      refuse(entry, `has a name of ${name.length} bytes: at most ${treeLimits.nameBytes} can be used`)
    }
    if (name.includes('\0')) refuse(entry, 'has a NUL in its name')
    folder.children!.set(name, inode)
  }

  #made(inode: Inode, entry: LayerEntry): Inode {
    if (++this.#inodes > treeLimits.inodes) refuse(entry, `is one more than the ${treeLimits.inodes} that can be used`)
    return inode
  }

  /** The folder itself, made where it is missing. */
  #folderOf(parts: readonly string[], entry: LayerEntry): Inode {
    const way = this.#walk(parts, entry)
    let folder = way.folder
    for (const name of way.missing) {
      const there = folder.children!.get(name)
      const made = this.#made(new Inode(impliedFolder(entry.mtime), folder), entry)
      made.isOpaque = there?.isWhiteout ?? false
      made.isImplied = !made.isOpaque
      this.#name(folder, name, made, entry)
      folder = made
    }
    return folder
  }

  /** Follows symlinks, which cannot lead above the root; what they lead to need not be there. */
  #walk(parts: readonly string[], entry: LayerEntry): Way {
    // The next part is the last: parts of a symlink's target go on top.
    const ahead = parts.toReversed()
    let folder = this.root
    let missing: string[] = []
    let symlinks = 0
    for (let part = ahead.pop(); part !== undefined; part = ahead.pop()) {
      if (part === '..') {
        if (missing.pop() === undefined) folder = folder.parent ?? this.root
        continue
      }
      const next = missing.length > 0 ? undefined : folder.children!.get(part)
      if (next?.children) folder = next
      else if (!next || next.isWhiteout) missing.push(part)
      else if (next.facts.type !== 'symlink') refuse(entry, `lies below ${shown(part)}, which is no folder`)
      else {
        if (++symlinks > treeLimits.symlinks) refuse(entry, 'lies below symlinks that lead to each other')
        const { target } = next.facts
        if (target.startsWith('/')) {
          folder = this.root
          missing = []
        }
        const steps = target.split('/').reverse()
        this.#symlinkParts += steps.length
        if (this.#symlinkParts > treeLimits.symlinkParts) refuse(entry, 'is one of too many that lie below symlinks')
        for (const step of steps) if (step !== '' && step !== '.') ahead.push(step)
      }
    }
    return { folder, missing }
  }
}

function factsOf(entry: LayerEntry): Facts {
  if (!isInode(entry)) refuse(entry, 'is a hard link, which has nothing of its own')
  const { type, target } = entry
  if (type === 'symlink' && (target === '' || target.length > treeLimits.pathBytes)) {
    refuse(entry, `is a symlink to a path of ${target.length} bytes`)
  }
  return entry
}

function isInode(entry: LayerEntry): entry is LayerEntry & { type: InodeType } {
  return entry.type !== 'hardlink'
}

/** A folder that an entry needs and nobody describes, in this layer or below. */
function impliedFolder(mtime: LayerEntry['mtime']): Facts {
  return {
    ...{ type: 'directory', mode: 0o755, uid: 0, gid: 0, mtime, rdev: { major: 0, minor: 0 } },
    ...{ target: '', size: 0, extents: [], xattrs: new Map() },
  }
}

function refuse(entry: LayerEntry, problem: string): never {
  throw new Failure('unsupported', `the layer cannot be mounted: ${shown(entry.path)} ${problem}`)
}
