import { expect, test } from 'bun:test'
import { parseRecord } from './mdns.ts'

const id = '12D3KooWGRUVh9oUJ5vzbGpeyvoN7fXYZMmJXCxqYcbFTyyHDKVj'

test('a record names a node and where it is', () => {
  expect(parseRecord([`id=${id}`, 'at=/ip4/10.0.0.7/tcp/4882', 'other=1'])).toEqual({
    id,
    addresses: ['/ip4/10.0.0.7/tcp/4882'],
  })
})

test.each([[[]], [['at=/ip4/10.0.0.7/tcp/4882']], [[`id=${id}`]], [['id=<script>', 'at=/ip4/10.0.0.7/tcp/4882']]])(
  'the record %j names no node',
  (texts) => {
    expect(parseRecord(texts)).toBeUndefined()
  },
)

test('no more addresses are taken than a node has', () => {
  const many = Array.from({ length: 100 }, (_, i) => `at=/ip4/10.0.0.7/tcp/${i + 1}`)
  expect(parseRecord([`id=${id}`, ...many])?.addresses.length).toBe(8)
})
