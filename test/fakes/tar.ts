/** Tars as any program might write them, good or not: what a member says is put down as it stands. */

export interface Member {
  readonly name: string
  /** The flag of the header; default a file (`0`). */
  readonly flag?: string
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly mtime?: number
  readonly link?: string
  readonly device?: readonly [major: number, minor: number]
  readonly data?: Uint8Array | string
  /** What the header says of the data's length, where that is a lie. */
  readonly size?: number
  /** Records of a PAX header in front. */
  readonly pax?: readonly (readonly [key: string, value: string])[]
  readonly magic?: 'ustar' | 'gnu' | 'old'
  readonly prefix?: string
  /** The last word on the header's bytes, before its checksum. */
  readonly alter?: (block: Buffer) => void
}

export function tarOf(members: readonly Member[], options: { readonly end?: boolean } = {}): Uint8Array {
  const end = options.end === false ? [] : [Buffer.alloc(1024)]
  return new Uint8Array(Buffer.concat([...members.flatMap(blocksOf), ...end]))
}

function blocksOf(member: Member): Buffer[] {
  const pax = member.pax ? blocksOf({ name: 'pax', flag: 'x', data: paxText(member.pax) }) : []
  const data = bytesOf(member.data ?? '')
  return [...pax, headerOf(member, data.length), data, Buffer.alloc((512 - (data.length % 512)) % 512)]
}

export function paxText(records: readonly (readonly [key: string, value: string])[]): string {
  return records.map(([key, value]) => recordOf(key, value)).join('')
}

function recordOf(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  let length = rest.length
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length
  return `${length}${rest}`
}

function headerOf(member: Member, length: number): Buffer {
  const block = Buffer.alloc(512)
  const octal = (value: number, at: number, width: number) =>
    block.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, 'latin1')
  block.write(member.name.slice(0, 100), 0, 'latin1')
  octal(member.mode ?? 0o644, 100, 8)
  octal(member.uid ?? 0, 108, 8)
  octal(member.gid ?? 0, 116, 8)
  octal(member.size ?? length, 124, 12)
  octal(member.mtime ?? 1_700_000_000, 136, 12)
  block.write(member.flag ?? '0', 156, 'latin1')
  block.write((member.link ?? '').slice(0, 100), 157, 'latin1')
  const magic = { ustar: 'ustar\x0000', gnu: 'ustar  \0', old: '' }[member.magic ?? 'ustar']
  block.write(magic, 257, 'latin1')
  if (member.device) {
    octal(member.device[0], 329, 8)
    octal(member.device[1], 337, 8)
  }
  block.write(member.prefix ?? '', 345, 'latin1')
  member.alter?.(block)
  block.fill(' ', 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  octal(sum, 148, 7)
  return block
}

function bytesOf(data: Uint8Array | string): Buffer {
  return typeof data === 'string' ? Buffer.from(data, 'latin1') : Buffer.from(data)
}
