/** A node whose log leads to a disk that is full: nobody hears what it says, and it goes on serving. */
import { describe, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { builtBinary, LabNode } from '../lab/node.ts'

const obstacle = existsSync(builtBinary) ? undefined : 'there is no binary: scripts/build'
if (obstacle) console.log(`skipped: a node that cannot write its log: ${obstacle}`)

describe.skipIf(obstacle !== undefined)('a node that cannot write its log', () => {
  test('starts, serves, counts what it could not say, and ends in order', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'shoal-mute-'))
    const binary = join(dir, 'shoal')
    writeFileSync(binary, `#!/bin/sh\nexec '${builtBinary}' "$@" 2> /dev/full\n`, { mode: 0o755 })
    // In text it also speaks to whoever started it, of its end for one.
    const flags = ['--no-mdns', '--log-level', 'debug', '--log-format', 'text']
    const node = new LabNode({ address: '127.0.0.72', dir, binary, flags })
    try {
      await node.ready()
      const refused = `${node.mirror}/v2/nowhere.invalid/app/manifests/v1`
      for (let asked = 0; asked < 25; asked++) {
        expect((await fetch(refused)).status).toBe(404)
        await node.get('/healthz')
        await Bun.sleep(200)
      }
      expect(await node.metric('shoal_log_lines_lost_total')).toBeGreaterThan(20)
      expect(await node.process.stop(20_000)).toBe(0)
    } finally {
      await node.process.stop()
      rmSync(dir, { recursive: true, force: true })
    }
  }, 90_000)
})
