import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type Member, paxText, tarOf } from '../../test/fakes/tar.ts'
import { Failure } from '../failure.ts'
import type { LayerEntry } from './entry.ts'
import { TarReader, tarLimits } from './reader.ts'

interface Read {
  readonly entries: LayerEntry[]
  /** What was given of each entry, where the tar has it. */
  readonly data: { at: number; bytes: string }[][]
}

function read(tar: Uint8Array, step = tar.length, limits = tarLimits): Read {
  const entries: LayerEntry[] = []
  const data: { at: number; bytes: string }[][] = []
  const reader = new TarReader(
    {
      entry(entry) {
        entries.push(entry)
        data.push([])
      },
      data: (at, bytes) => void data.at(-1)!.push({ at, bytes: Buffer.from(bytes).toString('latin1') }),
    },
    limits,
  )
  for (let i = 0; i < tar.length; i += step) reader.push(tar.subarray(i, i + step))
  reader.end()
  return { entries, data }
}

const one = (member: Member): LayerEntry => read(tarOf([member])).entries[0]!

/** What a file would have in it, holes as dots. */
function contentOf(tar: Uint8Array, { size, extents }: LayerEntry): string {
  const content = Buffer.alloc(size, '.')
  for (const { offset, at, length } of extents) content.set(tar.subarray(at, at + length), offset)
  return content.toString('latin1')
}

describe('what an entry says', () => {
  test('a file has its owner, mode, time, and one run of bytes', () => {
    const tar = tarOf([{ name: 'etc/passwd', mode: 0o4755, uid: 7, gid: 8, mtime: 9, data: 'root' }])
    const { entries, data } = read(tar)
    expect(entries).toEqual([
      {
        path: 'etc/passwd',
        type: 'file',
        mode: 0o4755,
        uid: 7,
        gid: 8,
        mtime: { seconds: 9, nanos: 0 },
        rdev: { major: 0, minor: 0 },
        target: '',
        size: 4,
        extents: [{ offset: 0, at: 512, length: 4 }],
        xattrs: new Map(),
      },
    ])
    expect(data).toEqual([[{ at: 512, bytes: 'root' }]])
  })

  test('links, devices, pipes and folders have no bytes, whatever size they claim', () => {
    for (const flag of ['1', '2', '3', '4', '5', '6']) {
      const tar = tarOf([{ name: 'x', flag, link: 'y', device: [5, 300], size: 512 }, { name: 'next' }])
      const { entries } = read(tar)
      expect(entries.map(({ path, size, extents }) => [path, size, extents])).toEqual([
        ['x', 0, []],
        ['next', 0, []],
      ])
    }
  })

  test('device numbers are of devices, targets of links', () => {
    const facts = (flag: string) => {
      const { type, rdev, target } = one({ name: 'x', flag, link: 'y', device: [5, 300] })
      return [type, `${rdev.major}:${rdev.minor}`, target]
    }
    expect(['1', '2', '3', '4', '6'].map(facts)).toEqual([
      ['hardlink', '0:0', 'y'],
      ['symlink', '0:0', 'y'],
      ['char', '5:300', ''],
      ['block', '5:300', ''],
      ['fifo', '0:0', ''],
    ])
  })

  test('names keep bytes that are not UTF-8', () => {
    expect(one({ name: 'caf\xe9\xff\n' }).path).toBe('caf\xe9\xff\n')
    expect(one({ name: 'x', pax: [['path', 'caf\xe9\n=\xff']] }).path).toBe('caf\xe9\n=\xff')
  })

  test('a ustar prefix leads the name', () => {
    expect(one({ name: 'b', prefix: 'a' }).path).toBe('a/b')
    expect(one({ name: 'b', prefix: 'a', magic: 'old' }).path).toBe('b')
  })

  // Go's archive/tar, before 1.8 as a writer and since then as a reader; golang.org/issue/12594.
  test('GNU has times where ustar has a prefix; what is no time is one that Go wrote there', () => {
    const path = (prefix: string) => one({ name: 'b', prefix, magic: 'gnu' }).path
    const time = '14371573600\0'
    expect(path('usr/share/some/very/long/path')).toBe('usr/share/some/very/long/path/b')
    expect(path(`${time}usr`)).toBe(`${time.slice(0, -1)}/b`)
    expect(path(time + time)).toBe('b')
    expect(path(`\0${'\0'.repeat(11)}${time}`)).toBe('b')
    expect(path('\x80\0\0\0\0\0\0\0\x65\x00\x00\x00')).toBe('b')
    expect(path('usr/caf\xe9')).toBe('b')
  })

  test('the oldest form of a folder is told by the name that it has in the end', () => {
    const long = 'a/'.repeat(60)
    const type = (...members: Member[]) => read(tarOf(members)).entries.map((entry) => entry.type)
    const named = { name: '././@LongLink', flag: 'L', data: `${long}\0` }
    expect(type(named, { name: long.slice(0, 99), flag: '\0' })).toEqual(['directory'])
    expect(type({ ...named, data: `${long}f\0` }, { name: long.slice(0, 100), flag: '\0' })).toEqual(['file'])
    expect(type({ name: 'x', flag: '\0', pax: [['path', 'x/']] })).toEqual(['directory'])
    // It has no bytes then, whatever size it claims.
    expect(type(named, { name: 'x', flag: '\0', size: 512 }, { name: 'next' })).toEqual(['directory', 'file'])
  })

  test('PAX records are of the next entry only, and win over its header', () => {
    const pax = [
      ['path', 'long'],
      ['uid', '3000000'],
      ['gid', '-2'],
      ['mtime', '-1.25'],
      ['SCHILY.xattr.security.capability', '\x01\0\0\x02\xff\n'],
      ['comment', 'of no matter'],
    ] as const
    const { entries } = read(tarOf([{ name: 'short', pax }, { name: 'plain' }]))
    expect(entries[0]).toMatchObject({
      path: 'long',
      uid: 3_000_000,
      gid: 4_294_967_294,
      mtime: { seconds: -2, nanos: 750_000_000 },
    })
    const capability = entries[0]!.xattrs.get('security.capability')!
    expect(Buffer.from(capability).toString('latin1')).toBe('\x01\0\0\x02\xff\n')
    expect(entries[1]).toMatchObject({ path: 'plain', uid: 0, xattrs: new Map() })
  })

  test('records for all entries are left alone, as engines do', () => {
    const { entries } = read(tarOf([{ name: 'g', flag: 'g', data: paxText([['path', 'wrong']]) }, { name: 'right' }]))
    expect(entries.map((entry) => entry.path)).toEqual(['right'])
  })

  test('GNU long names and targets', () => {
    const name = 'n'.repeat(1000)
    const target = 't'.repeat(3000)
    const tar = tarOf([
      { name: '././@LongLink', flag: 'L', magic: 'gnu', data: `${name}\0` },
      { name: '././@LongLink', flag: 'K', magic: 'gnu', data: `${target}\0` },
      { name: 'cut', flag: '2', link: 'cut', magic: 'gnu' },
      { name: 'plain' },
    ])
    const { entries } = read(tar)
    expect(entries.map(({ path, target }) => [path, target])).toEqual([
      [name, target],
      ['plain', ''],
    ])
  })

  test('numbers in base 256, below zero too', () => {
    const alter = (block: Buffer) => {
      block.writeUInt32BE(0x80000000, 108)
      block.writeUInt32BE(4_000_000_000, 112)
      block.fill(0xff, 136, 148)
    }
    expect(one({ name: 'x', alter })).toMatchObject({ uid: 4_000_000_000, mtime: { seconds: -1, nanos: 0 } })
  })

  test('the oldest form has a slash for folders', () => {
    expect(one({ name: 'd/', flag: '\0', magic: 'old' }).type).toBe('directory')
    expect(one({ name: 'd', flag: '\0', magic: 'old' }).type).toBe('file')
  })
})

