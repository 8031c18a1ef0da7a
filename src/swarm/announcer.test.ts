import { beforeEach, describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { infoOf } from '../../test/fakes/members.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { MemberTable } from '../cluster/member-table.ts'
import { ownerOf } from '../cluster/rendezvous.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { Announcer } from './announcer.ts'

const scheduler = (id: string) => infoOf(id, { modes: ['scheduler'] })
const contents = (count: number) => Array.from({ length: count }, (_, i) => Buffer.from(`content ${i}`))

let clock: FakeClock
let store: MemoryStore
let table: MemberTable
let announcer: Announcer

beforeEach(() => {
  clock = new FakeClock()
  store = new MemoryStore({ clock })
  table = new MemberTable(infoOf('self'), () => clock.now())
  announcer = new Announcer(store, () => table)
})

async function put(...all: Buffer[]): Promise<Digest[]> {
  const digests: Digest[] = []
  for (const bytes of all) {
    const digest = digestOf(bytes)
    await store.put({ digest, kind: 'blob' }, bytes)
    announcer.changed(digest)
    digests.push(digest)
  }
  return digests
}
const told = (id: string, full = false) => {
  const { holdings, gone } = announcer.changes(scheduler(id), full)
  return { held: holdings.map(({ digest }) => digest).sort(), gone }
}
const joins = (...ids: string[]) => {
  for (const id of ids) table.heard(scheduler(id), clock.now())
}

test('without a scheduler nobody is told', async () => {
  expect(announcer.changed(digestOf(Buffer.from('x')))).toBeUndefined()
})

describe('a scheduler', () => {
  test('that starts from nothing is told everything it owns, however much that is', async () => {
    const digests = await put(...contents(5000))
    joins('a')
    expect(told('a', true)).toEqual({ held: digests.sort(), gone: [] })
    expect(told('a')).toEqual({ held: [], gone: [] })
  })

  test('is told what changed, with how much of it is here', async () => {
    joins('a')
    told('a', true)
    const bytes = new Uint8Array(600_000)
    const digest = digestOf(bytes)
    const blob = store.create({ digest, size: bytes.length, kind: 'blob' })
    expect(announcer.changed(digest)).toBe('a')
    expect(announcer.changes(scheduler('a'), false).holdings).toEqual([
      { digest, size: bytes.length, pieces: 0, complete: false },
    ])
    await blob.write(0, bytes.subarray(0, blob.layout.pieceLength))
    announcer.changed(digest)
    announcer.changed(digest)
    expect(announcer.changes(scheduler('a'), false)).toEqual({
      holdings: [{ digest, size: bytes.length, pieces: 1, complete: false }],
      gone: [],
    })
    expect(told('a')).toEqual({ held: [], gone: [] })
  })

  test('is told only of what it owns', async () => {
    joins('a', 'b')
    told('a', true)
    told('b', true)
    const digests = await put(...contents(50))
    for (const id of ['a', 'b']) {
      const own = digests.filter((digest) => ownerOf(digest, ['a', 'b']) === id).sort()
      expect(own.length).toBeGreaterThan(5)
      expect(told(id)).toEqual({ held: own, gone: [] })
    }
  })

  test('that restarts is told everything again, and what is gone is not mentioned', async () => {
    joins('a')
    const [first, second] = await put(...contents(2))
    told('a', true)
    await store.remove(first!)
    announcer.changed(first!)
    expect(told('a', true)).toEqual({ held: [second!], gone: [] })
  })
})

describe('when a scheduler', () => {
  test('comes, it is told what it owns from now on, and the others hear nothing new', async () => {
    joins('a')
    const digests = await put(...contents(50))
    told('a', true)
    joins('b')
    const own = digests.filter((digest) => ownerOf(digest, ['a', 'b']) === 'b').sort()
    expect(told('b', true).held).toEqual(own)
    const again = told('a').held
    for (const digest of own) expect(again).not.toContain(digest)
  })

  test('goes or comes, nobody is told again what is its own already', async () => {
    const all = ['a', 'b', 'c']
    joins(...all)
    const digests = await put(...contents(60))
    for (const id of all) told(id, true)
    table.drop('c', clock.now(), 'silent')
    const orphans = digests.filter((digest) => ownerOf(digest, all) === 'c').sort()
    expect([...told('a').held, ...told('b').held].sort()).toEqual(orphans)
    joins('c')
    expect([told('a').held, told('b').held]).toEqual([[], []])
    expect(told('c', true).held).toEqual(orphans)
  })

  test('goes, the others are told what was its own', async () => {
    joins('a', 'b')
    const digests = await put(...contents(50))
    told('a', true)
    told('b', true)
    table.drop('b', clock.now(), 'silent')
    const orphans = digests.filter((digest) => ownerOf(digest, ['a', 'b']) === 'b')
    expect(told('a').held).toEqual(expect.arrayContaining(orphans))
  })

  test('had a digest once that another one owned when it was removed, it is told as well', async () => {
    joins('a')
    const digests = await put(...contents(50))
    told('a', true)
    joins('b')
    told('b', true)
    told('a')
    const moved = digests.find((digest) => ownerOf(digest, ['a', 'b']) === 'b')!
    await store.remove(moved)
    expect(announcer.changed(moved)).toBe('b')
    expect(told('b').gone).toEqual([moved])
    expect(told('a').gone).toEqual([moved])
  })

  test('left and comes back, what was to be told to it before is not', async () => {
    joins('a', 'b')
    told('a', true)
    told('b', true)
    const digests = await put(...contents(50))
    table.drop('b', clock.now(), 'silent')
    told('a')
    for (const digest of digests) await store.remove(digest)
    joins('b')
    expect(told('b', true)).toEqual({ held: [], gone: [] })
  })
})
