/**
 * The EROFS image of a layer's tree, without the files' bytes: those are on a second device, the unpacked layer, in
 * which they lie in one piece each. Pure, and the same for the same entries everywhere.
 *
 * Order: superblock, inodes, blocks of folders and of long symlinks, shared attributes. Inodes are in the order in
 * which `find` asks for them: those of one folder together, then those of its folders. The kernel numbers the data
 * device's blocks on behind this image's own, so that a usual file needs one number to say where it is. Behind the image
 * are the names of folders that nobody describes, see {@link impliedBytes}.
 */
import { Failure } from '../failure.ts'
import type { LayerEntry } from '../tar/entry.ts'
import { AttributePool, type Attributes, countOf, writeAttributes } from './attributes.ts'
import { type Names, namesOf, writeBlock } from './folder.ts'
import * as format from './format.ts'
import { impliedBytes } from './implied.ts'
import { type Chunks, chunksOf, writeChunks } from './sparse.ts'
import { type Inode, treeOf } from './tree.ts'

const { blockBytes, slotBytes } = format

export const imageLimits = {
  /** Of the image: what a layer of more names and holes needs is refused. */
  bytes: 512 * 2 ** 20,
}

/** An inode and where it goes. */
interface Placed {
  readonly inode: Inode
  readonly isCompact: boolean
  readonly attributes: Attributes
  /** What it holds, where that is not one run of the data device. */
  readonly names?: Names
  readonly text?: Uint8Array
  readonly chunks?: Chunks
  /** Where it begins. */
  at: number
  /** Bytes behind its attributes: the end of a folder, a symlink's text, a file's chunks. */
  readonly tail: number
  /** Full blocks of its own, and the first of them. */
  readonly blocks: number
  firstBlock: number
}

type Time = LayerEntry['mtime']

/** @throws {Failure} `unsupported` for what EROFS cannot hold or no engine could unpack */
export function erofsOf(entries: Iterable<LayerEntry>, options: { readonly dataBytes: number }): Uint8Array {
  const root = treeOf(entries)
  const inodes = inOrder(root)
  for (const inode of inodes) checkPlaces(inode, options.dataBytes)
  const pool = new AttributePool()
  for (const inode of inodes) pool.count(inode)
  const time = commonestTime(inodes)
  const placed: Placed[] = []
  const inodeRoom = new Room(format.firstInode)
  for (const inode of inodes) {
    const one = placeable(inode, time, pool.of(inode))
    one.at = inodeRoom.take(headBytes(one), one.tail, one.chunks === undefined)
    if (inodeRoom.end > imageLimits.bytes) tooLarge()
    inode.nid = one.at / slotBytes
    placed.push(one)
  }
  let block = Math.ceil(inodeRoom.end / blockBytes)
  for (const one of placed) {
    one.firstBlock = block
    block += one.blocks
  }
  const area = pool.area()
  const attributesAt = block
  block += Math.ceil(area.length / blockBytes)
  const dataBlocks = Math.ceil(options.dataBytes / blockBytes)
  if (block * blockBytes > imageLimits.bytes || block + dataBlocks > format.mostBlocks) tooLarge()

  const implied = impliedBytes(inodes)
  const image = new Uint8Array(block * blockBytes + implied.length)
  const view = new DataView(image.buffer)
  format.writeSuper(view, {
    ...{ rootNid: root.nid, inodes: inodes.length, time, blocks: block, dataBlocks, attributesAt },
  })
  let number = 1
  for (const one of placed) {
    writeInode(view, one, number++, block)
    writeAttributes(image, one.at + inodeBytes(one), one.attributes)
    writeContent(image, view, one, block)
  }
  image.set(area, attributesAt * blockBytes)
  image.set(implied, block * blockBytes)
  return image
}

/** Every inode once, with its names counted: the root, the inodes of a folder, then those of its folders. */
function inOrder(root: Inode): Inode[] {
  const inodes = [root]
  const folders = [root]
  root.links = 2
  for (let folder = folders.pop(); folder; folder = folders.pop()) {
    const own: Inode[] = []
    for (const name of [...folder.children!.keys()].sort()) {
      const inode = folder.children!.get(name)!
      if (inode.links === 0) inodes.push(inode)
      if (inode.children) {
        inode.links = 2
        folder.links++
        own.push(inode)
      } else inode.links++
    }
    folders.push(...own.reverse())
  }
  return inodes
}

