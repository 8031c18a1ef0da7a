import { beforeEach, describe, expect, test } from 'bun:test'
import { bytesOf } from '../../../test/fakes/bytes.ts'
import { FakeClock, settle } from '../../../test/fakes/clock.ts'
import { type MemoryBlob, MemoryStore } from '../../../test/fakes/memory-store.ts'
import { FakeSource } from '../../../test/fakes/source.ts'
import { Failure } from '../../failure.ts'
import { digestOf } from '../../oci/digest.ts'
import { repositoryOf } from '../../oci/reference.ts'
import { pieceBytes, pieceStart } from '../../piece/layout.ts'
import { mostPiecesPerSegment, pieceDigest, segmentPayload } from '../../piece/metainfo.ts'
import { signedSegments } from '../statements.ts'
import { Fresh } from './fresh.ts'
import { Intake } from './intake.ts'
import { type FeedHost, SourceFeed } from './source-feed.ts'

const pieceLength = 256 * 1024
const repository = repositoryOf('docker.io', 'library/debian')
const signer = { id: 'self', sign: (payload: Uint8Array) => pieceDigest(payload) }

let clock: FakeClock
let source: FakeSource
let store: MemoryStore
beforeEach(() => {
  clock = new FakeClock()
  source = new FakeSource()
  store = new MemoryStore({ clock })
})

/** A feed of `bytes`, and what its host saw. */
function feedOf(bytes: Uint8Array, options: { size?: number; elsewhere?: Iterable<number>; aside?: Set<number> } = {}) {
  const digest = source.add(bytes)
  const blob: MemoryBlob = store.create({ digest, size: options.size ?? bytes.length, kind: 'blob' })
  const elsewhere = new Set(options.elsewhere)
  const { aside } = options
  const seen = {
    stored: [] as number[],
    stated: [] as number[],
    expecting: [] as [number, number][],
    arrived: new Set<number>(),
    quiet: [] as number[],
    sendsAll: false,
  }
  const stop = new AbortController()
  const host: FeedHost = {
    nextNeeded: (from) => {
      let i = blob.have.nextMissing(from)
      while (i < blob.layout.count && (elsewhere.has(i) || aside?.has(i))) i = blob.have.nextMissing(i + 1)
      return i
    },
    expecting: (from, to) => seen.expecting.push([from, to]),
    stored: (piece) => seen.stored.push(piece),
    stated: (pieces) => seen.stated.push(...pieces),
    heard: (quiet) => seen.quiet.push(quiet),
    sendsAll: () => seen.sendsAll,
    sentAll: () => {
      seen.sendsAll = true
    },
    ...(aside ? { aside: { any: true, has: (piece: number) => aside.has(piece) } } : {}),
  }
  const feed = new SourceFeed({
    source,
    location: { repository, kind: 'blob', digest },
    blob,
    clock,
    intake: new Intake({ blob, signer, clock, host }),
    fresh: new Fresh(blob.layout, (piece) => seen.arrived.add(piece)),
    host,
  })
  const run = () => feed.run(stop.signal)
  const failed = () =>
    run().then(
      () => 'done',
      (error) => Failure.from(error).code,
    )
  const write = (...pieces: number[]) => {
    for (const piece of pieces) {
      const start = pieceStart(blob.layout, piece)
      void blob.write(piece, bytes.subarray(start, start + pieceBytes(blob.layout, piece)))
    }
  }
  return { blob, digest, run, failed, write, seen, stop, elsewhere }
}
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i)

