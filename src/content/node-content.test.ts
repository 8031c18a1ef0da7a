import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { truncateSync, unlinkSync } from 'node:fs'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { settle } from '../../test/fakes/clock.ts'
import { diskStores } from '../../test/fakes/disk-stores.ts'
import { LoneNode } from '../../test/fakes/lone-node.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { Failure } from '../failure.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { fileAt } from '../oci/file.ts'
import { manifestTypes } from '../oci/media.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import { pieceBytes, pieceStart } from '../piece/layout.ts'
import { pieceDigest } from '../piece/metainfo.ts'
import type { Blob, Span } from '../store/blob-store.ts'
import type { DiskStore } from '../store/disk-store.ts'
import type { Arrival } from '../swarm/reader.ts'
import type { BlobReader } from './content.ts'
import { NodeContent } from './node-content.ts'

const { openStore } = diskStores()
const repository = repositoryOf('docker.io', 'library/debian')
const tag = parseTag('13')
const pieceLength = 256 * 1024
const never = new AbortController().signal
const layer = bytesOf(3 * pieceLength + 1000)

let node: LoneNode
beforeEach(() => {
  node = new LoneNode()
})
afterEach(() => node.close())

const manifestOf = (digest: Digest, size: number) =>
  Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestTypes.ociManifest,
      config: { digest: digestOf(Buffer.from('{}')), size: 2, mediaType: 'application/vnd.oci.image.config.v1+json' },
      layers: [{ digest, size, mediaType: 'application/vnd.oci.image.layer.v1.tar' }],
    }),
  )

/** The piece digests of `bytes`, one after the other. */
function statedOf(bytes: Uint8Array): Uint8Array {
  const pieces = Array.from({ length: Math.ceil(bytes.length / pieceLength) }, (_, i) =>
    pieceDigest(bytes.subarray(i * pieceLength, (i + 1) * pieceLength)),
  )
  return new Uint8Array(Buffer.concat(pieces))
}

/** Puts an image with `layer` at the source. */
function image(size = layer.length) {
  const digest = node.source.add(layer)
  const bytes = manifestOf(digest, size)
  const manifest = node.source.add(bytes, manifestTypes.ociManifest)
  node.source.tag(repository, tag, manifest)
  return { digest, manifest, bytes }
}

async function codeOf(promise: Promise<unknown>): Promise<string> {
  const [settled] = await Promise.allSettled([promise])
  return settled!.status === 'fulfilled' ? 'done' : Failure.from(settled!.reason).code
}
/** Time goes on until the promise is settled. */
async function during<T>(promise: Promise<T>, clock = node.clock): Promise<T> {
  let over = false
  const watched = promise.finally(() => {
    over = true
  })
  watched.catch(() => {})
  for (let i = 0; i < 600 && !over; i++) await clock.run(100)
  return watched
}
async function read(reader: BlobReader, span: Span = { start: 0, end: reader.size }, signal = never) {
  const chunks: Uint8Array[] = []
  for await (const chunk of reader.read(span, signal)) chunks.push(chunk.slice())
  return new Uint8Array(Buffer.concat(chunks))
}
const calls = (what: string) => node.source.calls.filter((call) => call.startsWith(what))

