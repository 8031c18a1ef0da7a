import { beforeEach, describe, expect, test } from 'bun:test'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { type MemoryBlob, MemoryStore } from '../../test/fakes/memory-store.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { pieceBytes, pieceStart } from '../piece/layout.ts'
import { pieceDigest } from '../piece/metainfo.ts'
import type { Span } from '../store/blob-store.ts'
import { Fresh, type FreshBytes } from './feeding/fresh.ts'
import { readArriving, readChecked } from './reader.ts'

const pieceLength = 256 * 1024
const bytes = bytesOf(3 * pieceLength + 77)
const never = new AbortController().signal

let clock: FakeClock
let blob: MemoryBlob
beforeEach(() => {
  clock = new FakeClock()
  blob = new MemoryStore({ clock }).create({
    digest: digestOf(bytes),
    size: bytes.length,
    kind: 'blob',
  })
})

async function bring(piece: number): Promise<void> {
  const start = pieceStart(blob.layout, piece)
  await blob.write(piece, bytes.subarray(start, start + pieceBytes(blob.layout, piece)))
}

/** Brings each piece when it is waited for, and tells who reads and what was waited for. */
function arrival(fail?: { at: number; failure: Failure }) {
  const waited: number[] = []
  const readers = new Set<number>()
  return {
    waited,
    readers,
    reader: () => {
      readers.add(1)
      return 1
    },
    aim: () => {},
    readerLeft: (reader: number) => void readers.delete(reader),
    fresh: (_: number): FreshBytes | undefined => undefined,
    verified: (_: number): Uint8Array | undefined => undefined,
    doubts: [] as Fresh['doubts'],
    finished: new Promise<never>(() => {}),
    piece: async (_: number, piece: number) => {
      waited.push(piece)
      if (fail?.at === piece) throw fail.failure
      await bring(piece)
    },
  }
}

/** Copies, for a chunk is valid until the next is asked for. */
async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const all: Uint8Array[] = []
  for await (const chunk of chunks) all.push(chunk.slice())
  return all
}

describe('a blob that arrives is read', () => {
  test.each<[string, Span, number[]]>([
    ['whole', { start: 0, end: bytes.length }, [0, 1, 2, 3]],
    [
      'from the middle of a piece to the middle of another',
      { start: pieceLength + 5, end: 2 * pieceLength + 9 },
      [1, 2],
    ],
    ['within a piece', { start: 10, end: 20 }, [0]],
    ['to the end of a piece', { start: 0, end: pieceLength }, [0]],
    ['at its last byte', { start: bytes.length - 1, end: bytes.length }, [3]],
    ['not at all', { start: 7, end: 7 }, []],
  ])('%s, waiting for the pieces it takes and no others', async (_, span, pieces) => {
    const transfer = arrival()
    const chunks = await collect(readArriving(transfer, blob, span, never))
    expect(new Uint8Array(Buffer.concat(chunks))).toEqual(bytes.slice(span.start, span.end))
    expect(transfer.waited).toEqual(pieces)
    expect(chunks).toHaveLength(pieces.length)
    expect(transfer.readers.size).toBe(0)
  })

  test('as far as it comes, and then breaks off with the reason', async () => {
    const transfer = arrival({ at: 2, failure: new Failure('denied', 'no') })
    const got: number[] = []
    const reading = (async () => {
      for await (const chunk of readArriving(transfer, blob, { start: 0, end: bytes.length }, never))
        got.push(chunk.length)
    })()
    await expect(reading).rejects.toMatchObject({ code: 'denied' })
    expect(got).toEqual([pieceLength, pieceLength])
    expect(transfer.readers.size).toBe(0)
  })

  test('by nobody any more when the one who read stops', async () => {
    const transfer = arrival()
    for await (const _ of readArriving(transfer, blob, { start: 0, end: bytes.length }, never)) break
    expect(transfer.readers.size).toBe(0)
    expect(transfer.waited).toEqual([0])
  })
})

