import { expect, test } from 'bun:test'
import { Failure } from '../failure.ts'
import { algorithmOf, digestOf, hexOf, isDigest, parseDigest, shortDigest } from './digest.ts'

const hex = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

test('the digest of nothing is the well-known one', () => {
  expect(digestOf(new Uint8Array())).toBe(parseDigest(`sha256:${hex}`))
})

test('sha512 is a digest as well', () => {
  const digest = digestOf(new Uint8Array([1]), 'sha512')
  expect(isDigest(digest)).toBe(true)
  expect(algorithmOf(digest)).toBe('sha512')
  expect(hexOf(digest)).toHaveLength(128)
})

test('a digest comes apart into algorithm and hex', () => {
  const digest = parseDigest(`sha256:${hex}`)
  expect(algorithmOf(digest)).toBe('sha256')
  expect(hexOf(digest)).toBe(hex)
  expect(shortDigest(digest)).toBe('sha256:e3b0c44298fc')
})

test.each([
  '',
  hex,
  `sha256:${hex.toUpperCase()}`,
  `SHA256:${hex}`,
  `sha256:${hex.slice(1)}`,
  `sha256:${hex}0`,
  `sha256:${hex}\n`,
  ` sha256:${hex}`,
  `sha512:${hex}`,
  `md5:${hex.slice(32)}`,
  `sha256:../../../../../../../../../../../../../../../../../../../../etc/x`,
])('%p is refused', (text) => {
  expect(isDigest(text)).toBe(false)
  expect(() => parseDigest(text)).toThrow(Failure)
})

test('the message of a refusal does not repeat a whole absurd input', () => {
  expect(() => parseDigest('x'.repeat(100_000))).toThrow(/^.{1,250}$/)
})
