import { describe, expect, test } from 'bun:test'
import { Lab } from '../lab/lab.ts'
import { race } from '../lab/race.ts'

const obstacle = await Lab.obstacle()
if (obstacle) console.log(`skipped: swarms of hosts: ${obstacle}`)

const races = [
  { arrangement: 'all', hosts: 8, how: 'that found each other by mDNS' },
  { arrangement: 'join', hosts: 4, how: 'with a seed list and no mDNS' },
  { arrangement: 'split', hosts: 8, how: 'that are one scheduler, one seed and six peers' },
] as const

describe.skipIf(obstacle !== undefined)('a cold image pulled by all hosts at once', () => {
  test.each(races)(
    'reaches $hosts nodes $how, and leaves the source once',
    async ({ arrangement, hosts }) => {
      const { runners, ratio, sourceShare, plainSeconds, slowestSeconds } = await race({
        arrangement,
        hosts,
        size: 40e6,
        rate: '100mbit',
      })
      const pullers = runners.filter(({ seconds }) => seconds !== undefined)
      console.log(
        `${arrangement}, ${hosts} hosts: plain ${plainSeconds.toFixed(1)} s, slowest ${slowestSeconds.toFixed(1)} s, ` +
          `ratio ${ratio.toFixed(2)}; the source sent ${sourceShare.toFixed(3)} times the image`,
      )
      expect(pullers).toHaveLength(arrangement === 'split' ? hosts - 2 : hosts)
      expect(sourceShare).toBeGreaterThanOrEqual(1)
      expect(sourceShare).toBeLessThanOrEqual(1.05)
      // Without shoal that many hosts share the registry's link. How much faster it is, is a benchmark's business.
      expect(ratio).toBeLessThan(pullers.length)
      for (const { fromPeers, fromSource } of pullers) expect(fromPeers + fromSource).toBeGreaterThanOrEqual(40e6)
    },
    120_000,
  )
})
