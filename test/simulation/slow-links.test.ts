import { describe, expect, test } from 'bun:test'
import { simulate } from './simulation.ts'

const MiB = 1024 * 1024
const rate = 12.5e6
const blobBytes = 96 * MiB
const limit = (1000 * blobBytes) / rate

describe('a quarter of the nodes on links of a tenth', () => {
  for (const nodes of [8, 16]) {
    test(`keeps ${nodes - nodes / 4} others waiting for little more than they need by themselves`, () => {
      const fast = nodes - nodes / 4
      for (const seed of [1, 2, 3]) {
        const { finished, bytesFromSource } = simulate({
          seed,
          nodes,
          seeds: 0,
          blobBytes,
          rate: (node) => (node < fast ? rate : rate / 10),
          sourceRate: rate,
          limitMs: 20 * limit,
        })
        const times = finished.map((ms) => (ms ?? Number.POSITIVE_INFINITY) / limit)
        expect(Math.max(...times.slice(0, fast)), `seed ${seed}`).toBeLessThan(1.6)
        // A link of a tenth needs ten times as long, and its node is not given up.
        expect(Math.max(...times), `seed ${seed}`).toBeLessThan(11.5)
        expect(bytesFromSource).toBe(blobBytes)
      }
    })
  }
})