describe('files with holes', () => {
  const sparse = [
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.name', 'holes'],
    ['GNU.sparse.realsize', '2000'],
  ] as const
  const lines = (text: string) => text.padEnd(Math.ceil(text.length / 512) * 512, '\0')
  const expected = `${'.'.repeat(512)}${'a'.repeat(512)}${'.'.repeat(512)}${'b'.repeat(464)}`

  test('PAX 1.0: a map in front of the data', () => {
    const data = lines('2\n512\n512\n1536\n464\n') + 'a'.repeat(512) + 'b'.repeat(464)
    const tar = tarOf([{ name: 'x', pax: sparse, data }, { name: 'next' }])
    const { entries } = read(tar)
    expect(entries.map((entry) => entry.path)).toEqual(['holes', 'next'])
    expect(contentOf(tar, entries[0]!)).toBe(expected)
  })

  test('PAX 1.0: a map of many blocks', () => {
    const parts = Array.from({ length: 500 }, (_, i) => [`${i * 2}`, '1'])
    const map = lines(`${parts.length}\n${parts.flat().join('\n')}\n`)
    const pax = [...sparse.slice(0, 3), ['GNU.sparse.realsize', '1000'] as const]
    const tar = tarOf([{ name: 'x', pax, data: map + 'z'.repeat(500) }])
    for (const step of [tar.length, 100]) {
      expect(contentOf(tar, read(tar, step).entries[0]!)).toBe('z.'.repeat(500))
    }
  })

  test('PAX 0.0 and 0.1: a map in records', () => {
    const data = 'a'.repeat(512) + 'b'.repeat(464)
    const pairs = ['512', '512', '1536', '464']
    const first = pairs.map((n, i) => [i % 2 === 0 ? 'GNU.sparse.offset' : 'GNU.sparse.numbytes', n] as const)
    for (const map of [first, [['GNU.sparse.map', pairs.join(',')] as const]]) {
      const tar = tarOf([{ name: 'x', pax: [['GNU.sparse.size', '2000'], ...map], data }])
      expect(contentOf(tar, read(tar).entries[0]!)).toBe(expected)
    }
  })

  test('old GNU: a map in the header and in blocks behind it', () => {
    const parts = Array.from({ length: 30 }, (_, i) => [i * 1024, 512])
    const put = (block: Buffer, from: number, some: number[][]) => {
      for (const [i, part] of some.entries()) {
        for (const [j, value] of part.entries()) {
          block.write(value.toString(8).padStart(11, '0'), from + 24 * i + 12 * j, 'latin1')
        }
      }
    }
    const alter = (block: Buffer) => {
      put(block, 386, parts.slice(0, 4))
      block[482] = 1
      block.write((30 * 1024).toString(8).padStart(11, '0'), 483, 'latin1')
    }
    const more = [Buffer.alloc(512), Buffer.alloc(512)]
    put(more[0]!, 0, parts.slice(4, 25))
    more[0]![504] = 1
    put(more[1]!, 0, parts.slice(25))
    const bytes = 'q'.repeat(30 * 512)
    const header = tarOf([{ name: 'x', flag: 'S', magic: 'gnu', size: bytes.length, alter }], { end: false })
    const tar = new Uint8Array(
      Buffer.concat([header, ...more, Buffer.from(bytes), tarOf([{ name: 'next', data: 'n' }])]),
    )
    const { entries } = read(tar, 700)
    expect(entries.map((entry) => entry.path)).toEqual(['x', 'next'])
    expect(contentOf(tar, entries[0]!)).toBe(`${'q'.repeat(512)}${'.'.repeat(512)}`.repeat(30))
  })

  test('parts that overlap, lie outside or are longer than what is stored are refused', () => {
    for (const map of ['0,10,5,10', '10,5,0,5', '1990,20', '0,1500', '0', '0,x', '-1,1']) {
      const pax = [['GNU.sparse.size', '2000'] as const, ['GNU.sparse.map', map] as const]
      expect(() => read(tarOf([{ name: 'x', pax, data: 'a'.repeat(1000) }]))).toThrow(Failure)
    }
  })
})