describe('a manifest', () => {
  test('by tag is what the source has, byte for byte, and is asked for there once', async () => {
    const { manifest, bytes } = image()
    const answer = await during(node.content.manifest(repository, tag))
    expect(answer.digest).toBe(manifest)
    expect(answer.mediaType).toBe(manifestTypes.ociManifest)
    expect(Buffer.compare(answer.bytes, bytes)).toBe(0)
    await node.content.manifest(repository, tag)
    await node.content.manifest(repository, manifest)
    expect([calls('resolve').length, calls('open').length]).toEqual([1, 1])
  })

  test('is served while the source is down, and so is its tag', async () => {
    const { manifest } = image()
    await during(node.content.manifest(repository, tag))
    node.source.failure = new Failure('unavailable', 'down')
    node.clock.advance(3_600_000)
    expect((await node.content.manifest(repository, tag)).digest).toBe(manifest)
  })

  test('that is not there is not there', async () => {
    expect(await codeOf(during(node.content.manifest(repository, tag)))).toBe('no-manifest')
    const digest = digestOf(Buffer.from('nobody has this'))
    expect(await codeOf(during(node.content.manifest(repository, digest)))).toBe('no-manifest')
  })

  test('that is too large is refused before it is brought', async () => {
    node.source.chunk = pieceLength
    const digest = node.source.add(bytesOf(20 * 1024 * 1024))
    node.source.gate = () => (node.source.sent > 0 ? new Promise<void>(() => {}) : undefined)
    expect(await codeOf(during(node.content.manifest(repository, digest)))).toBe('no-manifest')
  })

  test('that a client no longer waits for is given up for that client', async () => {
    image()
    node.source.gate = () => new Promise<void>(() => {})
    const client = new AbortController()
    const waiting = codeOf(node.content.manifest(repository, tag, client.signal))
    await settle()
    client.abort()
    expect(await waiting).toBe('cancelled')
  })
})

describe('the size of a blob', () => {
  test('is known from the manifest, without a request', async () => {
    const { digest } = image()
    await during(node.content.manifest(repository, tag))
    node.source.failure = new Failure('unavailable', 'down')
    const stat = await node.content.stat(repository, digest)
    expect(stat).toEqual({ digest, size: layer.length, mediaType: 'application/vnd.oci.image.layer.v1.tar' })
    expect(calls('stat')).toEqual([])
  })

  test('is asked for at the source once, where no manifest told it', async () => {
    const digest = node.source.add(layer)
    for (let i = 0; i < 3; i++) expect((await node.content.stat(repository, digest)).size).toBe(layer.length)
    expect(calls('stat')).toEqual([`stat ${digest}`])
  })

  test('cannot be told while the source is down and nobody told it', async () => {
    const digest = node.source.add(layer)
    node.source.failure = new Failure('unavailable', 'down')
    expect(await codeOf(node.content.stat(repository, digest))).toBe('unavailable')
  })

  test('is what the complete blob has, whatever a manifest states', async () => {
    const digest = digestOf(layer)
    await node.store.put({ digest, kind: 'blob' }, layer)
    node.source.tag(repository, tag, node.source.add(manifestOf(digest, 5), manifestTypes.ociManifest))
    await during(node.content.manifest(repository, tag))
    expect((await node.content.stat(repository, digest)).size).toBe(layer.length)
  })
})