describe('what the source is sending is read', () => {
  /** A source that sends some bytes whenever somebody waits; pieces are stored when they are whole. */
  function sending(step: number) {
    const plain = arrival()
    const fresh = new Fresh(blob.layout, () => {})
    let filling = fresh.begin(0, false)
    let at = 0
    return {
      ...plain,
      pour: fresh,
      filling: () => filling,
      fresh: (from: number) => fresh.at(from),
      get doubts() {
        return fresh.doubts
      },
      piece: async (_: number, piece: number) => {
        plain.waited.push(piece)
        const wanted = at + step
        while (at < wanted && at < bytes.length) {
          at += fresh.fill(filling, bytes.subarray(at, Math.min(wanted, bytes.length)))
          if (filling.filled < filling.bytes.length) continue
          await blob.write(filling.piece, filling.bytes)
          fresh.stored(filling)
          if (filling.piece + 1 < blob.layout.count) filling = fresh.begin(filling.piece + 1, false)
        }
      },
    }
  }

  test('before a piece is whole, in buffers that are used again', async () => {
    const transfer = sending(100_000)
    const copies: Uint8Array[] = []
    for await (const chunk of readArriving(transfer, blob, { start: 0, end: bytes.length }, never))
      copies.push(chunk.slice())
    expect(Buffer.concat(copies).equals(bytes)).toBe(true)
    expect(copies[0]).toHaveLength(100_000)
    expect(transfer.readers.size).toBe(0)
  })

  test('on when others bring the piece that it broke off in, and that is the same', async () => {
    const transfer = sending(100_000)
    const chunks = readArriving(transfer, blob, { start: 0, end: bytes.length }, never)
    const copies = [(await chunks.next()).value!.slice()]
    transfer.pour.abandon(transfer.filling())
    for (let piece = 0; piece < blob.layout.count; piece++) await bring(piece)
    for await (const chunk of chunks) copies.push(chunk.slice())
    expect(Buffer.concat(copies).equals(bytes)).toBe(true)
  })

  test('no further when the piece that others bring is another one', async () => {
    const transfer = sending(100_000)
    const filling = transfer.filling()
    transfer.pour.fill(filling, new Uint8Array(100))
    const chunks = readArriving(transfer, blob, { start: 0, end: bytes.length }, never)
    expect((await chunks.next()).value).toEqual(new Uint8Array(100))
    transfer.pour.abandon(filling)
    for (let piece = 0; piece < blob.layout.count; piece++) await bring(piece)
    await expect(chunks.next()).rejects.toMatchObject({ code: 'unavailable' })
  })

  test('no further when that piece is lost and the transfer is over', async () => {
    const transfer = sending(100_000)
    let waited = 0
    const piece = async () => {
      if (++waited > 10) throw new Error('it is waited for again and again')
    }
    const over = Object.create(transfer, { finished: { value: Promise.resolve(blob) }, piece: { value: piece } })
    transfer.pour.fill(transfer.filling(), bytes.subarray(0, 1000))
    const chunks = readArriving(over, blob, { start: 0, end: bytes.length }, never)
    expect((await chunks.next()).value).toHaveLength(1000)
    transfer.pour.abandon(transfer.filling())
    await expect(chunks.next()).rejects.toMatchObject({ code: 'unavailable' })
  })

  test('on by those who were given none of it', async () => {
    const transfer = sending(100_000)
    const chunks = readArriving(transfer, blob, { start: pieceLength, end: 2 * pieceLength }, never)
    await bring(1)
    transfer.pour.abandon(transfer.filling())
    expect((await chunks.next()).value).toEqual(bytes.slice(pieceLength, 2 * pieceLength))
  })
})

describe('what is stored is read', () => {
  beforeEach(async () => {
    blob.learn({ first: 0, digests: statedOf(bytes), signer: 'somebody', signature: new Uint8Array() })
    for (let piece = 0; piece < blob.layout.count; piece++) await bring(piece)
  })

  test('piece by piece, each in the memory of the one before', async () => {
    const chunks = await collect(readChecked(blob, { start: 3, end: bytes.length }))
    expect(new Uint8Array(Buffer.concat(chunks))).toEqual(bytes.slice(3))
    expect(chunks.map(({ length }) => length)).toEqual([pieceLength - 3, pieceLength, pieceLength, 77])
    const memory = new Set<ArrayBufferLike>()
    for await (const chunk of readChecked(blob, { start: 0, end: bytes.length })) memory.add(chunk.buffer)
    expect(memory.size).toBe(1)
  })

  test('after a look where there was none lately, in the middle of a piece too', async () => {
    clock.advance(3600_000)
    expect(blob.sound(1)).toBe(false)
    const span = { start: pieceLength + 5, end: 3 * pieceLength + 9 }
    expect(Buffer.concat(await collect(readChecked(blob, span))).equals(bytes.subarray(span.start, span.end))).toBe(
      true,
    )
    expect([0, 1, 2, 3].map((piece) => blob.sound(piece))).toEqual([false, true, true, true])
  })

  test('up to the piece that is not right any more, and nothing of that', async () => {
    blob.rot(2)
    const chunks = await collect(readChecked(blob, { start: 0, end: bytes.length }))
    expect(Buffer.concat(chunks).equals(bytes.subarray(0, 2 * pieceLength))).toBe(true)
    expect(blob.have.has(2)).toBe(false)
  })

  test('and what rotted is waited for while the rest of the blob still comes', async () => {
    blob.rot(1)
    const transfer = arrival()
    const chunks = await collect(readArriving(transfer, blob, { start: 0, end: bytes.length }, never))
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true)
    expect(transfer.waited).toEqual([0, 1, 1, 2, 3])
  })

  test('no further when the blob is gone and another one is brought', async () => {
    const store = new MemoryStore({ clock })
    const before = store.create({ digest: digestOf(bytes), size: bytes.length, kind: 'blob' })
    await store.remove(before.digest)
    let waited = 0
    const piece = async () => {
      if (++waited > 10) throw new Error('it is waited for again and again')
    }
    const chunks = readArriving({ ...arrival(), piece }, before, { start: 0, end: bytes.length }, never)
    await expect(chunks.next()).rejects.toMatchObject({ code: 'unavailable' })
  })

  test('no further when a piece is lost and the transfer is over', async () => {
    blob.rot(1)
    const over = { ...arrival(), finished: Promise.resolve(blob), piece: async () => {} }
    const chunks = readArriving(over, blob, { start: 0, end: bytes.length }, never)
    await chunks.next()
    await expect(chunks.next()).rejects.toMatchObject({ code: 'unavailable' })
  })
})

function statedOf(bytes: Uint8Array): Uint8Array {
  const pieces = Array.from({ length: Math.ceil(bytes.length / pieceLength) }, (_, i) =>
    pieceDigest(bytes.subarray(i * pieceLength, (i + 1) * pieceLength)),
  )
  return new Uint8Array(Buffer.concat(pieces))
}
