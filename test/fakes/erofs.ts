/**
 * Reads back what an EROFS image says, by the format's documentation and by nothing of the writer's. It checks what the
 * kernel relies on: names sorted, tails inside one block.
 */

export interface Found {
  readonly nid: number
  readonly mode: number
  readonly size: number
  readonly uid: number
  readonly gid: number
  readonly links: number
  readonly mtime: { readonly seconds: number; readonly nanos: number }
  readonly device: string
  readonly target: string
  readonly xattrs: Record<string, string>
  /** Runs on the data device, holes left out. */
  readonly runs: readonly { offset: number; at: number; length: number }[]
}

const prefixes: Record<number, string> = {
  ...{ 1: 'user.', 2: 'system.posix_acl_access', 3: 'system.posix_acl_default', 4: 'trusted.', 6: 'security.' },
}
const directory = 0o040000
const kindOf = (mode: number) => mode & 0o170000

/** Everything by its path; the root is the empty one. */
export function readErofs(image: Uint8Array): Map<string, Found> {
  return new Reader(image).tree()
}

class Reader {
  readonly #image: Uint8Array
  readonly #view: DataView
  readonly #block: number
  readonly #dataAt: number

  constructor(image: Uint8Array) {
    this.#image = image
    this.#view = new DataView(image.buffer, image.byteOffset, image.byteLength)
    if (this.#u32(1024) !== 0xe0f5e1e2) throw new Error('no superblock')
    this.#block = 1 << image[1036]!
    const slot = this.#u16(1024 + 88) * 128
    this.#dataAt = this.#u32(slot + 68) * this.#block
  }

  tree(): Map<string, Found> {
    const found = new Map<string, Found>()
    const ahead: [string, number][] = [['', this.#u16(1024 + 14)]]
    for (let next = ahead.pop(); next; next = ahead.pop()) {
      const [path, nid] = next
      const inode = this.#inode(nid)
      found.set(path, inode)
      if (kindOf(inode.mode) !== directory) continue
      for (const [name, child] of this.#names(nid, inode)) {
        if (name !== '.' && name !== '..') ahead.push([path === '' ? name : `${path}/${name}`, child])
      }
    }
    return found
  }

  #inode(nid: number): Found {
    const at = nid * 32
    const isCompact = (this.#u16(at) & 1) === 0
    const mode = this.#u16(at + 4)
    const isDevice = kindOf(mode) === 0o020000 || kindOf(mode) === 0o060000
    const size = isCompact ? this.#u32(at + 8) : Number(this.#view.getBigUint64(at + 8, true))
    const raw = this.#u32(at + 16)
    const isFile = kindOf(mode) === 0o100000
    return {
      ...{ nid, mode, size },
      uid: isCompact ? this.#u16(at + 24) : this.#u32(at + 24),
      gid: isCompact ? this.#u16(at + 26) : this.#u32(at + 28),
      links: isCompact ? this.#u16(at + 6) : this.#u32(at + 44),
      mtime: this.#time(isCompact ? 1024 + 24 : at + 32, isCompact ? 1024 + 32 : at + 40),
      device: isDevice ? `${(raw & 0xfff00) >> 8}:${(raw & 0xff) | ((raw >> 12) & 0xfff00)}` : '',
      target: kindOf(mode) === 0o120000 ? this.#bytes(nid, size).toString('latin1') : '',
      xattrs: this.#xattrs(nid),
      runs: isFile ? this.#runs(nid, size) : [],
    }
  }

  #time(seconds: number, nanos: number): Found['mtime'] {
    return { seconds: Number(this.#view.getBigInt64(seconds, true)), nanos: this.#u32(nanos) }
  }

  #xattrsAt(nid: number): number {
    return nid * 32 + ((this.#u16(nid * 32) & 1) === 0 ? 32 : 64)
  }

  #behind(nid: number): number {
    const count = this.#u16(nid * 32 + 2)
    return this.#xattrsAt(nid) + (count === 0 ? 0 : 12 + 4 * (count - 1))
  }

  #xattrs(nid: number): Record<string, string> {
    const found: Record<string, string> = {}
    const from = this.#xattrsAt(nid)
    const end = this.#behind(nid)
    if (from === end) return found
    const shared = this.#image[from + 4]!
    const area = this.#u32(1024 + 44) * this.#block
    for (let i = 0; i < shared; i++) this.#xattr(area + 4 * this.#u32(from + 12 + 4 * i), found)
    for (let at = from + 12 + 4 * shared; at < end; ) at = this.#xattr(at, found)
    return found
  }

  #xattr(at: number, found: Record<string, string>): number {
    const nameEnd = at + 4 + this.#image[at]!
    const valueEnd = nameEnd + this.#u16(at + 2)
    const name = `${prefixes[this.#image[at + 1]!]}${this.#text(at + 4, nameEnd)}`
    found[name] = this.#text(nameEnd, valueEnd)
    return Math.ceil(valueEnd / 4) * 4
  }

  /** Of a folder or symlink: whole blocks, and perhaps the end behind the inode. */
  #bytes(nid: number, size: number): Buffer {
    const layout = (this.#u16(nid * 32) >> 1) & 7
    const blocks = this.#u32(nid * 32 + 16) * this.#block
    if (layout === 0) return Buffer.from(this.#image.subarray(blocks, blocks + size))
    const tail = size % this.#block
    const at = this.#behind(nid)
    if (layout !== 2 || (at % this.#block) + tail > this.#block) throw new Error(`the tail of ${nid} crosses a block`)
    return Buffer.concat([this.#image.subarray(blocks, blocks + size - tail), this.#image.subarray(at, at + tail)])
  }

  #runs(nid: number, size: number): { offset: number; at: number; length: number }[] {
    const layout = (this.#u16(nid * 32) >> 1) & 7
    const raw = this.#u32(nid * 32 + 16)
    if (layout === 0) return size === 0 ? [] : [{ offset: 0, at: raw * this.#block - this.#dataAt, length: size }]
    const chunk = this.#block * 2 ** (raw & 0x1f)
    const indexes = Math.ceil(this.#behind(nid) / 4) * 4
    const runs: { offset: number; at: number; length: number }[] = []
    for (let i = 0; i * chunk < size; i++) {
      const block = this.#u32(indexes + 4 * i)
      if (block === 0xffffffff) continue
      const at = block * this.#block - this.#dataAt
      runs.push({ offset: i * chunk, at, length: Math.min(chunk, size - i * chunk) })
    }
    return runs
  }

  #names(nid: number, { size }: Found): [string, number][] {
    const bytes = this.#bytes(nid, size)
    const names: [string, number][] = []
    for (let from = 0; from < size; from += this.#block) {
      const block = bytes.subarray(from, Math.min(from + this.#block, size))
      const count = block.readUInt16LE(8) / 12
      for (let i = 0; i < count; i++) {
        const start = block.readUInt16LE(12 * i + 8)
        const nul = block.indexOf(0, start)
        const end = i + 1 < count ? block.readUInt16LE(12 * i + 20) : nul < 0 ? block.length : nul
        names.push([block.toString('latin1', start, end), Number(block.readBigUInt64LE(12 * i))])
      }
    }
    for (let i = 1; i < names.length; i++) {
      if (names[i - 1]![0] >= names[i]![0]) throw new Error(`names of ${nid} are not in order`)
    }
    return names
  }

  #text(from: number, end: number): string {
    return Buffer.from(this.#image.subarray(from, end)).toString('latin1')
  }
  #u16(at: number): number {
    return this.#view.getUint16(at, true)
  }
  #u32(at: number): number {
    return this.#view.getUint32(at, true)
  }
}