describe('a blob', () => {
  test('that is here is sent as a file, and cannot be evicted while it is open', async () => {
    const digest = digestOf(layer)
    await node.store.put({ digest, kind: 'blob' }, layer)
    const reader = await node.content.open(repository, digest)
    expect(reader.file?.path).toBe(node.store.find(digest)!.path)
    expect([reader.file?.sound(0), reader.file?.sound(layer.length - 1)]).toEqual([true, true])
    await node.store.remove(digest)
    expect(await read(reader, { start: 100, end: layer.length })).toEqual(layer.subarray(100))
    expect(reader.provenance()).toEqual({ store: layer.length - 100, swarm: 0, source: 0 })
    reader.close()
    expect(node.store.find(digest)).toBeUndefined()
  })

  test('that is not here comes from the source while it is read', async () => {
    const { digest } = image()
    const reader = await during(node.content.open(repository, digest))
    expect(reader.file).toBeUndefined()
    expect(await during(read(reader))).toEqual(layer)
    expect(reader.provenance()).toEqual({ store: 0, swarm: 0, source: layer.length })
    reader.close()
    await settle()
    expect(node.store.find(digest)).toMatchObject({ complete: true, held: false })
    expect((await node.content.open(repository, digest)).file).toBeDefined()
  })

  test('is read from the source once for all that read it at the same time, and each counts what it read', async () => {
    const { digest } = image()
    const readers = await during(Promise.all([1, 2, 3].map(() => node.content.open(repository, digest))))
    const bodies = await during(Promise.all(readers.map((reader) => read(reader))))
    for (const body of bodies) expect(body).toEqual(layer)
    expect(calls('open')).toHaveLength(1)
    for (const reader of readers) expect(reader.provenance()).toEqual({ store: 0, swarm: 0, source: layer.length })
    for (const reader of readers) reader.close()
  })

  test('gives a range as soon as its pieces are here, before the blob is whole', async () => {
    const { digest } = image()
    node.source.chunk = pieceLength
    let open = () => {}
    node.source.gate = () =>
      node.source.sent < 2 * pieceLength ? undefined : new Promise<void>((resolve) => (open = resolve))
    const reader = await during(node.content.open(repository, digest))
    const span = { start: pieceLength - 10, end: pieceLength + 10 }
    expect(await during(read(reader, span))).toEqual(layer.subarray(span.start, span.end))
    expect(node.store.find(digest)!.complete).toBe(false)
    node.source.gate = () => {}
    open()
    expect(await during(read(reader))).toEqual(layer)
    reader.close()
  })

  test('that is read in part is asked for in part, also at its end, and no other piece of it comes', async () => {
    const digest = node.source.add(layer)
    const spans = [
      { start: pieceLength + 5, end: pieceLength + 9 },
      { start: layer.length - 20, end: layer.length },
    ]
    for (const span of spans) {
      const reader = await during(node.content.open(repository, digest, { ...span, part: true, prefetch: 'none' }))
      expect(await during(read(reader, span))).toEqual(layer.subarray(span.start, span.end))
      reader.close()
    }
    const { count } = node.store.find(digest)!.layout
    expect([...node.store.find(digest)!.have.indexes()]).toEqual([1, count - 1])
    await node.clock.run(10_000)
    expect(node.store.find(digest)!.have.count).toBe(2)
  })

  test('that is here as far as it is read needs nobody, be the source gone and the transfer over', async () => {
    const digest = node.source.add(layer)
    const span = { start: pieceLength + 5, end: pieceLength + 9 }
    const wanted = { ...span, part: true, prefetch: 'none' } as const
    const first = await during(node.content.open(repository, digest, wanted))
    await during(read(first, span))
    first.close()
    node.swarm.close('over')
    node.source.failure = new Failure('unavailable', 'down')
    const again = await node.content.open(repository, digest, wanted)
    expect(await read(again, span)).toEqual(layer.subarray(span.start, span.end))
    expect(again.provenance()).toEqual({ store: 4, swarm: 0, source: 0 })
    again.close()
    expect(node.swarm.find(digest)).toBeUndefined()
  })

  test('that is read in part comes whole in the background unless its client says otherwise', async () => {
    const digest = node.source.add(layer)
    const span = { start: 2 * pieceLength, end: 2 * pieceLength + 1 }
    const reader = await during(node.content.open(repository, digest, { ...span, part: true }))
    expect(await during(read(reader, span))).toEqual(layer.subarray(span.start, span.end))
    reader.close()
    await node.clock.run(5000)
    await settle()
    expect(node.store.find(digest)!.complete).toBe(true)
  })

  test('of which several parts are read is waited for in all of them at once', async () => {
    const digest = node.source.add(layer)
    const reader = await during(node.content.open(repository, digest, { part: true, prefetch: 'none' }))
    const spans = [2, 0].map((piece) => ({ start: piece * pieceLength, end: piece * pieceLength + 10 }))
    reader.expect?.(spans)
    await node.clock.run(1000)
    await settle()
    expect([...node.store.find(digest)!.have.indexes()]).toEqual([0, 2])
    for (const span of spans) expect(await during(read(reader, span))).toEqual(layer.subarray(span.start, span.end))
    reader.close()
  })

  test('that was here in part counts the part as the store and the rest as fetched', async () => {
    const { digest } = image()
    const blob = node.store.create({ digest, size: layer.length, kind: 'blob' })
    await blob.write(1, layer.subarray(pieceLength, 2 * pieceLength))
    const reader = await during(node.content.open(repository, digest))
    expect(await during(read(reader))).toEqual(layer)
    expect(reader.provenance()).toEqual({ store: pieceLength, swarm: 0, source: layer.length - pieceLength })
    reader.close()
  })

  test('that rots while it is read comes anew from there on', async () => {
    const { digest } = image()
    await during(read(await during(node.content.open(repository, digest))))
    const blob = node.store.find(digest)!
    const reader = await node.content.open(repository, digest)
    const chunks = reader.read({ start: 0, end: layer.length }, never)[Symbol.asyncIterator]()
    const first: Uint8Array = (await chunks.next()).value
    const copies = [first.slice()]
    for (const piece of [1, 2]) blob.rot(piece)
    const rest = (async () => {
      for (let next = await chunks.next(); !next.done; next = await chunks.next()) copies.push(next.value.slice())
    })()
    await during(rest)
    expect(Buffer.concat(copies).equals(layer)).toBe(true)
    expect(reader.provenance()).toEqual({ store: layer.length - 2 * pieceLength, swarm: 0, source: 2 * pieceLength })
    reader.close()
  })

  test('of which a part rotted comes without that part when it is fetched on', async () => {
    const { digest } = image()
    await during(node.content.manifest(repository, tag))
    const blob = node.store.create({ digest, size: layer.length, kind: 'blob' })
    blob.learn({ first: 0, digests: statedOf(layer), signer: 'somebody', signature: new Uint8Array() })
    for (const piece of [0, 1]) await blob.write(piece, layer.subarray(piece * pieceLength, (piece + 1) * pieceLength))
    blob.rot(1)
    const reader = await during(node.content.open(repository, digest))
    expect(await during(read(reader))).toEqual(layer)
    expect(blob.complete).toBe(true)
    reader.close()
  })

  test('that is empty opens and reads as nothing', async () => {
    const digest = node.source.add(new Uint8Array())
    const reader = await during(node.content.open(repository, digest))
    expect(reader.size).toBe(0)
    expect(await during(read(reader))).toEqual(new Uint8Array())
    reader.close()
  })

  test.each(['denied', 'no-blob', 'unavailable'] as const)(
    'that the source answers with %s fails before its first byte, with that code',
    async (code) => {
      const digest = node.source.add(layer)
      node.source.failure = new Failure(code, 'no')
      expect(await codeOf(during(node.content.open(repository, digest)))).toBe(code)
    },
  )

  test('whose source fails when its size is known already fails when it is read', async () => {
    const { digest } = image()
    await during(node.content.manifest(repository, tag))
    node.source.failure = new Failure('denied', 'no')
    const reader = await during(node.content.open(repository, digest))
    expect(await codeOf(during(read(reader)))).toBe('denied')
    reader.close()
  })

  test('with wrong bytes never comes whole', async () => {
    const digest = digestOf(layer)
    const wrong = layer.slice()
    wrong[wrong.length - 1]! ^= 1
    node.source.answer = () => ({
      size: layer.length,
      mediaType: 'a/b',
      body: (async function* () {
        yield wrong
      })(),
    })
    node.source.add(layer)
    const reader = await during(node.content.open(repository, digest))
    const got: number[] = []
    const reading = (async () => {
      for await (const chunk of reader.read({ start: 0, end: layer.length }, never)) got.push(chunk.length)
    })()
    // The check may find out while an earlier piece is being read: then the blob is gone under the reader.
    expect(['corrupt', 'unavailable']).toContain(await codeOf(during(reading)))
    expect(got.reduce((sum, length) => sum + length, 0)).toBeLessThan(layer.length)
    reader.close()
    expect(node.store.find(digest)?.complete ?? false).toBe(false)
  })

  test('that a client no longer waits for goes on for the others', async () => {
    const { digest } = image()
    node.source.chunk = pieceLength
    let open = () => {}
    node.source.gate = () => new Promise<void>((resolve) => (open = resolve))
    const client = new AbortController()
    const reader = await during(node.content.open(repository, digest))
    const other = await during(node.content.open(repository, digest))
    const reading = codeOf(read(reader, { start: 0, end: layer.length }, client.signal))
    const otherReading = read(other)
    await settle()
    client.abort()
    expect(await reading).toBe('cancelled')
    reader.close()
    node.source.gate = () => {}
    open()
    expect(await during(otherReading)).toEqual(layer)
    other.close()
  })

  test('that a client left before its size was known is not opened for it', async () => {
    const digest = node.source.add(layer)
    const client = new AbortController()
    client.abort()
    expect(await codeOf(node.content.open(repository, digest, undefined, client.signal))).toBe('cancelled')
  })

  test('of a size that no node shares is refused at once, whoever wrote that manifest', async () => {
    const { digest } = image(2 ** 50)
    await during(node.content.manifest(repository, tag))
    expect(await codeOf(node.content.open(repository, digest))).toBe('unavailable')
    expect(node.store.find(digest)).toBeUndefined()
  })
})

