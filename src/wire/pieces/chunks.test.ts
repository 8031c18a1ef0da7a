import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { Failure } from '../../failure.ts'
import { ChunkReader } from './chunks.ts'

const ascii = (bytes: string) => Buffer.from(bytes, 'latin1')
const body = ascii('5\r\nhello\r\n10\r\n0123456789abcdef\r\n1\r\n!\r\n0\r\n\r\n')

function read(parts: readonly Uint8Array[]): { text: string; wholes: boolean[]; failure?: string } {
  const reader = new ChunkReader()
  let text = ''
  const wholes: boolean[] = []
  try {
    for (const part of parts) wholes.push(reader.feed(part, (bytes) => (text += Buffer.from(bytes).toString('latin1'))))
  } catch (error) {
    return { text, wholes, failure: error instanceof Failure ? error.code : String(error) }
  }
  return { text, wholes }
}

test('a body in chunks is the same however its bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: body.length }), { maxLength: 12 }), (unordered) => {
      const at = [0, ...unordered.sort((a, b) => a - b), body.length]
      const parts = at.slice(1).map((end, i) => body.subarray(at[i], end))
      const { text, wholes } = read(parts.filter(({ length }) => length > 0))
      expect(text).toBe('hello0123456789abcdef!')
      expect(wholes.indexOf(true)).toBe(wholes.length - 1)
    }),
  )
})

test.each([
  ['no length', '\r\n'],
  ['a length that is no number', 'x\r\n'],
  ['a length with a sign', '+5\r\nhello\r\n'],
  ['an extension', '5;a=b\r\nhello\r\n'],
  ['a length that is too long', '0000005\r\nhello\r\n'],
  ['a line feed alone', '5\nhello\r\n'],
  ['a chunk that is longer than it says', '4\r\nhello\r\n'],
  ['trailers', '0\r\na: b\r\n\r\n'],
  ['something after the last chunk', '0\r\n\r\nGET'],
])('%s is refused', (_, text) => {
  expect(read([ascii(text)]).failure).toBe('unavailable')
})