describe('what is no tar, or not all of one', () => {
  test.each([
    ['an unknown kind', { flag: 'Z' }],
    ['a number that is none', { alter: (b: Buffer) => void b.write('99999999', 124) }],
    ['a size that no number holds', { alter: (b: Buffer) => void b.fill(0x80, 124, 136) }],
    ['a negative size', { alter: (b: Buffer) => void b.fill(0xff, 124, 136) }],
    ['a NUL in a name', { pax: [['path', 'a\0b']] as const }],
    ['an owner beyond 32 bits', { pax: [['uid', '4294967296']] as const }],
    ['a time that is none', { pax: [['mtime', 'noon']] as const }],
  ])('%s is refused', (_, member: Partial<Member>) => {
    expect(() => read(tarOf([{ name: 'name', data: 'x', ...member }]))).toThrow(Failure)
  })

  test('a checksum that is wrong is refused', () => {
    const tar = tarOf([{ name: 'name' }])
    tar[3]! ^= 1
    expect(() => read(tar)).toThrow(/checksum/)
  })

  test('PAX headers that are not well-formed are refused', () => {
    for (const data of ['12', '5 a=', '99 path=x\n', '0 a=b\n', '7 path\n', '5 =a\n', 'x a=b\n', '6 a=bc']) {
      expect(() => read(tarOf([{ name: 'p', flag: 'x', data }, { name: 'x' }]))).toThrow(Failure)
    }
  })

  test('a name or PAX header of more than a mebibyte is refused before it is read', () => {
    for (const flag of ['x', 'L', 'K']) {
      expect(() => read(tarOf([{ name: 'p', flag, size: 2 ** 20 + 1 }], { end: false }))).toThrow(/1048576/)
    }
  })

  test('one that ends in the middle of an entry is refused; one that lacks its last padding is not', () => {
    const tar = tarOf([{ name: 'x', data: 'abc' }], { end: false })
    expect(read(tar.subarray(0, 515)).entries).toHaveLength(1)
    for (const length of [1, 511, 512, 514]) expect(() => read(tar.subarray(0, length))).toThrow(Failure)
  })

  test('what follows two empty blocks is not read; an entry behind one is refused', () => {
    const tar = tarOf([{ name: 'x' }])
    expect(read(Buffer.concat([tar, Buffer.from('rubbish')])).entries).toHaveLength(1)
    const next = tarOf([{ name: 'y' }])
    expect(() => read(Buffer.concat([Buffer.alloc(512), next]))).toThrow(Failure)
  })

  test('nothing is an empty tar', () => {
    expect(read(new Uint8Array(0)).entries).toEqual([])
    expect(read(new Uint8Array(1024)).entries).toEqual([])
  })
})

