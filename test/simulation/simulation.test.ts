/** Swarms in virtual time. Each test says its seed when it fails; the same seed makes the same run. */
import { describe, expect, test } from 'bun:test'
import { layoutOf } from '../../src/piece/layout.ts'
import type { Outcome, Scenario } from './scenario.ts'
import { simulate } from './simulation.ts'
import { type Summary, summaryOf } from './summary.ts'

const blobBytes = 32 * 1024 * 1024
const rate = 12.5e6
const slowest = ({ finished }: Outcome) => Math.max(...finished.map((ms) => ms ?? Number.POSITIVE_INFINITY))

function run(scenario: Partial<Scenario> & { seed: number; nodes: number }): Outcome & Summary {
  const whole: Scenario = { blobBytes, rate: () => rate, sourceRate: 10 * rate, latencyMs: 1, ...scenario }
  const outcome = simulate(whole)
  return { ...outcome, ...summaryOf(whole, outcome) }
}

/** Runs the scenario with several seeds; one for which `judge` throws is named. */
function withSeeds(seeds: number, judge: (seed: number) => void): void {
  for (let seed = 1; seed <= seeds; seed++) {
    try {
      judge(seed)
    } catch (error) {
      throw new Error(`with seed ${seed}: ${(error as Error).message}`, { cause: error })
    }
  }
}

describe('everyone finishes within a multiple of what a link allows, and the source is read once', () => {
  test.each([
    [4, 1, 1.25],
    [16, 1, 1.45],
    [16, 30, 1.9],
    [64, 1, 1.9],
  ])('with %d nodes and %d ms between them: %d times', (nodes, latencyMs, most) => {
    withSeeds(nodes > 16 ? 1 : 3, (seed) => {
      const { max, unfinished, bytesFromSource } = run({ seed, nodes, latencyMs })
      expect(unfinished).toBe(0)
      expect(max).toBeLessThan(most)
      expect(bytesFromSource).toBe(blobBytes)
    })
  })
})

test('the seed sends hardly more than one copy, however many want it', () => {
  withSeeds(3, (seed) => expect(run({ seed, nodes: 16 }).seedCopies).toBeLessThan(1.5))
})

test('across the line between two sites each piece goes about once, and the far site waits little for it', () => {
  withSeeds(3, (seed) => {
    const zone = (node: number) => (node % 2 === 0 ? `eu/a/r${node % 5}` : `eu/b/r${node % 3}`)
    const { max, unfinished, crossed, bytesFromSource } = run({ seed, nodes: 31, zone })
    expect(unfinished).toBe(0)
    expect(crossed).toBeLessThan(1.1)
    expect(max).toBeLessThan(2)
    expect(bytesFromSource).toBe(blobBytes)
  })
})

test('the far site goes on when the node that fetches for it dies', () => {
  withSeeds(2, (seed) => {
    const zone = (node: number) => (node === 0 ? 'eu/a' : 'eu/b')
    // Who starts first fetches for the others.
    const start = (node: number) => (node === 1 ? 0 : 50)
    const { finished, crossed } = run({ seed, nodes: 16, zone, start, kill: [{ node: 1, at: 1000 }] })
    expect(finished.filter((time) => time === undefined)).toHaveLength(1)
    expect(crossed).toBeLessThan(1.6)
  })
})

test('forty layers at once: the lines are so short that few in them give up', () => {
  const { max, requests, deliveries } = run({
    seed: 4,
    nodes: 16,
    seeds: 0,
    blobs: 40,
    blobBytes: 5e6,
    sourceRate: rate,
  })
  expect(max).toBeLessThan(1.05)
  expect(requests / deliveries).toBeLessThan(1.6)
})

test('a slow source is what everybody waits for, and little more', () => {
  const { max, bytesFromSource } = run({ seed: 5, nodes: 16, sourceRate: rate / 2 })
  expect(max).toBeLessThan(2.4)
  expect(bytesFromSource).toBe(blobBytes)
})

test('a node on a slow link holds up nobody else', () => {
  withSeeds(3, (seed) => {
    const { finished } = run({ seed, nodes: 16, rate: (node) => (node === 3 ? rate / 10 : rate) })
    const limit = (1000 * blobBytes) / rate
    for (const [i, time] of finished.entries()) {
      expect(time).toBeDefined()
      if (i !== 2) expect(time! / limit).toBeLessThan(1.9)
    }
  })
})

test('nodes that start late are served by those that were there, not by the source', () => {
  const { unfinished, bytesFromSource, seedCopies } = run({ seed: 2, nodes: 16, start: (node) => 300 * node })
  expect(unfinished).toBe(0)
  expect(bytesFromSource).toBe(blobBytes)
  expect(seedCopies).toBeLessThan(8)
})

test('nodes that die on the way cost the others little', () => {
  withSeeds(3, (seed) => {
    const kill = [3, 7, 11].map((node, i) => ({ node, at: 700 * (i + 1) }))
    const { unfinished, max, bytesFromSource } = run({ seed, nodes: 16, kill })
    expect(unfinished).toBe(0)
    expect(max).toBeLessThan(2.5)
    expect(bytesFromSource).toBe(blobBytes)
  })
})

test('nodes that lie are banned, and everyone finishes', () => {
  withSeeds(3, (seed) => {
    const { unfinished, banned, bytesFromSource } = run({ seed, nodes: 16, liars: new Set([2, 9]) })
    expect(unfinished).toBe(0)
    expect(banned).toBeGreaterThan(0)
    expect(bytesFromSource).toBe(blobBytes)
  })
})

