import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import fc from 'fast-check'
import { sample } from '../../test/conformance/blob-store.ts'
import { seededRandom, shuffle } from '../clock.ts'
import { hexOf } from '../oci/digest.ts'
import { Bitmap } from '../piece/bitmap.ts'
import { WholeHash } from './whole-hash.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

const pieceLength = 256 * 1024

function hashing(size: number) {
  const made = sample(size)
  const have = new Bitmap(made.layout.count)
  const readBack: number[] = []
  let reading = 0
  let most = 0
  const hash = new WholeHash('sha256', made.layout, have, {
    readPiece: async (piece, into) => {
      readBack.push(piece)
      most = Math.max(most, ++reading)
      await Promise.resolve()
      into.set(made.piece(piece))
      reading--
    },
  })
  const wrote = (piece: number) => {
    have.set(piece)
    hash.wrote(piece, made.piece(piece))
  }
  return { ...made, have, hash, readBack, wrote, mostAtOnce: () => most }
}

describe('WholeHash', () => {
  test('reads nothing back when pieces come in order', async () => {
    const { hash, wrote, readBack, digest, layout } = hashing(4 * pieceLength + 9)
    for (let i = 0; i < layout.count; i++) wrote(i)
    expect(await hash.hex()).toBe(hexOf(digest))
    expect(readBack).toEqual([])
  })

  test('reads each piece beyond the frontier back once, one at a time', async () => {
    const { hash, wrote, readBack, digest, mostAtOnce } = hashing(5 * pieceLength)
    for (const i of [4, 1, 2, 0, 3]) wrote(i)
    expect(await hash.hex()).toBe(hexOf(digest))
    expect(readBack).toEqual([1, 2, 3, 4])
    expect(mostAtOnce()).toBe(1)
  })

  test('reads nothing back when pieces are written together and their writes end in any order', async () => {
    const { hash, wrote, readBack, digest, layout, piece } = hashing(4 * pieceLength)
    for (let i = 0; i < layout.count; i++) hash.writing(i, piece(i))
    for (const i of [2, 0, 3, 1]) wrote(i)
    expect(await hash.hex()).toBe(hexOf(digest))
    expect(readBack).toEqual([])
  })

  test('finds pieces that were there before it', async () => {
    const { hash, wrote, have, readBack, digest } = hashing(3 * pieceLength)
    have.set(0)
    have.set(2)
    wrote(1)
    expect(await hash.hex()).toBe(hexOf(digest))
    expect(readBack).toEqual([0, 1, 2])
  })

  test('rejects when a piece is missing or cannot be read back', async () => {
    const { hash } = hashing(2 * pieceLength)
    await expect(hash.hex()).rejects.toThrow('piece 0 is missing')
    const { layout } = sample(2 * pieceLength)
    const reader = { readPiece: () => Promise.reject(new Error('no disk')) }
    await expect(new WholeHash('sha256', layout, Bitmap.full(2), reader).hex()).rejects.toThrow('no disk')
  })

  test('comes to the digest whatever the order, and whenever the pieces come', async () => {
    const property = fc.asyncProperty(
      fc.integer({ min: 0, max: 6 * pieceLength }),
      fc.integer(),
      async (size, seed) => {
        const { hash, wrote, digest, layout } = hashing(size)
        const random = seededRandom(seed)
        for (const i of shuffle([...Array(layout.count).keys()], random)) {
          wrote(i)
          if (random() < 0.5) await Promise.resolve()
        }
        expect(await hash.hex()).toBe(hexOf(digest))
      },
    )
    await fc.assert(property, { numRuns: 30 })
  })
})
