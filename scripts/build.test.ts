import { afterEach, beforeEach, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../test/lab/until.ts'

const root = join(import.meta.dir, '..')
let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-build-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

/** Folders that builds work in. */
function working(): string[] {
  const dist = join(root, 'dist')
  return existsSync(dist) ? readdirSync(dist).filter((name) => name.startsWith('build.')) : []
}

test.each(['SIGINT', 'SIGTERM'] as const)(
  'a build that is ended by %s leaves nothing',
  async (signal) => {
    // Stands in for Bun, and takes its time.
    const began = join(dir, 'began')
    mkdirSync(join(dir, 'bin'))
    const bun = `#!/bin/sh\ncase $1 in --version) echo ${Bun.version};; build) touch ${began}; exec sleep 60;; esac\n`
    writeFileSync(join(dir, 'bin/bun'), bun, { mode: 0o755 })
    const before = working()
    const child = Bun.spawn([join(root, 'scripts/build')], {
      env: { ...process.env, PATH: `${join(dir, 'bin')}:${process.env.PATH}` },
      stdio: ['ignore', 'ignore', 'ignore'],
      // With a process group, as a terminal gives it one.
      detached: true,
    })
    await until('it has begun', 20, () => existsSync(began))
    const own = working().filter((name) => !before.includes(name))
    expect(own).not.toEqual([])
    process.kill(-child.pid, signal)
    expect(await child.exited).toBe(1)
    expect(working().filter((name) => own.includes(name))).toEqual([])
  },
  30_000,
)
