import { expect, test } from 'bun:test'
import { parseContentLength, parseContentRange } from './content-range.ts'

test.each([
  ['bytes 0-99/1000', { start: 0, end: 100, size: 1000 }],
  ['bytes 5-5/*', { start: 5, end: 6, size: undefined }],
  ['bytes 900-999/1000', { start: 900, end: 1000, size: 1000 }],
  ['bytes 900-1000/1000', undefined],
  ['bytes 5-4/1000', undefined],
  ['bytes */1000', undefined],
  ['items 0-9/10', undefined],
  ['bytes 0-9999999999999999/*', undefined],
  [null, undefined],
])('the range in %p is %p', (header, range) => {
  expect(parseContentRange(header)).toEqual(range)
})

test.each([
  ['0', 0],
  ['1234', 1234],
  ['', undefined],
  ['-1', undefined],
  ['0x10', undefined],
  ['12, 12', undefined],
  [null, undefined],
])('the length in %p is %p', (header, length) => {
  expect(parseContentLength(header)).toBe(length)
})