describe('what there is no room for', () => {
  const small = (pieces: number) => {
    node.close()
    node = new LoneNode({ limitBytes: pieces * pieceLength })
  }
  /** So much of the store is in use by others. */
  const occupy = async (pieces: number) => {
    const other = bytesOf(pieces * pieceLength, 9)
    const blob = await node.store.put({ digest: digestOf(other), kind: 'blob' }, other)
    return { blob, letGo: blob.hold() }
  }

  test('a blob larger than the store is passed from the source to the client, and evicts nothing', async () => {
    small(2)
    const { blob: other, letGo } = await occupy(1)
    letGo()
    const digest = node.source.add(layer)
    const reader = await during(node.content.open(repository, digest))
    expect(await during(read(reader))).toEqual(layer)
    expect(reader.provenance()).toEqual({ store: 0, swarm: 0, source: layer.length })
    reader.close()
    expect([other.gone, node.store.find(digest)?.complete]).toEqual([false, false])
  })

  test('one for which room ends on the way goes on from the source, which is not asked again for what is stored', async () => {
    small(4)
    const { letGo } = await occupy(2)
    const large = bytesOf(4 * pieceLength - 1000)
    const digest = node.source.add(large)
    const reader = await during(node.content.open(repository, digest))
    expect(await during(read(reader))).toEqual(large)
    expect(calls('open')).toEqual([`open ${digest} 0`, `open ${digest} ${2 * pieceLength}`])
    reader.close()
    letGo()
  })

  test('a manifest is passed on without being kept', async () => {
    small(1)
    await occupy(1)
    const { manifest, bytes } = image()
    const answer = await during(node.content.manifest(repository, tag))
    expect([answer.digest, Buffer.compare(answer.bytes, bytes)]).toEqual([manifest, 0])
    expect(node.store.find(manifest)?.complete ?? false).toBe(false)
  })

  test('the end of wrong bytes is not given, however they come', async () => {
    small(2)
    const digest = node.source.add(layer)
    const wrong = layer.slice()
    wrong[5]! ^= 1
    node.source.answer = (_, start) => ({
      size: layer.length,
      mediaType: 'a/b',
      body: (async function* () {
        yield wrong.subarray(start)
      })(),
    })
    const reader = await during(node.content.open(repository, digest))
    let got = 0
    const reading = (async () => {
      for await (const chunk of reader.read({ start: 0, end: layer.length }, never)) got += chunk.length
    })()
    expect(await codeOf(during(reading))).toBe('corrupt')
    expect(got).toBe(3 * pieceLength)
    reader.close()
  })

  test('who goes on where an answer broke off gets the rest, and no more than that', async () => {
    small(2)
    const digest = node.source.add(layer)
    const span = { start: 2 * pieceLength + 5, end: layer.length }
    for (let i = 0; i < 2; i++) {
      const reader = await during(node.content.open(repository, digest, { start: span.start }))
      expect(await during(read(reader, span))).toEqual(layer.slice(span.start))
      reader.close()
    }
  })

  test('a part of a blob is left to the engine and its registry, for nobody could say that it is right', async () => {
    small(2)
    const digest = node.source.add(layer)
    for (const end of [2 * pieceLength + 1000, layer.length]) {
      const span = { start: 2 * pieceLength, end }
      const reader = await during(node.content.open(repository, digest, span))
      expect(await codeOf(during(read(reader, span)))).toBe('no-space')
      reader.close()
    }
  })
})

