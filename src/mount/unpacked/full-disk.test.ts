/** A real full disk: a tmpfs in a mount namespace of the child's own, so that nothing is left behind. */
import { expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

const namespaces =
  Bun.which('unshare') !== null && Bun.spawnSync(['unshare', '--user', '--map-root-user', '--mount', 'true']).success
const child = join(import.meta.dir, '../../../test/fakes/full-unpacked.ts')

test.skipIf(!namespaces)(
  'what comes in the background and does not fit is not fetched over and over, and its layer can be let go',
  () => {
    const dir = mkdtempSync(join(tmpdir(), 'shoal-full-'))
    try {
      const script = join(import.meta.dir, '../../../test/fakes/full-prefetch.ts')
      const command = ['unshare', '--user', '--map-root-user', '--mount', process.execPath, script, dir]
      const { stdout, stderr } = Bun.spawnSync(command, { timeout: 40_000 })
      expect(stderr.toString()).toBe('')
      expect(JSON.parse(stdout.toString())).toEqual({ told: true, seldom: true, closed: true })
    } finally {
      rmSync(dir, { recursive: true })
    }
  },
  60_000,
)

test.skipIf(!namespaces)(
  'on a full disk layers that nobody mounts make room, and what does not fit is served from memory, and told',
  () => {
    const dir = mkdtempSync(join(tmpdir(), 'shoal-full-'))
    try {
      const command = ['unshare', '--user', '--map-root-user', '--mount', process.execPath, child, dir]
      const { stdout, stderr } = Bun.spawnSync(command, { timeout: 30_000 })
      expect(stderr.toString()).toBe('')
      expect(JSON.parse(stdout.toString())).toEqual({
        right: [true, true, true],
        askedAgain: 0,
        evicted: true,
        told: true,
        kept: true,
        whole: false,
      })
    } finally {
      rmSync(dir, { recursive: true })
    }
  },
  60_000,
)

test.skipIf(!namespaces)(
  'on a full disk a layer is mounted all the same where others can go for it that nobody mounts',
  () => {
    const dir = mkdtempSync(join(tmpdir(), 'shoal-full-'))
    try {
      const script = join(import.meta.dir, '../../../test/fakes/full-open.ts')
      const command = ['unshare', '--user', '--map-root-user', '--mount', process.execPath, script, dir]
      const { stdout, stderr } = Bun.spawnSync(command, { timeout: 50_000 })
      expect(stderr.toString()).toBe('')
      expect(JSON.parse(stdout.toString())).toEqual({
        indexed: ['open', 2],
        known: ['open', 1],
        whole: ['open', 2],
        refused:
          'the layer unpacks to more than the 0 MiB that there is room for in DIR, with 64 MiB left free; free some space there',
      })
    } finally {
      rmSync(dir, { recursive: true })
    }
  },
  60_000,
)
