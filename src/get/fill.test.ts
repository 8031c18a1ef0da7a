import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { Failure, type FailureCode } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { fileAt } from '../oci/file.ts'
import { type Fetch, fill, type Section, type Sink } from './fill.ts'

class MemorySink implements Sink {
  bytes: Uint8Array
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
  get length(): number {
    return this.bytes.length
  }
  async *read(start: number, end: number) {
    for (let at = start; at < end; at += 7) yield this.bytes.slice(at, Math.min(end, at + 7))
  }
  async cut(length: number) {
    this.bytes = this.bytes.slice(0, length)
  }
  async write(bytes: Uint8Array) {
    this.bytes = Buffer.concat([this.bytes, bytes])
  }
}

const repository = fileAt('https://files.corp/x')
const contents = [bytesOf(40, 1), bytesOf(0, 2), bytesOf(100, 3)]
const sections: Section[] = contents.flatMap((bytes, i) => [
  { bytes: bytesOf(10, 10 + i) },
  { repository, digest: digestOf(bytes), size: bytes.length },
])
const whole = Buffer.concat(contents.flatMap((bytes, i) => [bytesOf(10, 10 + i), bytes]))

function harness(there: Uint8Array) {
  const sink = new MemorySink(there)
  const asked: string[] = []
  const counted = { kept: 0, came: 0 }
  const fetch: Fetch = async function* ({ digest }, start) {
    const index = contents.findIndex((bytes) => digestOf(bytes) === digest)
    asked.push(`${index} from ${start}`)
    for (let at = start; at < contents[index]!.length; at += 11) yield contents[index]!.slice(at, at + 11)
  }
  const told = {
    kept: (bytes: number) => {
      counted.kept += bytes
    },
    came: (bytes: number) => {
      counted.came += bytes
    },
  }
  return { sink, asked, counted, run: (by: Fetch = fetch) => fill(sink, sections, by, told) }
}

describe('a download', () => {
  test('that begins has everything fetched', async () => {
    const { sink, asked, counted, run } = harness(new Uint8Array(0))
    await run()
    expect(sink.bytes).toEqual(new Uint8Array(whole))
    expect(asked).toEqual(['0 from 0', '2 from 0'])
    expect(counted).toEqual({ kept: 0, came: 140 })
  })

  test('that broke off anywhere goes on there', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length), async (length) => {
        const { sink, counted, run } = harness(whole.subarray(0, length))
        await run()
        expect(sink.bytes).toEqual(new Uint8Array(whole))
        expect(counted.kept + counted.came).toBe(140)
        // Known bytes between contents are 10 each.
        expect(counted.came).toBe(140 - Math.min(Math.max(length - 10, 0), 40) - Math.max(length - 70, 0))
      }),
    )
  })

  test('is right in the end whatever was there', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.nat(60), async (at, more) => {
        const there = Buffer.concat([whole, bytesOf(more, 9)])
        there[at]! ^= 0x40
        const { sink, counted, run } = harness(there)
        await run()
        expect(sink.bytes).toEqual(new Uint8Array(whole))
        expect(counted.kept + counted.came).toBe(140)
      }),
    )
  })

  test('of what has another digest fails, and is asked for once more only if old bytes may be to blame', async () => {
    const wrong: string[] = []
    const lie: Fetch = async function* ({ size }, start) {
      wrong.push(`from ${start}`)
      yield new Uint8Array(size - start)
    }
    const { sink, run } = harness(new Uint8Array(0))
    expect(await run(lie).catch((error) => Failure.from(error).code)).toBe('corrupt')
    expect(wrong).toEqual(['from 0'])
    expect(sink.bytes).toEqual(new Uint8Array(bytesOf(10, 10)))
    const again = harness(whole.subarray(0, 20))
    await again.run(lie).catch(() => {})
    expect(wrong).toEqual(['from 0', 'from 10', 'from 0'])
  })

  test('whose source says on the way that it is wrong keeps none of its bytes, and all of them for other reasons', async () => {
    const failing = (code: FailureCode): Fetch =>
      async function* ({ size }, start) {
        yield contents[0]!.slice(start, size - 1)
        throw new Failure(code, 'no more')
      }
    for (const [code, left] of [
      ['corrupt', 10],
      ['unavailable', 49],
    ] as const) {
      const { sink, run } = harness(whole.subarray(0, 20))
      expect(await run(failing(code)).catch((error) => Failure.from(error).code)).toBe(code)
      expect(sink.length).toBe(left)
    }
  })
})