test('the same seed gives the same outcome, another seed another one', () => {
  const again = () => run({ seed: 42, nodes: 16, kill: [{ node: 4, at: 900 }] })
  const first = again()
  expect(again()).toEqual(first)
  expect(run({ seed: 43, nodes: 16, kill: [{ node: 4, at: 900 }] })).not.toEqual(first)
})

describe('nodes that read the same scattered parts of a blob', () => {
  const bytes = 300e6
  const { count, pieceLength } = layoutOf(bytes)
  const pieces = Array.from({ length: 29 }, (_, i) => (i * 211 + 7) % (count - 1))
  const read = (nodes: number, seed: number, atOnce: number) =>
    simulate({
      ...{ seed, nodes, blobBytes: bytes, rate: () => rate, sourceRate: 10 * rate, latencyMs: 1 },
      parts: { pieces, atOnce },
      limitMs: 60_000,
    })

  test.each([
    [16, 64, 1.6],
    [16, 16, 1.65],
    [16, 4, 1.65],
    [16, 1, 1.1],
    [64, 1, 1.8],
  ])(
    '%d of them, %d at a time: they have nothing else, the source sent it once, and they took less than %d times as long as one',
    (nodes, atOnce, most) => {
      withSeeds(nodes > 16 ? 1 : 3, (seed) => {
        const alone = read(1, seed, atOnce)
        const all = read(nodes, seed, atOnce)
        expect(all.held).toBe(nodes * pieces.length)
        expect(all.bytesFromSource).toBe(pieces.length * pieceLength)
        expect(slowest(all) / slowest(alone)).toBeLessThan(most)
      })
    },
  )
})

describe('nodes that read the same, one piece after the other, from a seed that has all of it', () => {
  const pieces = Array.from({ length: 38 }, (_, i) => (i * 211 + 7) % 399)
  const pieceLength = 256 * 1024
  const read = (scenario: Partial<Scenario> & Pick<Scenario, 'nodes' | 'seed'>) =>
    simulate({
      ...{ blobBytes: 400 * pieceLength, pieceLength, rate: () => rate, sourceRate: rate, latencyMs: 1 },
      parts: { pieces, atOnce: 1, thinkMs: 30 },
      stocked: true,
      limitMs: 200_000,
      ...scenario,
    })

  test.each([
    [12, 100, 1.2],
    [16, 100, 1.2],
    [12, 5, 1.1],
    [16, 5, 1.25],
  ])('%d of them at %d Mbit/s take less than %d times as long as one', (nodes, megabits, most) => {
    withSeeds(3, (seed) => {
      const links = { seed, rate: () => megabits * 125_000 }
      const all = read({ nodes, ...links })
      expect(all.held).toBe(nodes * pieces.length)
      expect(slowest(all) / slowest(read({ nodes: 1, ...links }))).toBeLessThan(most)
    })
  })

  test('are sent each once by the seed, and the rest by each other', () => {
    withSeeds(3, (seed) => {
      const { seedCopies, deliveries, wasted } = read({ seed, nodes: 16 })
      expect((seedCopies * 400) / pieces.length).toBeLessThan(1.05)
      expect(deliveries - wasted).toBe(16 * pieces.length)
    })
  })

  test('go on where one of them dies that passed pieces on, or lies', () => {
    withSeeds(3, (seed) => {
      const alone = slowest(read({ nodes: 1, seed }))
      const dying = read({ seed, nodes: 12, kill: [3, 6, 9].map((node, i) => ({ node, at: 400 * (i + 1) })) })
      expect(dying.finished.filter((ms) => ms === undefined)).toHaveLength(3)
      expect(Math.max(...dying.finished.map((ms) => ms ?? 0)) / alone).toBeLessThan(2)
      const lying = read({ seed, nodes: 12, liars: new Set([5]) })
      expect(lying.held).toBe(12 * pieces.length)
      expect(slowest(lying) / alone).toBeLessThan(1.6)
      expect(lying.banned).toBeGreaterThan(0)
    })
  })
})

test('small blobs that a seed has go through all who want them', () => {
  withSeeds(3, (seed) => {
    const { max, unfinished, seedCopies } = run({ seed, nodes: 16, blobs: 4, blobBytes: 1e6, stocked: true })
    expect(unfinished).toBe(0)
    expect(max).toBeLessThan(1.9)
    expect(seedCopies).toBeLessThan(1.3)
  })
})

describe('the account of where the time goes', () => {
  const account = (scenario: Partial<Scenario>) => {
    const outcome = run({ seed: 3, nodes: 8, looks: 100, ...scenario })
    const { down, up } = outcome.account!
    const sum = Object.values(down).reduce((all, share) => all + share)
    const mean = outcome.finished.reduce((all: number, ms) => all + ms!, 0) / 8 / ((1000 * blobBytes) / rate)
    return { down, up, sum, mean }
  }

  test('adds up to the time that hosts took, and what comes to them is the blob', () => {
    const { down, sum, mean } = account({})
    expect(Math.abs(sum - mean)).toBeLessThan(0.01)
    expect(down.receiving).toBeGreaterThan(0.97)
    expect(down.receiving).toBeLessThan(1.05)
  })

  test('says that a source is slow: links have nothing to send, nobody waits for a turn', () => {
    const { down, up } = account({ sourceRate: rate / 4 })
    expect(down.nothing + down.turn).toBeGreaterThan(1.5)
    expect(up.unasked).toBeGreaterThan(10 * (up.stuck + up.vain))
  })

  test('says that slots are too few: others wait, and links are idle', () => {
    const { up } = account({ uploads: { leastSlots: 1, crowdSlots: 1, mostSlots: 1 }, latencyMs: 30 })
    const enough = account({ latencyMs: 30 })
    expect(up.stuck).toBeGreaterThan(3 * enough.up.stuck)
  })
})
