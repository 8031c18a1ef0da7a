import { expect, test } from 'bun:test'
import { bytesOf } from '../../../test/fakes/bytes.ts'
import { layoutOf } from '../../piece/layout.ts'
import { Fresh } from './fresh.ts'

const pieceLength = 256 * 1024
const layout = layoutOf(20 * pieceLength)
const bytes = bytesOf(layout.size)
const part = (piece: number) => bytes.subarray(piece * pieceLength, (piece + 1) * pieceLength)

function filled(fresh: Fresh, piece: number) {
  const filling = fresh.begin(piece, false)
  fresh.fill(filling, part(piece))
  fresh.stored(filling)
  return filling
}

test('what was given to a reader stays as it is until the reader lets go, however much comes', () => {
  const fresh = new Fresh(layout, () => {})
  filled(fresh, 0)
  const held = fresh.at(10)!
  for (let piece = 1; piece < 19; piece++) filled(fresh, piece)
  expect(Buffer.from(held.bytes).equals(part(0).subarray(10))).toBe(true)
  held.release()
})

test('buffers are used again', () => {
  const fresh = new Fresh(layout, () => {})
  const buffers = new Set<ArrayBuffer>()
  for (let piece = 0; piece < 19; piece++) buffers.add(filled(fresh, piece).bytes.buffer)
  expect(buffers.size).toBeLessThan(6)
})

test('the last pieces stay for who is a little behind, older ones do not', () => {
  const fresh = new Fresh(layout, () => {})
  for (let piece = 0; piece < 10; piece++) filled(fresh, piece)
  expect(fresh.at(9 * pieceLength + 5)?.bytes).toEqual(part(9).slice(5))
  expect(fresh.at(0)).toBeUndefined()
})

test('letting go twice is letting go once', () => {
  const fresh = new Fresh(layout, () => {})
  filled(fresh, 0)
  const first = fresh.at(0)!
  const second = fresh.at(0)!
  first.release()
  first.release()
  for (let piece = 1; piece < 19; piece++) filled(fresh, piece)
  expect(Buffer.from(second.bytes).equals(part(0))).toBe(true)
})

test('the piece that ends a blob is shown to nobody', () => {
  const fresh = new Fresh(layout, () => {})
  fresh.fill(fresh.begin(19, false), part(19))
  expect(fresh.at(19 * pieceLength)).toBeUndefined()
})

test('a piece of which nobody was given anything may be abandoned without harm', () => {
  const fresh = new Fresh(layout, () => {})
  const filling = fresh.begin(3, false)
  fresh.fill(filling, part(3).subarray(0, 100))
  fresh.abandon(filling)
  expect(fresh.doubts).toEqual([])
  expect(fresh.at(3 * pieceLength)).toBeUndefined()
})

test('the first piece is news with each chunk, later ones in larger steps', () => {
  const news: number[] = []
  const fresh = new Fresh(layout, (piece) => news.push(piece))
  for (const piece of [0, 1]) {
    const filling = fresh.begin(piece, false)
    for (let at = 0; at < pieceLength; at += 32 * 1024) fresh.fill(filling, part(piece).subarray(at, at + 32 * 1024))
  }
  expect(news).toEqual([...Array(8).fill(0), 1, 1])
})