/**
 * The kernel reads whole blocks, and takes a short one for a broken disk: a tar that ends without its last padding, which
 * engines let pass, has a file that could not be read to its end.
 */
function checkPlaces({ facts }: Inode, dataBytes: number): void {
  const whole = Math.floor(dataBytes / blockBytes) * blockBytes
  for (const { at, length } of facts.extents) {
    if (at + length <= whole) continue
    throw new Failure('unsupported', 'the layer cannot be mounted: its tar ends without the padding of its last file')
  }
}

function placeable(inode: Inode, time: Time, attributes: Attributes): Placed {
  const { facts, children } = inode
  const isCompact = isSmall(inode, time)
  const common = { inode, isCompact, attributes, at: 0, firstBlock: 0 }
  const head = (isCompact ? format.compactBytes : format.extendedBytes) + attributes.length
  if (children) {
    const names = namesOf(inode)
    return { ...common, names, ...split(names.size, head) }
  }
  if (facts.type === 'symlink') {
    const text = Buffer.from(facts.target, 'latin1')
    return { ...common, text, ...split(text.length, head) }
  }
  if (facts.type === 'file' && !isOneRun(inode)) {
    const chunks = chunksOf(facts.size, facts.extents)
    if (4 * chunks.count > imageLimits.bytes) tooLarge()
    return { ...common, chunks, tail: 4 * chunks.count, blocks: 0 }
  }
  return { ...common, tail: 0, blocks: 0 }
}

/** What ends a folder or symlink stands behind its inode, where one block holds both; else in a block of its own. */
function split(size: number, head: number): { tail: number; blocks: number } {
  const tail = size % blockBytes
  const full = (size - tail) / blockBytes
  // What begins a block with its inode is sure to fit.
  const fits = tail > 0 && (head % blockBytes) + tail <= blockBytes
  return fits ? { tail, blocks: full } : { tail: 0, blocks: full + (tail > 0 ? 1 : 0) }
}

function isOneRun({ facts: { size, extents } }: Inode): boolean {
  if (size === 0) return true
  const [first] = extents
  return extents.length === 1 && first!.offset === 0 && first!.length === size && first!.at % blockBytes === 0
}

/** Half as long, for what fits: no time of its own, and numbers of 16 bits. */
function isSmall({ facts, links }: Inode, time: Time): boolean {
  return (
    facts.mtime.seconds === time.seconds &&
    facts.mtime.nanos === time.nanos &&
    facts.uid <= 0xffff &&
    facts.gid <= 0xffff &&
    links <= 0xffff &&
    facts.size <= 0xffff_ffff
  )
}

/** The first of those that most inodes have. */
function commonestTime(inodes: readonly Inode[]): Time {
  const counts = new Map<string, { count: number; time: Time }>()
  for (const { facts } of inodes) {
    const key = `${facts.mtime.seconds}.${facts.mtime.nanos}`
    const known = counts.get(key)
    if (known) known.count++
    else counts.set(key, { count: 1, time: facts.mtime })
  }
  let best = { count: 0, time: { seconds: 0, nanos: 0 } }
  for (const candidate of counts.values()) if (candidate.count > best.count) best = candidate
  return best.time
}

function inodeBytes({ isCompact }: Placed): number {
  return isCompact ? format.compactBytes : format.extendedBytes
}

function headBytes(one: Placed): number {
  return inodeBytes(one) + one.attributes.length
}

/** Hands out room for inodes, and what one leaves before the next block to those that fit there. */
class Room {
  end: number
  #gap = { at: 0, end: 0 }

  constructor(from: number) {
    this.end = from
  }

