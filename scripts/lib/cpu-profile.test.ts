import { describe, expect, test } from 'bun:test'
import { type CpuProfile, conceptOf, fileOf, samplesByConcept } from './cpu-profile.ts'

describe('the file of a frame', () => {
  test.each([
    ['file:///home/a/shoal/src/wire/session.ts', 'src/wire/session.ts'],
    ['/home/a/src/shoal/node_modules/@libp2p/tcp/dist/src/index.js', 'npm:@libp2p/tcp'],
    ['/a/node_modules/hono/node_modules/inner/x.js', 'npm:inner'],
    ['node:fs', ''],
    ['', ''],
  ])('%s is %p', (url, file) => {
    expect(fileOf(url)).toBe(file)
  })
})

describe('a sample counts as', () => {
  const stack = (...frames: [name: string, file: string][]) => frames.map(([name, file]) => ({ name, file }))
  test.each([
    ['SHA-256', stack(['update', ''], ['pieceDigest', 'src/piece/metainfo.ts'], ['take', 'src/swarm/arrivals.ts'])],
    ['reading and writing files', stack(['readCb', ''], ['read', ''], ['readAt', 'src/store/open-files.ts'])],
    ['src/swarm', stack(['update', ''], ['apply', 'src/swarm/download.ts'])],
    ['src/main.ts', stack(['main', 'src/main.ts'])],
    ['libp2p, and what it brings', stack(['encrypt', 'npm:@noble/ciphers'], ['x', 'npm:@libp2p/utils'])],
    ['npm:hono', stack(['dispatch', 'npm:hono'], ['fetch', 'src/wire/peer-app.ts'])],
    ['the runtime by itself', stack(['(garbage collector)', ''])],
  ])('%s', (concept, frames) => {
    expect(conceptOf(frames)).toBe(concept)
  })
})

test('samples before and after the time that is looked at are left out', () => {
  const frame = (functionName: string, url: string) => ({ functionName, url })
  const profile: CpuProfile = {
    nodes: [
      { id: 1, callFrame: frame('(root)', ''), children: [2, 3] },
      { id: 2, callFrame: frame('start', '/x/src/node.ts') },
      { id: 3, callFrame: frame('take', '/x/src/swarm/arrivals.ts'), children: [4] },
      { id: 4, callFrame: frame('set', '') },
    ],
    samples: [2, 3, 4, 4, 2],
    timeDeltas: [1000, 1000, 1000, 1000, 1000],
    startTime: 5_000_000,
  }
  expect([...samplesByConcept(profile, 5002, 5004)]).toEqual([['src/swarm', 3]])
})