test('where bytes came from adds up when swarm and source bring them together', async () => {
  const store = new MemoryStore({ clock: node.clock })
  const digest = digestOf(layer)
  const blob = store.create({ digest, size: layer.length, kind: 'blob' })
  const bytes = { swarm: 500, source: 700 }
  const write = async (piece: number) => {
    const start = pieceStart(blob.layout, piece)
    await blob.write(piece, layer.subarray(start, start + pieceBytes(blob.layout, piece)))
  }
  await write(0)
  const transfer: Arrival = {
    bytes,
    begun: Promise.resolve<Blob>(blob),
    finished: Promise.resolve<Blob>(blob),
    reader: () => 1,
    aim: () => {},
    readerLeft: () => {},
    fresh: () => undefined,
    verified: () => undefined,
    doubts: [],
    piece: async (_, piece) => {
      if (blob.have.has(piece)) return
      await write(piece)
      bytes[piece === 1 ? 'source' : 'swarm'] += pieceBytes(blob.layout, piece)
    },
  }
  const { source } = node
  const content = new NodeContent({
    store,
    source,
    swarm: { fetch: () => transfer },
    tags: undefined as never,
  })
  const reader = await content.open(repository, digest)
  expect(await read(reader)).toEqual(layer)
  expect(reader.provenance()).toEqual({ store: pieceLength, swarm: pieceLength + 1000, source: pieceLength })
  await read(reader, { start: 0, end: 10 })
  const { store: held, swarm, source: fed } = reader.provenance()
  expect(held + swarm + fed).toBe(layer.length + 10)
  reader.close()
})

