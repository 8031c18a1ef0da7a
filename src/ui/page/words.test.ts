import { expect, test } from 'bun:test'
import { ago, bytes, count, hostOf, left, rate, share, shortDigest, shortNode, span } from './words.ts'

test('sizes have one digit after the point at most, and bytes none', () => {
  expect([0, 999, 1536, 52_428_800, 3 * 1024 ** 3].map(bytes)).toEqual(['0 B', '999 B', '1.5 KiB', '50 MiB', '3 GiB'])
})

test('what hardly moves is a dash', () => {
  expect([0, 300, 2048].map(rate)).toEqual(['–', '–', '2 KiB/s'])
})

test('what is not whole is not at 100%', () => {
  expect([share(999, 1000), share(1000, 1000), share(5, 0), share(7, 5)]).toEqual([99, 100, 0, 100])
})

test('times are told in the two largest units, and what is nothing of one is left out', () => {
  expect([0, 59, 60, 3725, 90_061].map(span)).toEqual(['0s', '59s', '1m', '1h 2m', '1d 1h'])
  const now = Date.parse('2026-01-01T12:00:00Z')
  expect([ago('2026-01-01T11:59:58Z', now), ago('2026-01-01T10:30:00Z', now)]).toEqual(['just now', '1h ago'])
  expect(left('2026-01-01T12:41:05Z', now)).toBe('41m 5s')
})

test('names are cut to what tells them apart', () => {
  expect(shortNode('12D3KooWSelfSelfSelfAbCd1234')).toBe('…AbCd1234')
  expect(shortDigest(`sha256:${'0123456789abcdef'.repeat(4)}`)).toBe('0123456789ab')
  expect([hostOf('http://10.0.0.7:4881'), hostOf('https://[fd00::7]:4881'), hostOf('odd')]).toEqual([
    '10.0.0.7',
    '[fd00::7]',
    'odd',
  ])
})

test('one is not many', () => {
  expect([count(1, 'node'), count(0, 'node'), count(1200, 'node')]).toEqual(['1 node', '0 nodes', '1,200 nodes'])
})
