import { expect, test } from 'bun:test'
import { candidates, firstAnswering } from './standby.ts'

const node = (i: number, modes = ['peer']) => ({ id: `node-${i}`, url: `http://10.0.0.${i}:4881`, modes })
const eight = [1, 2, 3, 4, 5, 6, 7, 8].map((i) => node(i, i < 3 ? ['seed', 'scheduler'] : ['peer']))

test('all others are tried, as any of them may be the one that listens: seeds first, and this node never', () => {
  const tried = candidates('node-1', eight, 4880)
  expect(tried).toHaveLength(7)
  expect(tried[0]).toBe('10.0.0.2:4880')
  expect(candidates('node-9', eight, 4880).slice(0, 2).sort()).toEqual(['10.0.0.1:4880', '10.0.0.2:4880'])
  for (const self of eight.map(({ id }) => id)) {
    expect(candidates(self, eight, 4880)).not.toContain(`10.0.0.${self.slice(5)}:4880`)
  }
})

test('the hosts of a cluster do not all lean on one node', () => {
  const peers = Array.from({ length: 80 }, (_, i) => node(i + 1))
  expect(candidates('node-1', peers, 4880)).toHaveLength(64)
  const first = new Set(peers.map(({ id }) => candidates(id, peers, 4880)[0]))
  expect(first.size).toBeGreaterThan(10)
})

test('IPv6 addresses are written as in URLs', () => {
  expect(candidates('a', [{ id: 'b', url: 'http://[fd00::7]:4881', modes: [] }], 4880)).toEqual(['[fd00::7]:4880'])
})

test('the first in order that answers is taken, not the first to answer', async () => {
  const ask = async (address: string) => {
    if (address === 'b') await Promise.resolve()
    return address !== 'a'
  }
  expect(await firstAnswering(['a', 'b', 'c'], ask)).toBe('b')
  expect(await firstAnswering(['a'], ask)).toBeUndefined()
  expect(await firstAnswering([], ask)).toBeUndefined()
})
