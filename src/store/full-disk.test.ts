/** A real full disk: a tmpfs in a mount namespace of the child's own, so that nothing is left behind. */
import { expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

const namespaces =
  Bun.which('unshare') !== null && Bun.spawnSync(['unshare', '--user', '--map-root-user', '--mount', 'true']).success
const child = join(import.meta.dir, '../../test/fakes/full-disk.ts')

test.skipIf(!namespaces)(
  'on a full disk old blobs make room, new ones fail cleanly, and the store opens again',
  () => {
    const dir = mkdtempSync(join(tmpdir(), 'shoal-full-'))
    try {
      const command = ['unshare', '--user', '--map-root-user', '--mount', process.execPath, child, dir]
      const { stdout, stderr } = Bun.spawnSync(command, { timeout: 30_000 })
      expect(stderr.toString()).toBe('')
      expect(JSON.parse(stdout.toString())).toEqual({ evicted: true, failures: ['no-space'], whole: true, wrong: [] })
    } finally {
      rmSync(dir, { recursive: true })
    }
  },
  60_000,
)
