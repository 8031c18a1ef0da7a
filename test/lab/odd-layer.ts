/** A layer with everything in it that a tar can say and a file system can keep; the same for the same seed. */
import { seededRandom } from '../../src/clock.ts'
import { type Member, tarOf } from '../fakes/tar.ts'

const capability = '\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0'
/** As setfacl writes it: version 2, then tag, permissions and id of each. */
const acl = [
  '\x02\0\0\0',
  ...['\x01\0\x06\0\xff\xff\xff\xff', '\x02\0\x04\0\xe8\x03\0\0', '\x04\0\x04\0\xff\xff\xff\xff'],
  ...['\x10\0\x04\0\xff\xff\xff\xff', '\x20\0\0\0\xff\xff\xff\xff'],
].join('')

const attribute = (name: string, value: string) => [`SCHILY.xattr.${name}`, value] as const
const folder = (name: string, some: Partial<Member> = {}): Member => ({ name, flag: '5', mode: 0o755, ...some })

export function oddLayer(seed: number): Uint8Array {
  return tarOf([folder('./'), ...folders, ...odd, ...randomMembers(seed, 1500)])
}

/** GNU tar gives folders that nobody mentions the time of now. */
const folders = ['modes/', 'times/', 'nodes/', 'links/', 'names/', 'attributes/', 'through/', 'through/real/'].map(
  (name) => folder(name),
)

const odd: readonly Member[] = [
  folder('sizes/', { mode: 0o1777, mtime: 1 }),
  ...[0, 1, 511, 512, 513, 4095, 4096, 4097, 300_001].map((size) => ({
    ...{ name: `sizes/${size}`, data: 'abcdefg'.repeat(size / 7 + 1).slice(0, size) },
  })),
  { name: 'modes/setuid', mode: 0o4755, uid: 70_000, gid: 80_000, data: 'x' },
  { name: 'modes/none', mode: 0, pax: [['uid', '4000000000']] },
  { name: 'times/before', pax: [['mtime', '-2.25']] },
  { name: 'times/exact', pax: [['mtime', '1700000000.123456789']], data: 'x' },
  { name: 'nodes/null', flag: '3', device: [1, 3], mode: 0o666 },
  { name: 'nodes/disk', flag: '4', device: [259, 70_000], mode: 0o660 },
  { name: 'nodes/pipe', flag: '6' },
  { name: 'links/file', data: 'shared' },
  { name: 'links/a', flag: '1', link: 'links/file' },
  { name: 'links/b', flag: '1', link: './links/a' },
  { name: 'links/symlink', flag: '2', link: '../nowhere', mode: 0o777 },
  { name: 'links/of-symlink', flag: '1', link: 'links/symlink' },
  { name: 'links/pipe', flag: '1', link: 'nodes/pipe' },
  ...[100, 480, 512, 513, 2000, 4095].map((length) => ({
    ...{ name: `links/${length}`, flag: '2', mode: 0o777, pax: [['linkpath', 'l'.repeat(length)]] as const },
  })),
  ...['\n', '\xff\xfe\x01', ' ', '-', '...', '!', '\\', 'caf\xc3\xa9', 'n'.repeat(255)].map((name) => ({
    ...{ name: 'x', pax: [['path', `names/${name}`]] as const, data: name },
  })),
  { name: 'attributes/capability', mode: 0o755, pax: [attribute('security.capability', capability)] },
  { name: 'attributes/acl', mode: 0o640, pax: [attribute('system.posix_acl_access', acl)] },
  { name: 'attributes/two', pax: [attribute('user.a', '\0\xff\n'), attribute('user.b', 'b'.repeat(2000))] },
  { name: 'attributes/two-again', pax: [attribute('user.a', '\0\xff\n'), attribute('user.b', 'b'.repeat(2000))] },
  folder('attributes/folder/', { pax: [attribute('user.folder', '')] }),
  { name: 'twice', data: 'first' },
  { name: 'twice', data: 'second' },
  { name: 'through/real/below', data: 'x' },
  { name: 'through/link', flag: '2', link: 'real', mode: 0o777 },
  { name: 'through/link/added', data: 'y' },
  {
    ...{ name: 'holes', data: 'a'.repeat(4096) + 'b'.repeat(904) },
    pax: [
      ['GNU.sparse.size', '1000840'],
      ['GNU.sparse.numblocks', '2'],
      ['GNU.sparse.map', '512,4096,999936,904'],
    ],
  },
  {
    name: 'one-hole',
    pax: [
      ['GNU.sparse.size', '10000000'],
      ['GNU.sparse.numblocks', '1'],
      ['GNU.sparse.map', '10000000,0'],
    ],
  },
]

/** Folders up to five deep and files in them, most without anything special. */
function randomMembers(seed: number, count: number): Member[] {
  const random = seededRandom(seed)
  const below = (limit: number) => Math.floor(random() * limit)
  const folders = ['random/']
  return Array.from({ length: count }, (_, i): Member => {
    const parent = folders[below(folders.length)]!
    const mtime = random() < 0.5 ? 1_700_000_000 : below(1_600_000_000)
    const pax = random() < 0.1 ? [attribute('user.number', String(below(20)))] : []
    if (i === 0) return folder('random/', { mtime })
    if (random() < 0.15 && parent.split('/').length < 6) {
      const name = `${parent}d${i}/`
      folders.push(name)
      return folder(name, { mtime, uid: below(10), pax })
    }
    return { name: `${parent}f${i}`, mtime, gid: below(10), pax, data: `${i}`.repeat(below(2000)) }
  })
}