describe('a feed', () => {
  test('brings every piece in order with one request, and states each of them, signed', async () => {
    const bytes = bytesOf(40 * pieceLength - 7)
    const { blob, run, seen, digest } = feedOf(bytes)
    await run()
    expect(seen.stored).toEqual(upTo(40))
    expect([...seen.stated].sort((a, b) => a - b)).toEqual(upTo(40))
    expect(source.calls).toEqual([`open ${digest} 0`])
    expect(source.sent).toBe(bytes.length)
    await blob.finish()
    expect(blob.metainfo.known.complete).toBe(true)
    for (const { first, digests, signature, signer: by } of blob.metainfo.segments) {
      expect(by).toBe('self')
      expect(signature).toEqual(signer.sign(segmentPayload(digest, blob.layout, first, digests)))
    }
    expect(seen.expecting.at(-1)).toEqual([0, 0])
    expect(clock.pending).toBe(0)
  })

  test.each([1, 1000, pieceLength, pieceLength + 1, 3 * pieceLength])(
    'makes the same pieces of chunks of %d bytes',
    async (chunk) => {
      source.chunk = chunk
      const bytes = bytesOf(chunk === 1 ? 3000 : 3 * pieceLength + 5)
      const { blob, run } = feedOf(bytes)
      await run()
      await blob.finish()
      expect(await blob.read({ start: 0, end: bytes.length })).toEqual(bytes)
    },
  )

  test('of an empty blob brings its one empty piece', async () => {
    const { blob, run, seen } = feedOf(new Uint8Array())
    await run()
    expect(seen.stored).toEqual([0])
    await blob.finish()
    expect(blob.complete).toBe(true)
  })

  test('tells how long the source was silent when it speaks', async () => {
    const { run, seen } = feedOf(bytesOf(2 * pieceLength))
    source.chunk = pieceLength
    const pauses = [3000, 10]
    source.gate = () => new Promise((resolve) => clock.after(pauses.shift()!, resolve))
    const running = run()
    await clock.run(4000)
    await running
    expect(seen.quiet).toEqual([3000, 10])
  })

  test('states pieces soon, without waiting for the end or for a full batch', async () => {
    let open: () => void = () => {}
    const bytes = bytesOf(4 * pieceLength)
    source.chunk = pieceLength
    const { run, seen } = feedOf(bytes)
    source.gate = () => (source.sent < 2 * pieceLength ? undefined : new Promise((resolve) => (open = resolve)))
    const running = run()
    await settle()
    expect(seen.stored).toEqual([0, 1])
    expect(seen.stated).toEqual([])
    clock.advance(25)
    expect(seen.stated).toEqual([0, 1])
    source.gate = () => {}
    open()
    await running
    expect(seen.stated).toEqual([0, 1, 2, 3])
  })

  test('tells which pieces are about to come, so that nobody else is asked for them', async () => {
    const { run, seen } = feedOf(bytesOf(3 * pieceLength))
    await run()
    expect(seen.expecting).toEqual([
      [0, 4],
      [1, 5],
      [2, 6],
      [0, 0],
    ])
  })

  test('nor for what has come and waits for the disk', async () => {
    source.chunk = pieceLength
    const { run, seen, blob } = feedOf(bytesOf(9 * pieceLength))
    const { write } = blob
    const { promise, resolve } = Promise.withResolvers<void>()
    blob.write = async (piece, content) => {
      if (piece === 1) await promise
      return write.call(blob, piece, content)
    }
    source.gate = () => new Promise((resolve) => clock.after(10, resolve))
    const running = run()
    await clock.run(55)
    expect(seen.stored).toEqual([0, 2, 3, 4])
    expect(seen.expecting.slice(-3)).toEqual([
      [1, 7],
      [1, 8],
      [1, 9],
    ])
    resolve()
    await clock.run(40)
    await running
    expect(seen.expecting.at(-2)).toEqual([8, 12])
  })

  test('shows what comes to readers at once, but neither the piece that ends the blob nor one that was stated', async () => {
    const bytes = bytesOf(4 * pieceLength)
    const { run, seen, blob } = feedOf(bytes)
    const stated = { piece: 1, digest: pieceDigest(bytes.subarray(pieceLength, 2 * pieceLength)) }
    for (const segment of signedSegments(blob, [stated], { ...signer, id: 'other' })) blob.learn(segment)
    await run()
    expect([...seen.arrived]).toEqual([0, 2])
    expect(seen.stored).toHaveLength(4)
  })

  test('asks for nothing when nothing is needed', async () => {
    const { run, write } = feedOf(bytesOf(3 * pieceLength))
    write(0, 1, 2)
    await run()
    expect(source.opened).toBe(0)
  })
})

