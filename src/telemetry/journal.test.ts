import { expect, test } from 'bun:test'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What a process writes whose JOURNAL_STREAM is `named` of the file that is its standard error. */
function written(named: (stream: string) => string): string {
  const dir = mkdtempSync(join(tmpdir(), 'shoal-journal-'))
  const path = join(dir, 'stream')
  const stderr = openSync(path, 'w')
  try {
    const { dev, ino } = statSync(path)
    const program = `import { createLog } from '${import.meta.dir}/pino.ts'
      createLog({ level: 'info', format: 'json', color: false }).error('a')`
    const env = { ...process.env, JOURNAL_STREAM: named(`${dev}:${ino}`) }
    Bun.spawnSync([process.execPath, '-e', program], { env, stderr })
    return readFileSync(path, 'utf8')
  } finally {
    closeSync(stderr)
    rmSync(dir, { recursive: true })
  }
}

test('the journal is the stream that systemd names, and no other that has inherited the name', () => {
  expect(written((stream) => stream)).toStartWith('<3>{"level":"error"')
  expect(written((stream) => `${stream}0`)).toStartWith('{"level":"error"')
})
