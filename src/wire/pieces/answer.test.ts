import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { Failure } from '../../failure.ts'
import { type AnswerHead, AnswerReader, headBytes } from './answer.ts'

const text = (bytes: string) => Buffer.from(bytes, 'latin1')
const body = crypto.getRandomValues(new Uint8Array(5000))
const answer = Buffer.concat([
  text('HTTP/1.1 200 OK\r\nContent-Length: 5000\r\nx-shoal-piece: 7\r\nX-Shoal-Length:5000  \r\nDate: today\r\n\r\n'),
  body,
])

/** Takes whatever comes, into memory of the announced length. */
function taker() {
  const seen: { head?: AnswerHead; into?: Uint8Array } = {}
  const reader = new AnswerReader((head) => {
    seen.head = head
    seen.into = new Uint8Array(head.length ?? 0)
    return seen.into
  })
  return { reader, seen }
}

/** Reads past every body. */
const passer = () => new AnswerReader(() => undefined)

const failureOf = (work: () => unknown): string => {
  try {
    work()
    return 'no failure'
  } catch (error) {
    return error instanceof Failure ? `${error.code}: ${error.message}` : String(error)
  }
}

test('an answer is the same however its bytes are cut', () => {
  const cuts = fc.array(fc.nat({ max: answer.length }), { maxLength: 12 })
  fc.assert(
    fc.property(cuts, (unordered) => {
      const { reader, seen } = taker()
      const at = [0, ...unordered.sort((a, b) => a - b), answer.length]
      const wholes = at.slice(1).map((end, i) => end > at[i]! && reader.feed(answer.subarray(at[i], end)))
      expect(wholes.filter(Boolean)).toHaveLength(1)
      const unsaid = { chunked: false, elsewhere: undefined }
      expect(seen.head).toEqual({ status: 200, length: 5000, piece: 7, pieceLength: 5000, ...unsaid })
      expect(seen.into).toEqual(body)
      expect(reader.keep).toBe(true)
    }),
  )
})

test('an answer that comes byte by byte is read', () => {
  const { reader, seen } = taker()
  const wholes = [...answer].map((byte) => reader.feed(Uint8Array.of(byte)))
  expect([wholes.indexOf(true), seen.into]).toEqual([answer.length - 1, body])
})

test('what is read is copied, so that the connection may use its memory again', () => {
  const { reader, seen } = taker()
  for (let i = 0; i < answer.length; i += 61) {
    const chunk = new Uint8Array(answer.subarray(i, i + 61))
    reader.feed(chunk)
    chunk.fill(0)
  }
  expect(seen.into).toEqual(body)
})

test('a body in chunks fills the room that was made for it, and how much of it is there is told', () => {
  const chunked = Buffer.concat([
    text('HTTP/1.1 200 OK\r\nx-shoal-piece: 7\r\nx-shoal-length: 5000\r\nTransfer-Encoding: chunked\r\n\r\n'),
    ...[text('7d0\r\n'), body.subarray(0, 2000), text('\r\n')],
    ...[text('bb8\r\n'), body.subarray(2000), text('\r\n0\r\n\r\n')],
  ])
  const into = new Uint8Array(5000)
  const told: number[] = []
  const reader = new AnswerReader(
    ({ chunked, length }) => (chunked && length === undefined ? into : undefined),
    (upTo) => told.push(upTo),
  )
  const end = chunked.indexOf('bb8')
  expect([reader.feed(chunked.subarray(0, end)), reader.feed(chunked.subarray(end))]).toEqual([false, true])
  expect([into, told]).toEqual([body, [2000, 5000]])
  expect(reader.keep).toBe(true)
})

test.each([
  ['less', '2\r\nok\r\n0\r\n\r\n'],
  ['more', '5\r\nokay!\r\n0\r\n\r\n'],
])('a body in chunks with %s than the room made for it is refused', (_, chunks) => {
  const reader = new AnswerReader(() => new Uint8Array(4))
  const answered = text(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunks}`)
  expect(failureOf(() => reader.feed(answered))).toStartWith('unavailable: the answer has')
})

test('the body of a refusal is read past, and the connection is kept', () => {
  const reader = passer()
  expect(reader.feed(text('HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbu'))).toBe(false)
  expect(reader.feed(text('sy'))).toBe(true)
  expect(reader.keep).toBe(true)
})

test.each([
  ['is long', 'content-length: 1000000'],
  ['comes in chunks', 'transfer-encoding: chunked'],
  ['ends with the connection', 'x: y'],
])('a refusal whose body %s is told at once, and its connection is not used again', (_, header) => {
  const reader = passer()
  expect(reader.feed(text(`HTTP/1.1 404 Not Found\r\n${header}\r\n\r\nsome of it`))).toBe(true)
  expect(reader.keep).toBe(false)
})

test('a connection that the other side closes after the answer is not used again', () => {
  const { reader } = taker()
  expect(reader.feed(text('HTTP/1.1 200 OK\r\ncontent-length: 2\r\nConnection: close\r\n\r\nok'))).toBe(true)
  expect(reader.keep).toBe(false)
})

describe('refused is', () => {
  test.each([
    ['no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['another HTTP', 'HTTP/1.0 200 OK\r\n\r\n'],
    ['an interim answer', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['a line that is no header', 'HTTP/1.1 200 OK\r\nnonsense\r\n\r\n'],
    ['a header that goes on in the next line', 'HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n'],
    ['a header with a space before the colon', 'HTTP/1.1 200 OK\r\ncontent-length : 2\r\n\r\nok'],
    ['a length that is no number', 'HTTP/1.1 200 OK\r\ncontent-length: 0x10\r\n\r\n'],
    ['a length that is negative', 'HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok'],
    ['a node that is none', 'HTTP/1.1 503 Busy\r\nx-shoal-elsewhere: nobody\r\n\r\n'],
    ['a piece that is no number', 'HTTP/1.1 200 OK\r\nx-shoal-piece: 1e3\r\n\r\n'],
    ['more than was announced', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokay'],
  ])('%s', (_, bytes) => {
    expect(failureOf(() => taker().reader.feed(text(bytes)))).toStartWith('unavailable: the answer has')
  })

  test('a head that is too long, however it comes, and no more of it than that is kept', () => {
    const line = text(`x: ${'y'.repeat(98)}\r\n`)
    const { reader } = taker()
    reader.feed(text('HTTP/1.1 200 OK\r\n'))
    let fed = 0
    const failure = failureOf(() => {
      for (; fed < 10 * headBytes; fed += line.length) reader.feed(line)
    })
    expect(failure).toContain('a head that is too long')
    expect(fed).toBeLessThan(headBytes)
    const once = text(`HTTP/1.1 200 OK\r\n${line.toString().repeat(100)}\r\n`)
    expect(failureOf(() => taker().reader.feed(once))).toContain('a head that is too long')
  })
})

test('what the taker of the body throws is thrown', () => {
  const reader = new AnswerReader(() => {
    throw new Failure('corrupt', 'not asked for')
  })
  expect(failureOf(() => reader.feed(answer))).toBe('corrupt: not asked for')
})