describe('a feed that goes on with what is here', () => {
  test('begins at the first piece that is needed', async () => {
    const { run, write, seen, digest } = feedOf(bytesOf(20 * pieceLength))
    write(0, 1, 2)
    await run()
    expect(source.calls).toEqual([`open ${digest} ${3 * pieceLength}`])
    expect(seen.stored).toEqual(upTo(20).slice(3))
  })

  test('states what is here and nobody has stated', async () => {
    const { run, write, blob, seen } = feedOf(bytesOf(5 * pieceLength))
    write(0, 1)
    await run()
    expect([...seen.stated].sort()).toEqual([0, 1, 2, 3, 4])
    expect(blob.metainfo.known.complete).toBe(true)
  })

  test('reads over a short run that is not needed, and leaves what is here as it is', async () => {
    const { run, write, seen } = feedOf(bytesOf(20 * pieceLength))
    write(5, 6, 7)
    await run()
    expect(source.opened).toBe(1)
    expect(seen.stored).toEqual(upTo(20).filter((piece) => piece < 5 || piece > 7))
  })

  test('skips a long run with a new request', async () => {
    const { run, seen, digest } = feedOf(bytesOf(40 * pieceLength), { elsewhere: upTo(30).slice(3) })
    await run()
    expect(source.calls).toEqual([`open ${digest} 0`, `open ${digest} ${30 * pieceLength}`])
    expect(seen.stored).toEqual([0, 1, 2, ...upTo(40).slice(30)])
    expect(source.streams).toBe(0)
  })

  test('stops when others have the rest, however short it is', async () => {
    const { run, seen } = feedOf(bytesOf(10 * pieceLength), { elsewhere: [4, 5, 6, 7, 8, 9] })
    source.chunk = pieceLength
    await run()
    expect(seen.stored).toEqual([0, 1, 2, 3])
    expect(source.sent).toBe(4 * pieceLength)
    expect(source.streams).toBe(0)
  })

  test('comes back for a piece whose last holder has left meanwhile', async () => {
    const { run, seen, elsewhere } = feedOf(bytesOf(40 * pieceLength), { elsewhere: upTo(30) })
    source.gate = () => void elsewhere.delete(7)
    await run()
    expect(seen.stored).toEqual([...upTo(40).slice(30), 7])
  })
})

describe('a feed fails', () => {
  test('when the source has another size than the blob', async () => {
    const { failed } = feedOf(bytesOf(2 * pieceLength), { size: 3 * pieceLength })
    expect(await failed()).toBe('corrupt')
    expect(source.streams).toBe(0)
  })

  test('when the source sends too much, also of an empty blob', async () => {
    for (const size of [pieceLength, 0]) {
      const { failed } = feedOf(bytesOf(size))
      source.answer = () => ({ size, mediaType: 'a/b', body: inChunks(bytesOf(size + 1)) })
      expect(await failed()).toBe('corrupt')
    }
  })

  test('when the source ends too early, instead of asking for ever', async () => {
    const { failed, seen } = feedOf(bytesOf(3 * pieceLength))
    const bytes = bytesOf(3 * pieceLength).subarray(0, 2 * pieceLength + 9)
    source.answer = () => ({ size: 3 * pieceLength, mediaType: 'a/b', body: inChunks(bytes) })
    expect(await failed()).toBe('corrupt')
    expect(source.opened).toBe(1)
    expect(seen.stored).toEqual([0, 1])
    expect(seen.stated).toEqual([0, 1])
  })

  test('with what the source says', async () => {
    const { failed, seen } = feedOf(bytesOf(3 * pieceLength))
    source.failure = new Failure('denied', 'no')
    expect(await failed()).toBe('denied')
    expect(seen.expecting.at(-1)).toEqual([0, 0])
  })

  test('when a piece is not what somebody stated about it, and does not store that piece', async () => {
    const bytes = bytesOf(3 * pieceLength)
    const { failed, blob, seen } = feedOf(bytes)
    blob.learn({ first: 1, digests: pieceDigest(bytesOf(5, 9)), signer: 'other', signature: new Uint8Array(64) })
    expect(await failed()).toBe('corrupt')
    expect(seen.stored).toEqual([0])
    expect(blob.have.has(1)).toBe(false)
    expect(source.streams).toBe(0)
  })

  test('when there is no room for a piece, and the stream ends', async () => {
    store = new MemoryStore({ clock, limitBytes: 2 * pieceLength })
    const { failed, seen } = feedOf(bytesOf(3 * pieceLength))
    expect(await failed()).toBe('no-space')
    expect(seen.stored.length).toBeLessThan(3)
    expect(source.streams).toBe(0)
  })
})

test('a feed that is stopped ends, and what it has is stated', async () => {
  const { failed, seen, stop } = feedOf(bytesOf(10 * pieceLength))
  source.chunk = pieceLength
  source.gate = () => {
    if (source.sent === 4 * pieceLength) stop.abort()
  }
  await failed()
  expect(seen.stored).toEqual([0, 1, 2, 3])
  expect(seen.stated).toEqual([0, 1, 2, 3])
  expect(source.streams).toBe(0)
  expect(clock.pending).toBe(0)
})

