import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { Failure } from '../failure.ts'
import { fileBytes } from './file-bytes.ts'
import { pump, streamOf } from './pump.ts'

const bytes = Uint8Array.from({ length: 1_300_000 }, (_, i) => (i * 11) >> 5)
const signal = new AbortController().signal
let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pump-'))
  await Bun.write(join(dir, 'blob'), bytes)
})
afterAll(() => rm(dir, { recursive: true }))
const path = () => join(dir, 'blob')

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error: unknown) => Failure.from(error).code,
  )

/** Takes each chunk only when told to. */
class Sink extends Writable {
  readonly #taken: Buffer[] = []
  waiting: (() => void) | undefined

  constructor(readonly eager = true) {
    super({ highWaterMark: 1 })
  }
  override _write(chunk: Buffer, _: BufferEncoding, done: () => void) {
    const take = () => {
      this.waiting = undefined
      this.#taken.push(Buffer.from(chunk))
      done()
    }
    if (this.eager) setImmediate(take)
    else this.waiting = take
  }
  get bytes(): Buffer {
    return Buffer.concat(this.#taken)
  }
}

describe('the pump', () => {
  test('moves everything in order through buffers that are used again', async () => {
    const sink = new Sink()
    const chunks = fileBytes(path(), { start: 0, end: bytes.length }, signal)
    await pump(await chunks.next(), chunks, sink)
    await new Promise((resolve) => (sink.writableFinished ? resolve(0) : sink.on('finish', resolve)))
    expect(sink.bytes.equals(bytes)).toBe(true)
  })

  test('asks for no more while the client has not taken what it was sent', async () => {
    const sink = new Sink(false)
    let asked = 0
    async function* chunks() {
      for (; asked < 5; asked++) yield new Uint8Array([asked])
    }
    const body = chunks()
    const pumped = pump(await body.next(), body, sink)
    await Bun.sleep(1)
    expect(asked).toBe(0)
    sink.waiting?.()
    await Bun.sleep(1)
    expect(asked).toBe(1)
    sink.destroy()
    expect(await codeOf(pumped)).toBe('cancelled')
  })

  test('closes what it read from when the connection is cut under it', async () => {
    const sink = new Sink(false)
    let closed = false
    async function* chunks() {
      try {
        for (;;) yield new Uint8Array([1])
      } finally {
        closed = true
      }
    }
    const body = chunks()
    const pumped = pump(await body.next(), body, sink)
    sink.destroy()
    expect(await codeOf(pumped)).toBe('cancelled')
    expect(closed).toBe(true)
  })

  test('destroys the connection rather than end it when the bytes break off', async () => {
    const sink = new Sink()
    async function* chunks() {
      yield new Uint8Array([1])
      throw new Failure('corrupt', 'wrong piece')
    }
    const body = chunks()
    expect(await codeOf(pump(await body.next(), body, sink))).toBe('corrupt')
    expect([sink.destroyed, sink.writableEnded]).toEqual([true, false])
  })

  test('survives a client that was gone before it began', async () => {
    const sink = new Sink()
    sink.destroy()
    async function* chunks() {
      yield new Uint8Array([1])
    }
    const body = chunks()
    expect(await codeOf(pump(await body.next(), body, sink))).toBe('cancelled')
  })
})

test('a stream has its own copies of the bytes', async () => {
  const chunks = fileBytes(path(), { start: 0, end: bytes.length }, signal)
  let ended = 0
  const stream = streamOf(await chunks.next(), chunks, () => {
    ended++
  })
  expect(Buffer.from(await new Response(stream).bytes()).equals(bytes)).toBe(true)
  expect(ended).toBe(1)
})
