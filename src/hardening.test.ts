import { expect, test } from 'bun:test'
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const script = `
  import { harden } from ${JSON.stringify(join(import.meta.dir, 'hardening.ts'))}
  import { dlopen } from 'bun:ffi'
  import { writeFileSync } from 'node:fs'
  const wrong = harden()
  writeFileSync('made', '')
  const { prctl } = dlopen('libc.so.6', { prctl: { args: ['i32'], returns: 'i32' } }).symbols
  const dumpable = prctl(3)
  const child = Bun.spawnSync(['grep', 'NoNewPrivs', '/proc/self/status']).stdout.toString()
  console.log(JSON.stringify({ wrong, dumpable, child: child.replace(/\\s+/g, ' ').trim() }))
`

// The script asks glibc.
test.skipIf(!existsSync('/lib/x86_64-linux-gnu') && !existsSync('/lib/aarch64-linux-gnu'))(
  'a process that was hardened makes files for its user alone, leaves no core, and starts nothing with more rights',
  () => {
    const dir = mkdtempSync(join(tmpdir(), 'shoal-hardening-'))
    try {
      const child = Bun.spawnSync([process.execPath, '-e', script], { cwd: dir, timeout: 20_000 })
      expect(child.stderr.toString()).toBe('')
      expect(JSON.parse(child.stdout.toString())).toEqual({ dumpable: 0, child: 'NoNewPrivs: 1' })
      expect(statSync(join(dir, 'made')).mode & 0o777).toBe(0o600)
    } finally {
      rmSync(dir, { recursive: true })
    }
  },
)