describe('statements', () => {
  const blob = (count: number) => {
    const size = count * 4 * 1024 * 1024
    return { digest: digestOf(Buffer.from('x')), layout: { size, pieceLength: 4 * 1024 * 1024, count } }
  }
  const about = (...pieces: number[]) => pieces.map((piece) => ({ piece, digest: pieceDigest(Buffer.from([piece])) }))

  test('are one segment for each run, in whatever order the pieces came', () => {
    const segments = [...signedSegments(blob(100), about(7, 3, 2, 8, 4, 50), signer)]
    expect(segments.map(({ first, digests }) => [first, digests.length / 32])).toEqual([
      [2, 3],
      [7, 2],
      [50, 1],
    ])
    expect(segments[1]!.digests.subarray(32)).toEqual(pieceDigest(Buffer.from([8])))
  })

  test('of a run that is longer than a segment may be take several', () => {
    const count = mostPiecesPerSegment + 3
    const segments = [...signedSegments(blob(count), about(...upTo(count)), signer)]
    expect(segments.map(({ first, digests }) => [first, digests.length / 32])).toEqual([
      [0, mostPiecesPerSegment],
      [mostPiecesPerSegment, 3],
    ])
  })

  test('of nothing are none', () => {
    expect([...signedSegments(blob(3), [], signer)]).toEqual([])
  })
})

async function* inChunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000)
}

describe('a feed beside requests for parts', () => {
  test('asks for what lies between those, and is sent none of theirs', async () => {
    const bytes = bytesOf(12 * pieceLength)
    const { run, seen, digest } = feedOf(bytes, { aside: new Set([4, 5, 9]) })
    await run()
    expect(seen.stored).toEqual([0, 1, 2, 3, 6, 7, 8, 10, 11])
    const at = (piece: number) => piece * pieceLength
    expect(source.calls).toEqual([
      `open ${digest} 0-${at(4)}`,
      `open ${digest} ${at(6)}-${at(9)}`,
      `open ${digest} ${at(10)}`,
    ])
    expect(source.sent).toBe(9 * pieceLength)
  })

  test('goes on behind what is asked for in parts while it waits for the disk, and never for nothing', async () => {
    const bytes = bytesOf(12 * pieceLength)
    const aside = new Set([4])
    const { run, seen, digest, blob } = feedOf(bytes, { aside })
    const { write } = blob
    blob.write = (piece, content) => {
      // The next piece that it would ask for.
      if (piece === 3) aside.add(5)
      return write.call(blob, piece, content)
    }
    await run()
    expect(seen.stored).toEqual([0, 1, 2, 3, 6, 7, 8, 9, 10, 11])
    expect(source.calls).toEqual([`open ${digest} 0-${4 * pieceLength}`, `open ${digest} ${6 * pieceLength}`])
  })
})

describe('a source that sends all of it, whatever part is asked for', () => {
  beforeEach(() => {
    source.sendsAll = true
  })

  test('is asked once, also where much of it is not needed', async () => {
    const bytes = bytesOf(60 * pieceLength)
    const { run, seen, write, digest } = feedOf(bytes, { elsewhere: upTo(40).slice(10) })
    write(0)
    await run()
    expect(seen.stored.length).toBeGreaterThanOrEqual(29)
    expect(source.calls).toEqual([`open ${digest} ${pieceLength}`])
    expect(source.sent).toBe(bytes.length)
  })

  test('and was asked for all but a part is not asked again for the rest', async () => {
    const bytes = bytesOf(100 * pieceLength)
    const { run, digest, blob } = feedOf(bytes, { aside: new Set([20]) })
    const { pieceLength: length, count } = blob.layout
    await run()
    expect(source.calls).toEqual([`open ${digest} 0-${20 * length}`])
    expect(blob.have.count).toBe(count)
  })

  test('is not silent while it sends what is here', async () => {
    const { run, write, seen } = feedOf(bytesOf(10 * pieceLength))
    write(...upTo(9))
    source.chunk = pieceLength
    source.gate = () => new Promise((resolve) => clock.after(1000, resolve))
    const running = run()
    await clock.run(11_000)
    await running
    expect(seen.quiet).toEqual(Array.from({ length: 10 }, () => 1000))
  })
})
