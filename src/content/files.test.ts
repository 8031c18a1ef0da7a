import { afterEach, describe, expect, test } from 'bun:test'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { fileAt } from '../oci/file.ts'
import type { OpenFile } from '../source/file-source.ts'
import type { FileVersion } from '../source/file-version.ts'
import { silentLog } from '../telemetry/log.ts'
import { Files } from './files.ts'

const repository = fileAt('https://files.corp/disk.img')

const undo: (() => void)[] = []
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step()
})

function setUp(limitBytes?: number) {
  const clock = new FakeClock()
  const store = new MemoryStore({ clock, ...(limitBytes === undefined ? {} : { limitBytes }) })
  const server = {
    bytes: bytesOf(700_000),
    version: { validator: 'etag "one"' } as FileVersion,
    failure: undefined as Failure | undefined,
    reads: 0,
    asked: 0,
    gate: undefined as Promise<void> | undefined,
  }
  const stored: string[] = []
  const files = new Files({
    source: {
      version: async () => {
        server.asked++
        return { ...server.version, size: server.bytes.length }
      },
      openNow: async (): Promise<OpenFile> => {
        server.reads++
        await server.gate
        const { bytes, version, failure } = server
        return { size: bytes.length, mediaType: 'x', version, body: chunksOf(bytes, failure) }
      },
    },
    store,
    signer: { id: 'self', sign: () => new Uint8Array(64) },
    clock,
    log: silentLog,
    stored: (_, digest) => stored.push(digest),
  })
  undo.push(() => files.close())
  /** Asks until it is known, as clients do: half a second goes by between two questions. */
  const known = async () => {
    for (let asked = 0; asked < 1000; asked++) {
      try {
        return await files.resolve(repository)
      } catch (error) {
        if (Failure.from(error).code !== 'reading') throw error
        await Bun.sleep(1)
        clock.advance(500)
      }
    }
    throw new Error('it is not known after a thousand questions')
  }
  return { files, server, store, stored, clock, known }
}

async function* chunksOf(bytes: Uint8Array, failure: Failure | undefined) {
  for (let at = 0; at < bytes.length; at += 64 * 1024) yield bytes.slice(at, at + 64 * 1024)
  if (failure) throw failure
}

describe('what a URL leads to', () => {
  test('is found out by reading it once, however many ask, and it is here then', async () => {
    const { server, store, stored, known } = setUp()
    const answers = await Promise.all([known(), known(), known()])
    const digest = digestOf(server.bytes)
    expect(answers.map((answer) => [answer.digest, answer.size])).toEqual(Array(3).fill([digest, 700_000]))
    expect([server.reads, stored]).toEqual([1, [digest]])
    const blob = store.find(digest)!
    expect(blob.complete).toBe(true)
    expect(Buffer.from(await blob.read({ start: 0, end: blob.size })).equals(server.bytes)).toBe(true)
    // Others can verify each piece of it.
    expect(blob.metainfo.known.count).toBe(blob.layout.count)
    expect(blob.layout.count).toBeGreaterThan(1)
  })

  test('is asked of its server once, however long it is read, and however often somebody asks', async () => {
    const { files, server, clock, known } = setUp()
    const gate = Promise.withResolvers<void>()
    server.gate = gate.promise
    for (let i = 0; i < 20; i++) {
      expect(await files.resolve(repository).catch((error) => Failure.from(error).code)).toBe('reading')
      clock.advance(500)
    }
    gate.resolve()
    expect((await known()).digest).toBe(digestOf(server.bytes))
    expect([server.asked, server.reads]).toEqual([1, 1])
    // The next who asks is told what the server has then.
    server.version = { validator: 'etag "two"' }
    expect(await files.resolve(repository).catch((error) => Failure.from(error).code)).toBe('reading')
    expect(server.asked).toBe(2)
  })

  test('is asked of its server once while others are read, and again when it is its turn', async () => {
    const { files, server, known } = setUp()
    const gate = Promise.withResolvers<void>()
    server.gate = gate.promise
    const codeOf = (url: string) => files.resolve(fileAt(url)).catch((error) => Failure.from(error).code)
    for (const name of ['a', 'b']) await codeOf(`https://files.corp/${name}`)
    for (let i = 0; i < 20; i++) expect(await codeOf('https://files.corp/disk.img')).toBe('reading')
    expect(server.asked).toBe(3)
    gate.resolve()
    await known()
    expect([server.asked, server.reads]).toEqual([4, 3])
  })

  test('is found out anew when its server has another version, and is known when it has the old one again', async () => {
    const { server, known } = setUp()
    const first = await known()
    const old = server.bytes
    server.bytes = bytesOf(300_000, 2)
    server.version = { validator: 'etag "two"' }
    expect((await known()).digest).toBe(digestOf(server.bytes))
    server.bytes = old
    server.version = { validator: 'etag "one"' }
    expect((await known()).digest).toBe(first.digest)
    expect(server.reads).toBe(2)
  })

  test('is not read for that where the server states the digest', async () => {
    const { files, server } = setUp()
    const digest = digestOf(server.bytes)
    server.version = { digest }
    expect(await files.resolve(repository)).toMatchObject({ digest, size: 700_000 })
    expect(server.reads).toBe(0)
  })

  test('is read again after a while where the server does not say when it changes', async () => {
    const { server, clock, known } = setUp()
    server.version = {}
    expect((await known()).digest).toBe(digestOf(server.bytes))
    expect((await known()).digest).toBe(digestOf(server.bytes))
    expect(server.reads).toBe(1)
    server.bytes = bytesOf(1000, 4)
    while (clock.pending === 0) await Bun.sleep(1)
    clock.advance(10_000)
    expect((await known()).digest).toBe(digestOf(server.bytes))
    expect(server.reads).toBe(2)
  })

  test('counts as the version that came, not as the one that was announced', async () => {
    const { files, server, known } = setUp()
    const read = files.resolve(repository).catch(() => {})
    server.version = { validator: 'etag "two"' }
    server.bytes = bytesOf(1000, 3)
    await read
    expect((await known()).digest).toBe(digestOf(server.bytes))
    server.version = { validator: 'etag "one"' }
    expect(await files.resolve(repository).catch((error) => Failure.from(error).code)).toBe('reading')
  })

  test('that breaks off is not taken for whole; it is tried again later, not at each question', async () => {
    const { server, store, clock, known } = setUp()
    server.failure = new Failure('unavailable', 'the server has a problem')
    await expect(known()).rejects.toThrow('the server has a problem')
    await expect(known()).rejects.toThrow('the server has a problem')
    expect([server.reads, [...store.all()], store.usage().bytes]).toEqual([1, [], 0])
    server.failure = undefined
    clock.advance(5_000)
    expect((await known()).digest).toBe(digestOf(server.bytes))
  })

  test('that there is no room for is not begun', async () => {
    const { known } = setUp(1000)
    expect(await known().catch((error) => Failure.from(error).code)).toBe('no-space')
  })
})
