/** An entry out of its header and of what stood before it: PAX records, GNU's long names. */
import type { EntryType, Extent, LayerEntry } from './entry.ts'
import type { Header } from './header.ts'
import { type PaxRecord, paxNumber, paxTime } from './pax.ts'
import { refuse, shown } from './problem.ts'

/** What headers before an entry's own say of it. */
export interface Before {
  pax: readonly PaxRecord[]
  name?: string
  target?: string
}

const noAttributes: ReadonlyMap<string, Uint8Array> = new Map()
const attributePrefix = 'SCHILY.xattr.'

const types: ReadonlyMap<string, EntryType> = new Map([
  ...(['\0', '0', '7', 'S'] as const).map((flag) => [flag, 'file'] as const),
  ['1', 'hardlink'],
  ['2', 'symlink'],
  ['3', 'char'],
  ['4', 'block'],
  ['5', 'directory'],
  // GNU's incremental form of a folder.
  ['D', 'directory'],
  ['6', 'fifo'],
])

/** `undefined` for a kind that is not known. */
export function typeOf({ flag, name }: Header, before: Before): EntryType | undefined {
  // The oldest tars have no kind for folders; the name counts that an entry has in the end.
  if (flag === '\0' && (before.name ?? lastOf(before.pax, 'path') ?? name).endsWith('/')) return 'directory'
  return types.get(flag)
}

export function entryOf(
  header: Header,
  before: Before,
  size: number,
  extents: readonly Extent[],
  at: number,
): LayerEntry {
  const { pax } = before
  const type = typeOf(header, before)!
  const isDevice = type === 'char' || type === 'block'
  const path = before.name ?? lastOf(pax, 'GNU.sparse.name') ?? lastOf(pax, 'path') ?? header.name
  const target = before.target ?? lastOf(pax, 'linkpath') ?? header.linkname
  if (path.includes('\0') || target.includes('\0')) refuse(at, `there is a NUL in the name ${shown(path)}`)
  return {
    path,
    type,
    mode: header.mode,
    uid: ownerOf(lastOf(pax, 'uid'), header.uid, path, at),
    gid: ownerOf(lastOf(pax, 'gid'), header.gid, path, at),
    mtime: timeOf(lastOf(pax, 'mtime'), header.seconds, at),
    rdev: isDevice ? { major: header.major, minor: header.minor } : { major: 0, minor: 0 },
    target: type === 'symlink' || type === 'hardlink' ? target : '',
    size: type === 'file' ? size : 0,
    extents: type === 'file' ? extents : [],
    xattrs: attributesOf(pax),
  }
}

/** The last of that key that says something. */
export function lastOf(records: readonly PaxRecord[], key: string): string | undefined {
  return records.length === 0 ? undefined : records.findLast((record) => record[0] === key && record[1] !== '')?.[1]
}

/** -2 is how some write 4294967294. */
function ownerOf(text: string | undefined, inHeader: number, path: string, at: number): number {
  const id = text === undefined ? inHeader : paxNumber(text)
  if (id === undefined || id < -(2 ** 31) || id >= 2 ** 32) refuse(at, `${shown(path)} has an owner that is none`)
  return id >>> 0
}

function timeOf(text: string | undefined, seconds: number, at: number): LayerEntry['mtime'] {
  if (text === undefined) return { seconds, nanos: 0 }
  return paxTime(text) ?? refuse(at, `a PAX header has the time ${shown(text)}`)
}

function attributesOf(records: readonly PaxRecord[]): ReadonlyMap<string, Uint8Array> {
  const own = records.filter(([key]) => key.startsWith(attributePrefix))
  if (own.length === 0) return noAttributes
  return new Map(own.map(([key, value]) => [key.slice(attributePrefix.length), Buffer.from(value, 'latin1')]))
}