describe('a tar with more in it than whoever listens could keep is refused', () => {
  const few = { ...tarLimits, entries: 3, textBytes: 20, parts: 2 }
  const names = (...all: string[]) => tarOf(all.map((name) => ({ name })))
  const holes = (name: string): Member => ({
    name,
    pax: [['GNU.sparse.size', '20'] as const, ['GNU.sparse.map', '0,1,10,1'] as const],
    data: 'ab',
  })
  test.each([
    ['names', names('a', 'b', 'c'), names('a', 'b', 'c', 'd'), 'it has more than 3 entries'],
    ['bytes of names', names('a'.repeat(20)), names('a'.repeat(20), 'b'), 'attributes are longer than 20 bytes'],
    ['parts', tarOf([holes('a')]), tarOf([holes('a'), holes('b')]), 'sparse files have more than 2 parts'],
  ])('%s', (_, most, more, said) => {
    expect(read(most, most.length, few).entries.length).toBeGreaterThan(0)
    expect(() => read(more, more.length, few)).toThrow(said)
  })

  test('a million names', () => {
    // Of a layer that an index is made for, as the README says.
    expect(tarLimits.entries).toBe(1_000_000)
  })
})

test('how the bytes arrive changes nothing', () => {
  const member: fc.Arbitrary<Member> = fc.record({
    name: fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 90 }).filter((name) => !name.includes('\0')),
    data: fc.uint8Array({ maxLength: 2000 }),
    uid: fc.nat(0o7777777),
  })
  fc.assert(
    fc.property(fc.array(member, { maxLength: 6 }), fc.integer({ min: 1, max: 1500 }), (members, step) => {
      const tar = tarOf(members)
      const whole = read(tar)
      const parts = read(tar, step)
      expect(parts.entries).toEqual(whole.entries)
      const joined = ({ data }: Read) => data.map((runs) => runs.map((run) => run.bytes).join(''))
      expect(joined(parts)).toEqual(joined(whole))
      expect(joined(whole)).toEqual(members.map(({ data }) => Buffer.from(data!).toString('latin1')))
      for (const runs of parts.data) {
        for (const { at, bytes } of runs) {
          expect(Buffer.from(tar.subarray(at, at + bytes.length)).toString('latin1')).toBe(bytes)
        }
      }
    }),
    { numRuns: 100 },
  )
})

test('a tar with bytes changed at random gives entries or a Failure, nothing else', () => {
  const sound = tarOf([
    { name: 'd/', flag: '5' },
    { name: 'd/f', data: 'x'.repeat(700), pax: [['SCHILY.xattr.user.a', 'b']] },
    { name: '././@LongLink', flag: 'L', magic: 'gnu', data: 'long\0' },
    { name: 'cut', flag: '2', link: 'd/f' },
    {
      name: 's',
      pax: [
        ['GNU.sparse.size', '2000'],
        ['GNU.sparse.map', '0,10,512,10'],
      ],
      data: 'y'.repeat(20),
    },
  ])
  // Checksums are made good again: otherwise nothing behind them is ever reached.
  const mend = (tar: Uint8Array) => {
    for (let at = 0; at + 512 <= tar.length; at += 512) {
      const block = Buffer.from(tar.buffer, tar.byteOffset + at, 512)
      if (block.toString('latin1', 257, 262) !== 'ustar') continue
      block.fill(' ', 148, 156)
      const sum = block.reduce((total, byte) => total + byte, 0)
      block.write(`${sum.toString(8).padStart(6, '0')}\0`, 148, 'latin1')
    }
  }
  const change = fc.tuple(fc.nat(sound.length - 1), fc.nat(255))
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
      const tar = sound.slice()
      for (const [at, byte] of changes) tar[at] = byte
      mend(tar)
      try {
        read(tar, 333)
      } catch (error) {
        expect(error).toBeInstanceOf(Failure)
      }
    }),
    { numRuns: 400 },
  )
})
