/**
 * Extended attributes as EROFS keeps them: behind the inode, and what several inodes have alike once for all of them.
 * Only what the kernel gives out again is kept, and nothing that would steer overlayfs: a layer's own
 * `trusted.overlay.redirect` could show files of other layers where they do not belong.
 */
import { Failure } from '../failure.ts'
import type { Inode } from './tree.ts'

/** Of `trusted.overlay.opaque`, which is ours. */
const opaque = { index: 4, name: 'overlay.opaque', value: new Uint8Array([0x79]) } as const

const prefixes: readonly (readonly [prefix: string, index: number])[] = [
  ['user.', 1],
  ['system.posix_acl_access', 2],
  ['system.posix_acl_default', 3],
  ['security.', 6],
]

const headerBytes = 12
const entryHeaderBytes = 4
/** What the count of an inode's attributes can say, in units of four bytes. */
const mostInline = 4 * 0xffff
const mostShared = 255
const mostValueBytes = 0xffff
const mostNameBytes = 255

interface Attribute {
  readonly index: number
  readonly name: string
  readonly value: Uint8Array
}

/** What stands behind an inode: numbers of shared attributes, and its own, encoded. */
export interface Attributes {
  readonly shared: readonly number[]
  readonly own: readonly Uint8Array[]
  /** Bytes that it takes behind the inode; 0 for none at all. */
  readonly length: number
}

const none: Attributes = { shared: [], own: [], length: 0 }

/** The attributes of all inodes of one image, in the order of the walk. */
export class AttributePool {
  readonly #uses = new Map<string, number>()
  readonly #encoded = new Map<string, Uint8Array>()
  /** Places of the shared ones in their area, in units of four bytes. */
  readonly #places = new Map<string, number>()
  readonly #area: Uint8Array[] = []
  #areaBytes = 0

  /** All inodes are counted before the first is asked for. */
  count(inode: Inode): void {
    for (const attribute of attributesOf(inode)) {
      const key = keyOf(attribute)
      this.#uses.set(key, (this.#uses.get(key) ?? 0) + 1)
    }
  }

  of(inode: Inode): Attributes {
    const attributes = attributesOf(inode)
    if (attributes.length === 0) return none
    const shared: number[] = []
    const own: Uint8Array[] = []
    for (const attribute of attributes) {
      const key = keyOf(attribute)
      const encoded = this.#encoded.get(key) ?? encode(attribute)
      if (this.#uses.get(key)! === 1 || shared.length === mostShared) own.push(encoded)
      else shared.push(this.#place(key, encoded))
    }
    const length = headerBytes + 4 * shared.length + own.reduce((sum, bytes) => sum + bytes.length, 0)
    if (length > mostInline) refuse(`attributes of ${length} bytes at one file`)
    return { shared, own, length }
  }

  /** What is shared, for the place in the image that its superblock names. */
  area(): Uint8Array {
    return Buffer.concat(this.#area, this.#areaBytes)
  }

  #place(key: string, encoded: Uint8Array): number {
    const known = this.#places.get(key)
    if (known !== undefined) return known
    const place = this.#areaBytes / 4
    this.#places.set(key, place)
    this.#encoded.set(key, encoded)
    this.#area.push(encoded)
    this.#areaBytes += encoded.length
    return place
  }
}

/** Writes what stands behind an inode. */
export function writeAttributes(target: Uint8Array, at: number, { shared, own, length }: Attributes): void {
  if (length === 0) return
  const view = new DataView(target.buffer, target.byteOffset)
  target[at + 4] = shared.length
  let place = at + headerBytes
  for (const number of shared) {
    view.setUint32(place, number, true)
    place += 4
  }
  for (const bytes of own) {
    target.set(bytes, place)
    place += bytes.length
  }
}

/** How an inode counts them: the header is one, each four bytes more another. */
export function countOf({ length }: Attributes): number {
  return length === 0 ? 0 : 1 + (length - headerBytes) / 4
}

function attributesOf(inode: Inode): Attribute[] {
  const attributes: Attribute[] = inode.isOpaque ? [opaque] : []
  for (const [full, value] of inode.facts.xattrs) {
    const match = prefixes.find(([prefix]) => (prefix.endsWith('.') ? full.startsWith(prefix) : full === prefix))
    if (!match) continue
    const name = full.slice(match[0].length)
    // Linux has user attributes at files and folders only.
    if (match[0] === 'user.' && inode.facts.type !== 'file' && !inode.children) continue
    if (match[0].endsWith('.') && name === '') continue
    if (full.length > mostNameBytes) refuse(`an attribute with a name of ${full.length} bytes`)
    if (value.length > mostValueBytes) refuse(`an attribute of ${value.length} bytes`)
    attributes.push({ index: match[1], name, value })
  }
  return attributes
}

function keyOf({ index, name, value }: Attribute): string {
  return `${index}${name}\0${Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1')}`
}

function encode({ index, name, value }: Attribute): Uint8Array {
  const length = entryHeaderBytes + name.length + value.length
  const bytes = Buffer.alloc(length + ((4 - (length % 4)) % 4))
  bytes[0] = name.length
  bytes[1] = index
  bytes.writeUInt16LE(value.length, 2)
  bytes.write(name, entryHeaderBytes, 'latin1')
  bytes.set(value, entryHeaderBytes + name.length)
  return bytes
}

function refuse(problem: string): never {
  throw new Failure('unsupported', `the layer cannot be mounted: it has ${problem}`)
}
