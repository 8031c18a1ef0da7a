/** The unit of the service, as systemd's own judge of such files sees it. */
import { expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const unit = join(import.meta.dir, '../systemd/shoal.service')
const judge = Bun.which('systemd-analyze')

test.skipIf(judge === null)('the service is exposed to little: 2 of 10 at most', () => {
  const { stdout, stderr } = Bun.spawnSync([judge!, 'security', '--offline=true', '--no-pager', unit])
  const level = /exposure level for \S+: ([\d.]+)/.exec(stdout.toString())?.[1]
  expect(Number(level ?? Number.NaN), stderr.toString()).toBeLessThanOrEqual(2)
})

test('the service is no root, has no capability, and can write nowhere but where its data is', () => {
  const lines = readFileSync(unit, 'utf8').split('\n')
  for (const line of ['User=shoal', 'CapabilityBoundingSet=', 'AmbientCapabilities=', 'ProtectSystem=strict']) {
    expect(lines).toContain(line)
  }
  expect(lines.filter((line) => line.startsWith('ReadWritePaths='))).toEqual([])
})
