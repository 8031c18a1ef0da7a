import { describe, expect, test } from 'bun:test'
import { type Member, tarOf } from '../../test/fakes/tar.ts'
import { Failure } from '../failure.ts'
import type { LayerEntry } from '../tar/entry.ts'
import { TarReader } from '../tar/reader.ts'
import { erofsOf } from './image.ts'
import { impliedAt, impliedIn } from './implied.ts'

const file = (name: string): Member => ({ name })
const folder = (name: string): Member => ({ name, flag: '5', mode: 0o700 })

function listOf(...members: Member[]): Uint8Array {
  const entries: LayerEntry[] = []
  const reader = new TarReader({ entry: (entry) => void entries.push(entry), data: () => {} })
  reader.push(tarOf(members))
  const image = erofsOf(entries, { dataBytes: 0 })
  return image.subarray(impliedAt(image))
}

/** Each as its path, in brackets where some entry describes it. */
function listed(...members: Member[]): string[] {
  const way: string[] = []
  return [...impliedIn(listOf(...members))].map(({ depth, name, isImplied }) => {
    way.length = depth
    way.push(name)
    return isImplied ? way.join('/') : `(${way.join('/')})`
  })
}

describe('folders that a layer does not describe', () => {
  test('are listed behind its image, with the described ones that lead to them', () => {
    expect(listed(file('tmp/x'), file('root/y'), file('tmp/z'))).toEqual(['root', 'tmp'])
    const nested = [folder('a/'), folder('a/b/'), file('a/b/c/d/x'), file('a/e'), folder('f/'), file('f/x')]
    expect(listed(...nested)).toEqual(['(a)', '(a/b)', 'a/b/c', 'a/b/c/d'])
    expect(listed(file('caf\xe9\xff/x'), file('b/x'), file('b/c/x'))).toEqual(['b', 'b/c', 'caf\xe9\xff'])
  })

  test('are not listed where all are described, be it later', () => {
    expect(listOf(folder('a/'), folder('a/b/'), file('a/b/x'), file('y'))).toHaveLength(0)
    expect(listOf(file('a/x'), folder('a/'))).toHaveLength(0)
    // The name is another thing's by now.
    expect(listOf(file('a/x'), file('a'))).toHaveLength(0)
  })

  test('are new where a whiteout took away what was below, and not where one hides only what is in it', () => {
    expect(listed(file('.wh.a'), file('a/x'))).toEqual([])
    expect(listed(file('a/x'), file('.wh.a'))).toEqual([])
    expect(listed(file('a/.wh..wh..opq'), file('a/x'))).toEqual(['a'])
  })

  test('are listed however deep they are', () => {
    const half = 'a/'.repeat(2000)
    const pax = (path: string, linkpath = '') => [['path', path] as const, ['linkpath', linkpath] as const]
    const link = { name: 'l', flag: '2', pax: pax('l', half) }
    expect(listed({ name: 'x', pax: pax(`${half}x`) }, link, { name: 'x', pax: pax(`l/${half}x`) })).toHaveLength(4000)
  })
})

test('a list that is cut off or leads elsewhere is refused', () => {
  const list = listOf(file('a/b/x'), file('c/x'))
  expect([...impliedIn(list)]).toHaveLength(3)
  for (let length = 1; length < list.length; length++) {
    expect(() => [...impliedIn(list.subarray(0, length))]).toThrow(Failure)
  }
  expect(() => [...impliedIn(Buffer.concat([list, list]))]).toThrow(Failure)
  for (const name of ['', '.', '..', 'a/b', 'a\0']) {
    const bad = Buffer.from([2, name.length, ...Buffer.from(name), 0, 0])
    expect(() => [...impliedIn(bad)]).toThrow(Failure)
  }
})