test('a file that is cut short while it is sent comes anew from there on', async () => {
  const large = bytesOf(8 * pieceLength)
  const digest = digestOf(large)
  const store = await openStore()
  const whole = await store.put({ digest, kind: 'blob' }, large)
  const fetched: Blob[] = []
  const fetch = (): Arrival => {
    const blob = store.create({ digest, size: large.length, kind: 'blob' })
    fetched.push(blob)
    return {
      bytes: { swarm: 0, source: 0 },
      begun: Promise.resolve(blob),
      finished: new Promise(() => {}),
      reader: () => 1,
      aim: () => {},
      readerLeft: () => {},
      fresh: () => undefined,
      verified: () => undefined,
      doubts: [],
      piece: async (_, piece) => {
        const start = pieceStart(blob.layout, piece)
        await blob.write(piece, large.subarray(start, start + pieceBytes(blob.layout, piece)))
        if (blob.have.complete) await blob.finish()
      },
    }
  }
  const content = new NodeContent({ store, source: node.source, swarm: { fetch }, tags: undefined as never })
  const reader = await content.open(repository, digest)
  const copies: Uint8Array[] = []
  for await (const chunk of reader.read({ start: 0, end: large.length }, never)) {
    copies.push(chunk.slice())
    if (copies.length === 1) truncateSync(whole.path, 1000)
  }
  expect(Buffer.concat(copies).equals(large)).toBe(true)
  expect([whole.gone, fetched.length]).toEqual([true, 1])
  reader.close()
})

