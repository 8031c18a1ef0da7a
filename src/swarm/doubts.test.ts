import { describe, expect, test } from 'bun:test'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { layoutOf, pieceBytes, pieceStart } from '../piece/layout.ts'
import { Metainfo, pieceDigest } from '../piece/metainfo.ts'
import { Doubts } from './doubts.ts'

const bytes = bytesOf(3_000_000)
const layout = layoutOf(bytes.length)
const [near, far] = [() => true, () => false]

function digestsOf(first: number, count: number): Uint8Array {
  const digests = Array.from({ length: count }, (_, i) => {
    const start = pieceStart(layout, first + i)
    return pieceDigest(bytes.subarray(start, start + pieceBytes(layout, first + i)))
  })
  return Buffer.concat(digests)
}

/** What signers said: `honest` the first two pieces, `liar` the others, all of them wrong unless `truly`. */
function said(digest: Digest, truly = false): Metainfo {
  const metainfo = new Metainfo(digest, layout)
  const signature = new Uint8Array(64)
  metainfo.add({ first: 0, digests: digestsOf(0, 2), signer: 'honest', signature })
  const rest = digestsOf(2, layout.count - 2)
  metainfo.add({ first: 2, digests: truly ? rest : rest.map((byte) => byte ^ 1), signer: 'liar', signature })
  return metainfo
}

function setUp() {
  const clock = new FakeClock()
  const banned: string[] = []
  const doubts = new Doubts({ clock, ban: (node) => void banned.push(node) })
  const blob = (n: number) => digestOf(new TextEncoder().encode(String(n)))
  return { clock, banned, doubts, blob, digest: blob(0) }
}

describe('a blob that came out wrong', () => {
  test('is the fault of who stated what it is not, and nobody is banned before that is known', () => {
    const { banned, doubts, digest } = setUp()
    doubts.raise(said(digest), ['honest', 'liar'], near)
    expect(banned).toEqual([])
    doubts.settle(said(digest, true), 'self')
    expect(banned).toEqual(['liar'])
  })

  test('makes its signers unbelieved about it alone, until the truth is known', () => {
    const { doubts, digest, blob } = setUp()
    doubts.raise(said(digest), ['honest', 'liar'], near)
    expect([doubts.distrusts('honest', digest), doubts.distrusts('liar', digest)]).toEqual([true, true])
    expect([doubts.distrusts('other', digest), doubts.distrusts('liar', blob(1))]).toEqual([false, false])
    doubts.settle(said(digest, true), 'self')
    expect(doubts.distrusts('liar', digest)).toBe(false)
  })

  test('of which the truth is never found casts a doubt for ten minutes', () => {
    const { clock, doubts, digest } = setUp()
    doubts.raise(said(digest), ['liar'], near)
    clock.advance(10 * 60_000 - 1)
    expect(doubts.distrusts('liar', digest)).toBe(true)
    clock.advance(1)
    expect(doubts.distrusts('liar', digest)).toBe(false)
  })

  test('is no fault of its reader, and a size that it does not have is one of all who signed it', () => {
    const { banned, doubts, digest } = setUp()
    doubts.raise(said(digest), ['liar'], near)
    doubts.settle(said(digest, true), 'liar')
    expect(banned).toEqual([])
    const other = new Metainfo(digest, layoutOf(bytes.length + 1))
    other.add({ first: 0, digests: digestsOf(0, 2), signer: 'sized', signature: new Uint8Array(64) })
    doubts.raise(other, ['sized'], near)
    doubts.settle(said(digest, true), 'self')
    expect(banned).toEqual(['sized'])
  })
})

describe('who took its word back', () => {
  test('is excused three times in an hour', () => {
    const { clock, banned, doubts, blob } = setUp()
    const wrong = (n: number) => {
      doubts.raise(said(blob(n)), ['liar'], near)
      doubts.retract('liar', blob(n))
      doubts.settle(said(blob(n), true), 'self')
    }
    for (const n of [0, 1, 2]) wrong(n)
    clock.advance(61 * 60_000)
    for (const n of [3, 4, 5]) wrong(n)
    expect(banned).toEqual([])
    wrong(6)
    expect(banned).toEqual(['liar'])
  })

  test('cannot be told from who had no way to tell us', () => {
    const { banned, doubts, digest } = setUp()
    doubts.raise(said(digest), ['liar'], far)
    doubts.settle(said(digest, true), 'self')
    expect(banned).toEqual([])
  })
})

describe('a node that sent other bytes than those that were believed, and had said nothing of them', () => {
  test('is banned once they are seen to have been right', () => {
    const { banned, doubts, digest } = setUp()
    doubts.accuse('silent', digest, 3, said(digest, true).digestOf(3)!)
    expect(banned).toEqual([])
    doubts.settle(said(digest, true), 'self')
    doubts.settle(said(digest, true), 'self')
    expect(banned).toEqual(['silent'])
  })

  test('is not banned when what was believed was a lie', () => {
    const { banned, doubts, digest } = setUp()
    doubts.accuse('honest', digest, 3, said(digest).digestOf(3)!)
    doubts.settle(said(digest, true), 'self')
    expect(banned).toEqual([])
  })

  test('is not banned for a blob of which the truth is not found', () => {
    const { banned, doubts, digest, blob } = setUp()
    doubts.accuse('silent', digest, 3, said(digest, true).digestOf(3)!)
    doubts.settle(said(blob(1), true), 'self')
    expect(banned).toEqual([])
  })
})
