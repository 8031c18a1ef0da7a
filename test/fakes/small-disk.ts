/** A real full disk: a tmpfs in a mount namespace of a child's own, so that nothing is left behind. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const alone = ['unshare', '--user', '--map-root-user', '--mount']

/** Whether this machine lets a user make such a namespace. */
export const smallDisks = Bun.which('unshare') !== null && Bun.spawnSync([...alone, 'true']).success
if (!smallDisks) console.warn('skipped: a full disk, because users cannot make namespaces here')

/**
 * What a script of this folder prints, which mounts its disk on the folder that it is given. `within` is in ms.
 * @throws {Error} with what it said, when it fails
 */
export function inSmallDisk(script: string, within: number): unknown {
  const dir = mkdtempSync(join(tmpdir(), 'shoal-full-'))
  try {
    const command = [...alone, process.execPath, join(import.meta.dir, script), dir]
    const { stdout, stderr } = Bun.spawnSync(command, { timeout: within })
    if (stderr.length > 0) throw new Error(stderr.toString())
    return JSON.parse(stdout.toString())
  } finally {
    rmSync(dir, { recursive: true })
  }
}
