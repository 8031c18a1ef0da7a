import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Failure } from '../failure.ts'
import { fileBytes, Sending, wholeBytes } from './file-bytes.ts'

const bytes = Uint8Array.from({ length: 1_300_000 }, (_, i) => (i * 11) >> 5)
const signal = new AbortController().signal
let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'file-bytes-'))
  await Bun.write(join(dir, 'blob'), bytes)
})
afterAll(() => rm(dir, { recursive: true }))
const path = () => join(dir, 'blob')

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const copies: Uint8Array[] = []
  for await (const chunk of chunks) copies.push(new Uint8Array(chunk))
  return Buffer.concat(copies)
}

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error: unknown) => Failure.from(error).code,
  )

describe('the bytes of a file', () => {
  test.each([
    [0, 1_300_000],
    [1, 2],
    [65_535, 65_538],
    [524_287, 524_290],
    [1_299_999, 1_300_000],
  ])('from %d to %d are those', async (start, end) => {
    expect(await collect(fileBytes(path(), { start, end }, signal))).toEqual(Buffer.from(bytes.subarray(start, end)))
  })

  test('that are not there end in a failure after those that are', async () => {
    const chunks = fileBytes(path(), { start: 1_299_990, end: 1_300_010 }, signal)
    expect((await chunks.next()).value).toHaveLength(10)
    expect(await codeOf(chunks.next())).toBe('corrupt')
  })

  test('stop when the reader is told to', async () => {
    const abort = new AbortController()
    const chunks = fileBytes(path(), { start: 0, end: bytes.length }, abort.signal)
    await chunks.next()
    abort.abort(new Failure('cancelled', 'enough'))
    expect(await codeOf(chunks.next())).toBe('cancelled')
  })

  test('come in shorter chunks when many files are being sent, and in long ones again when they are over', async () => {
    const sending = new Sending()
    const longest = async () => {
      let most = 0
      for await (const chunk of fileBytes(path(), { start: 0, end: bytes.length }, signal, sending)) {
        most = Math.max(most, chunk.length)
      }
      return most
    }
    expect(await longest()).toBe(512 * 1024)
    const others = Array.from({ length: 4000 }, () => sending.begin())
    expect(await longest()).toBe(64 * 1024)
    for (const over of others) over()
    expect(await longest()).toBe(512 * 1024)
    const held = fileBytes(path(), { start: 0, end: bytes.length }, signal, sending)
    await held.next()
    await held.return(undefined)
    expect(sending.open).toBe(0)
  })

  test('are read into memory that was used before, unless a client left in the middle', async () => {
    const sending = new Sending()
    const read = () => collect(fileBytes(path(), { start: 0, end: bytes.length }, signal, sending))
    const memory = sending.take(512 * 1024)
    sending.give(memory)
    const left = fileBytes(path(), { start: 0, end: bytes.length }, signal, sending)
    expect((await left.next()).value?.buffer).toBe(memory.buffer)
    await left.return(undefined)
    expect(sending.take(512 * 1024)).not.toBe(memory)
    await read()
    const kept = sending.take(512 * 1024)
    sending.give(kept)
    await read()
    expect(sending.take(512 * 1024)).toBe(kept)
  })

  test('leave no more behind than a few chunks', () => {
    const sending = new Sending()
    const over = sending.begin()
    const memory = Array.from({ length: 100 }, () => sending.take(512 * 1024))
    for (const chunk of memory) sending.give(chunk)
    const kept = () => memory.filter((chunk) => memory.includes(sending.take(chunk.length))).length
    expect(kept()).toBe(16)
    for (const chunk of memory) sending.give(chunk)
    over()
    expect(kept()).toBe(0)
  })

  test('of no file are a failure that sends the engine elsewhere', async () => {
    expect(await codeOf(fileBytes(join(dir, 'none'), { start: 0, end: 1 }, signal).next())).toBe('unavailable')
  })
})

describe('the bytes of a blob whose file may be sent', () => {
  const span = { start: 100_000, end: 1_200_000 }
  /** Reads with care what the file does not give, and notes from where on. */
  function careful() {
    const asked: number[] = []
    async function* read({ start, end }: { start: number; end: number }) {
      asked.push(start)
      yield bytes.subarray(start, end)
    }
    return { asked, read }
  }

  test('are the file for as long as it is sound', async () => {
    const reader = careful()
    const got = await collect(wholeBytes({ path: path(), sound: () => true }, reader, span, signal))
    expect(got).toEqual(Buffer.from(bytes.subarray(span.start, span.end)))
    expect(reader.asked).toEqual([])
  })

  test('are read with care from where the file was touched, and nothing of it goes out that was read after that', async () => {
    const spoilt = join(dir, 'spoilt')
    await writeFile(spoilt, bytes)
    const reader = careful()
    let sound = true
    const chunks = wholeBytes({ path: spoilt, sound: () => sound }, reader, span, signal)
    const copies = [new Uint8Array((await chunks.next()).value!)]
    await writeFile(
      spoilt,
      bytes.map((byte) => byte ^ 1),
    )
    sound = false
    for await (const chunk of chunks) copies.push(new Uint8Array(chunk))
    expect(Buffer.concat(copies)).toEqual(Buffer.from(bytes.subarray(span.start, span.end)))
    expect(reader.asked).toEqual([span.start + copies[0]!.length])
  })

  test('are read with care where the file has become too short', async () => {
    const short = join(dir, 'short')
    await writeFile(short, bytes)
    const reader = careful()
    let sound = true
    const chunks = wholeBytes({ path: short, sound: () => sound }, reader, span, signal)
    const copies = [new Uint8Array((await chunks.next()).value!)]
    await truncate(short, 1000)
    sound = false
    for await (const chunk of chunks) copies.push(new Uint8Array(chunk))
    expect(Buffer.concat(copies)).toEqual(Buffer.from(bytes.subarray(span.start, span.end)))
  })

  test('are read with care where the disk cannot read the file', async () => {
    const reader = careful()
    // The kernel says EIO of an address at which no process has memory.
    const got = await collect(wholeBytes({ path: '/proc/self/mem', sound: () => true }, reader, span, signal))
    expect(got).toEqual(Buffer.from(bytes.subarray(span.start, span.end)))
    expect(reader.asked).toEqual([span.start])
  })
})
