/** Numbers of EROFS on disk (Linux, fs/erofs/erofs_fs.h) and how this project uses them. */
export const blockBits = 9
/** So that a file may begin wherever a tar lets it. Linux 6.4 and later take blocks that are smaller than a page. */
export const blockBytes = 1 << blockBits

/** Inodes are numbered by where they are: in units of this, from the start of the image. */
export const slotBytes = 32
export const compactBytes = 32
export const extendedBytes = 64

/** How an inode's data is laid out. */
export const layouts = { plain: 0, inline: 2, chunks: 4 } as const

/** Blocks are numbered with 32 bits, the last of which says that there is none: a hole. */
export const mostBlocks = 0xffff_ffff
export const hole = 0xffff_ffff

const superAt = 1024
const superBytes = 128
const deviceBytes = 128
const magic = 0xe0f5_e1e2
/** Times are of modification, not of change. */
const compatible = 0x02
/** Files in chunks; more devices than one. */
const incompatible = 0x04 | 0x08

/** Where inodes may begin: behind the superblock and the slot of the data device. */
export const firstInode = superAt + superBytes + deviceBytes

/** Of an image, so many bytes say how long it is. */
export const superEnd = superAt + superBytes

export interface Super {
  readonly rootNid: number
  readonly inodes: number
  /** The time of all compact inodes. */
  readonly time: { readonly seconds: number; readonly nanos: number }
  /** Blocks of this image; the data device's are numbered on from there. */
  readonly blocks: number
  readonly dataBlocks: number
  /** The block where shared attributes begin. */
  readonly attributesAt: number
}

/** How many blocks an image has that begins with these bytes. */
export function blocksOf(start: Uint8Array): number {
  return new DataView(start.buffer, start.byteOffset, superEnd).getUint32(superAt + 36, true)
}

export function writeSuper(target: DataView, facts: Super): void {
  const u16 = (at: number, value: number) => target.setUint16(superAt + at, value, true)
  const u32 = (at: number, value: number) => target.setUint32(superAt + at, value, true)
  u32(0, magic)
  u32(8, compatible)
  target.setUint8(superAt + 12, blockBits)
  u16(14, facts.rootNid)
  target.setBigUint64(superAt + 16, BigInt(facts.inodes), true)
  target.setBigInt64(superAt + 24, BigInt(facts.time.seconds), true)
  u32(32, facts.time.nanos)
  u32(36, facts.blocks)
  // Inodes count from the start of the image.
  u32(40, 0)
  u32(44, facts.attributesAt)
  u32(80, incompatible)
  u16(86, 1)
  u16(88, (superAt + superBytes) / deviceBytes)
  const slot = superAt + superBytes
  // The kernel wants a device to have some name.
  for (const [i, char] of [...'layer'].entries()) target.setUint8(slot + i, char.charCodeAt(0))
  target.setUint32(slot + 64, facts.dataBlocks, true)
  target.setUint32(slot + 68, facts.blocks, true)
}