  /** For `head` bytes and a tail behind them, which must not reach into another block unless it `mayNot`. */
  take(head: number, tail: number, isWhole: boolean): number {
    const gap = this.#gap
    const length = head + tail
    // An inode that stands in one block is read at once.
    const fits = (at: number) => {
      if (length <= blockBytes) return (at % blockBytes) + length <= blockBytes
      return !isWhole || ((at + head) % blockBytes) + tail <= blockBytes
    }
    if (gap.at + length <= gap.end && fits(gap.at)) {
      const at = gap.at
      gap.at += roundUp(length, slotBytes)
      return at
    }
    let at = this.end
    while (!fits(at)) at += slotBytes
    if (at - this.end > gap.end - gap.at) this.#gap = { at: this.end, end: at }
    this.end = at + roundUp(length, slotBytes)
    return at
  }
}

const kinds = {
  fifo: 0o010000,
  char: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  file: 0o100000,
  symlink: 0o120000,
}

function writeInode(view: DataView, one: Placed, number: number, ownBlocks: number): void {
  const { inode, at, isCompact } = one
  const { facts } = inode
  const layout = one.chunks ? format.layouts.chunks : one.tail > 0 ? format.layouts.inline : format.layouts.plain
  const u16 = (place: number, value: number) => view.setUint16(at + place, value, true)
  const u32 = (place: number, value: number) => view.setUint32(at + place, value, true)
  u16(0, (layout << 1) | (isCompact ? 0 : 1))
  u16(2, countOf(one.attributes))
  u16(4, kinds[facts.type] | modeOf(facts))
  u32(16, whereOf(one, ownBlocks))
  u32(20, number)
  const size = one.names?.size ?? one.text?.length ?? facts.size
  if (isCompact) {
    u16(6, inode.links)
    u32(8, size)
    u16(24, facts.uid)
    u16(26, facts.gid)
    return
  }
  view.setBigUint64(at + 8, BigInt(size), true)
  u32(24, facts.uid)
  u32(28, facts.gid)
  view.setBigInt64(at + 32, BigInt(facts.mtime.seconds), true)
  u32(40, facts.mtime.nanos)
  u32(44, inode.links)
}

/** Linux has symlinks of one mode, and engines set none, whatever the tar says. */
function modeOf({ type, mode }: Inode['facts']): number {
  return type === 'symlink' ? 0o777 : mode
}

/** Where an inode's data is; of a device, which it is. */
function whereOf({ inode, chunks, names, text, firstBlock }: Placed, ownBlocks: number): number {
  const { type, rdev, extents } = inode.facts
  if (type === 'char' || type === 'block') return deviceOf(rdev)
  if (chunks) return chunks.bits
  if (names || text) return firstBlock
  return extents[0] ? ownBlocks + extents[0].at / blockBytes : 0
}

/** As Linux gives devices to programs: 12 bits and 20. */
function deviceOf({ major, minor }: LayerEntry['rdev']): number {
  if (major > 0xfff || minor > 0xf_ffff || major < 0 || minor < 0) {
    throw new Failure('unsupported', `the layer cannot be mounted: Linux has no device ${major}:${minor}`)
  }
  return ((minor & 0xff) | (major << 8) | ((minor & ~0xff) << 12)) >>> 0
}

function writeContent(image: Uint8Array, view: DataView, one: Placed, ownBlocks: number): void {
  const { inode, names, text, chunks, tail, blocks, firstBlock } = one
  const tailAt = one.at + headBytes(one)
  if (chunks) return writeChunks(view, tailAt, chunks, inode.facts.extents, ownBlocks)
  const blockAt = (i: number) => (tail > 0 && i === blocks ? tailAt : (firstBlock + i) * blockBytes)
  if (names) {
    for (let i = 0; i < names.blocks.length - 1; i++) writeBlock(view, blockAt(i), inode, names, i)
  }
  if (text) {
    for (let i = 0; i * blockBytes < text.length; i++) {
      image.set(text.subarray(i * blockBytes, (i + 1) * blockBytes), blockAt(i))
    }
  }
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit
}

function tooLarge(): never {
  throw new Failure(
    'unsupported',
    `the layer cannot be mounted: its names, attributes and holes need more than ${imageLimits.bytes} bytes`,
  )
}
