/** Replication between two clusters of real nodes: pushed to one with skopeo, equal on both after an outage. */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { scratchRoot } from '../../lab/lab.ts'
import { replicatedOverOutage } from '../../lab/replicated.ts'

const program = Bun.which('skopeo')
if (program === null) console.log('skipped: replication between clusters: skopeo is not installed')

describe.skipIf(program === null)('what is pushed to one cluster while another is away', () => {
  let dir = ''
  beforeAll(() => {
    dir = mkdtempSync(join(scratchRoot, 'shoal-replication-'))
  })
  afterAll(() => rmSync(dir, { recursive: true, force: true }))

  test('is there when that is back: every tag and every digest', async () => {
    const addresses = ['127.0.91.1', '127.0.91.2'] as const
    const report = await replicatedOverOutage({ dir, addresses, pushes: 12, outageSeconds: 1, killSource: true })
    expect(report.tags).toBe(9)
    expect(report.waited).toBeGreaterThan(0)
  }, 120_000)
})
