import { describe, expect, test } from 'bun:test'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { parseRanges, resolveRanges } from '../oci/range.ts'
import type { Span } from '../store/blob-store.ts'
import { bytesOf, planBody, safeType } from './body.ts'

const content = new TextEncoder().encode('0123456789abcdefghijklmnopqrstuvwxyz')
const digest = digestOf(content)
const stat = { digest, size: content.length, mediaType: 'application/x-layer' }
const plan = (range?: string) => planBody(stat, resolveRanges(parseRanges(range), content.length))

async function* read({ start, end }: Span) {
  for (let at = start; at < end; at += 4) yield content.subarray(at, Math.min(at + 4, end))
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  for await (const chunk of body) text += new TextDecoder().decode(chunk)
  return text
}

test('a whole blob is one part without a header', async () => {
  expect(plan()).toEqual({
    status: 200,
    contentType: 'application/x-layer',
    length: 36,
    parts: [{ span: { start: 0, end: 36 } }],
  })
  expect(await textOf(bytesOf(plan(), read, () => {}))).toBe(new TextDecoder().decode(content))
})

test('an empty blob has a body of no parts', async () => {
  const empty = planBody({ ...stat, size: 0 }, { kind: 'whole' })
  expect(empty.length).toBe(0)
  expect(await textOf(bytesOf(empty, read, () => {}))).toBe('')
})

test('one range is a plain body with a Content-Range', async () => {
  const one = plan('bytes=10-12')
  expect([one.status, one.contentRange, one.length]).toEqual([206, 'bytes 10-12/36', 3])
  expect(await textOf(bytesOf(one, read, () => {}))).toBe('abc')
})

test('several ranges are a multipart body of exactly the length it announced', async () => {
  const several = plan('bytes=0-1,34-,-1')
  const boundary = /^multipart\/byteranges; boundary=(\S+)$/.exec(several.contentType)?.[1]
  let counted = 0
  const body = await textOf(
    bytesOf(several, read, (n) => {
      counted += n
    }),
  )
  const part = (range: string, text: string) =>
    `\r\n--${boundary}\r\nContent-Type: application/x-layer\r\nContent-Range: bytes ${range}/36\r\n\r\n${text}`
  expect(body).toBe(`${part('0-1', '01')}${part('34-35', 'yz')}${part('35-35', 'z')}\r\n--${boundary}--\r\n`)
  expect(several.length).toBe(body.length)
  expect(counted).toBe(5)
})

test('no range inside the blob is a 416 that tells the size', () => {
  try {
    plan('bytes=36-')
    throw new Error('not refused')
  } catch (error) {
    const failure = Failure.from(error)
    expect(failure.status).toBe(416)
    expect(failure.detail.contentRange).toBe('bytes */36')
  }
})

describe('a body that cannot be kept to its length breaks off', () => {
  const collect = async (chunks: string[]) => {
    const whole = planBody({ ...stat, size: 4 }, { kind: 'whole' })
    async function* source() {
      for (const chunk of chunks) yield new TextEncoder().encode(chunk)
    }
    let got = ''
    try {
      for await (const chunk of bytesOf(whole, source, () => {})) got += new TextDecoder().decode(chunk)
      return `${got} whole`
    } catch (error) {
      return `${got} ${Failure.from(error).code}`
    }
  }
  test('when the source ends early', async () => {
    expect(await collect(['ab', 'c'])).toBe('abc corrupt')
  })
  test('when the source gives too much, before the first byte too many', async () => {
    expect(await collect(['ab', 'cde'])).toBe('ab corrupt')
    expect(await collect(['ab', 'cd', 'e'])).toBe('abcd corrupt')
  })
  test('and not when it gives what was promised', async () => {
    expect(await collect(['ab', '', 'cd'])).toBe('abcd whole')
  })
})

test.each(['a/b\r\nX: y', 'a', '', 'a/b, c/d', 'a/'.padEnd(300, 'x'), 'ä/b'])(
  'media type %p is not repeated',
  (type) => {
    expect(safeType(type)).toBe('application/octet-stream')
  },
)

test.each(['application/vnd.oci.image.layer.v1.tar+gzip', 'application/json; charset=utf-8'])('%s is', (type) => {
  expect(safeType(type)).toBe(type)
})