describe('a file that is gone under a blob of which only parts are wanted', () => {
  const wanted = { part: true, prefetch: 'none' } as const
  const spanOf = (piece: number) => ({ start: piece * pieceLength, end: piece * pieceLength + 10 })
  const partOf = (piece: number) => layer.subarray(spanOf(piece).start, spanOf(piece).end)
  let store: DiskStore
  let digest: Digest
  beforeEach(async () => {
    store = await openStore()
    node = new LoneNode({}, store) as unknown as LoneNode
    digest = node.source.add(layer)
  })

  const opened = (piece: number) => slowly(node.content.open(repository, digest, { ...spanOf(piece), ...wanted }))
  /** Time goes on, and the disk gets its turn. */
  async function slowly<T>(promise: Promise<T>): Promise<T> {
    let over = false
    const end = () => {
      over = true
    }
    promise.then(end, end)
    for (let i = 0; i < 400 && !over; i++) {
      await node.clock.run(100)
      await Bun.sleep(1)
    }
    return over ? promise : Promise.reject(new Error('it never ends'))
  }
  async function loseFile(): Promise<void> {
    unlinkSync(store.find(digest)!.path)
    await store.files.dropAll()
  }

  test('comes anew, in a transfer of its own', async () => {
    for (const piece of [0, 1]) {
      const reader = await opened(piece)
      expect(await slowly(read(reader, spanOf(piece)))).toEqual(partOf(piece))
      reader.close()
    }
    const before = store.find(digest)!
    const transfer = node.swarm.find(digest)!
    await loseFile()
    for (const piece of [0, 1, 2]) {
      const reader = await opened(piece)
      expect(await slowly(read(reader, spanOf(piece)))).toEqual(partOf(piece))
      reader.close()
    }
    expect(before.gone).toBe(true)
    expect(await codeOf(transfer.finished)).toBe('unavailable')
    expect([...store.find(digest)!.have.indexes()]).toEqual([0, 1, 2])
  })

  test('keeps nobody from reading on who had opened it before', async () => {
    const reader = await opened(0)
    expect(await slowly(read(reader, spanOf(0)))).toEqual(partOf(0))
    await loseFile()
    // Somebody else finds it out.
    expect(await codeOf(store.find(digest)!.check(0))).toBe('corrupt')
    const other = await opened(1)
    expect(await slowly(read(other, spanOf(1)))).toEqual(partOf(1))
    for (const piece of [1, 2]) expect(await slowly(read(reader, spanOf(piece)))).toEqual(partOf(piece))
    reader.close()
    other.close()
  })
})

test('what a registry is asked beside content is passed on', async () => {
  expect((await node.content.pass(repository, 'tags/list', '')).status).toBe(200)
  expect(node.source.calls).toEqual(['pass tags/list'])
})

test.each([
  ['one piece', 4, 'piece 0 of '],
  ['several', 3 * pieceLength, 'what its server sends has the digest sha256:'],
])('a file of %s that has another digest is no damage of the store', async (_, size, says) => {
  const lone = new LoneNode({}, await openStore())
  lone.source.answer = (_, start) => ({
    size,
    mediaType: 'a/b',
    body: (async function* () {
      yield bytesOf(size).subarray(start)
    })(),
  })
  const digest = digestOf(Buffer.from('wanted'))
  const transfer = lone.swarm.fetch({ repository: fileAt('https://files.corp/x'), kind: 'blob', digest }, size)
  const letGo = transfer.keep()
  const failure = Failure.from(await during(transfer.finished, lone.clock).catch((error: unknown) => error))
  expect([failure.code, failure.message]).toEqual([
    'corrupt',
    expect.stringContaining(`https://files.corp/x is not ${digest}, or not any more: ${says}`),
  ])
  letGo()
  await lone.close()
})
