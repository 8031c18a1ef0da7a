/** What a newcomer runs first: with network namespaces and without, to its end and interrupted. */
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { Lab, scratchRoot } from '../lab/lab.ts'
import { builtBinary } from '../lab/node.ts'
import { until } from '../lab/until.ts'

const missing = ['docker-registry', 'skopeo', 'curl'].filter((program) => !Bun.which(program)).join(', ')
const common = existsSync(builtBinary) ? missing : 'there is no binary: scripts/build'
const stages = [
  { how: 'on hosts of a lab', flags: [], obstacle: common || (await Lab.obstacle()), signal: 'SIGINT', status: 130 },
  { how: 'on loopback', flags: ['--loopback'], obstacle: common, signal: 'SIGTERM', status: 143 },
] as const
for (const { how, obstacle } of stages) if (obstacle) console.log(`skipped: the demo ${how}: ${obstacle}`)

const script = join(import.meta.dir, '../../scripts/demo.ts')

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(scratchRoot, 'shoal-demo-test-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

function demo(...flags: string[]) {
  return Bun.spawn([process.execPath, script, '--hosts', '2', '--size', '8', ...flags], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    // All that it writes is in there.
    env: { ...process.env, TMPDIR: dir },
  })
}

/** Command lines of programs that have to do with that folder, the demo itself apart. */
function programs(): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return []
    try {
      const line = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      return line.includes(dir) ? [line] : []
    } catch {
      return []
    }
  })
}

/** Network namespaces of the labs that have folders of such names. */
function namespacesOf(folders: readonly string[]): string[] {
  const labs = folders.map((name) => name.slice(0, name.lastIndexOf('-') + 1))
  return existsSync('/run/netns')
    ? readdirSync('/run/netns').filter((name) => labs.some((lab) => name.startsWith(lab)))
    : []
}

describe.each([...stages])('the demo $how', ({ flags, obstacle, signal, status }) => {
  test.skipIf(obstacle !== '' && obstacle !== undefined)(
    'shows that both hosts get the image, and that the registry sends it once',
    async () => {
      const child = demo(...flags)
      const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
      expect({ code, err }).toEqual({ code: 0, err: '' })
      const [, times] = /2 pulls through shoal .* ([\d.]+) x the image/.exec(out) ?? []
      expect(Number(times)).toBeGreaterThan(0.95)
      expect(Number(times)).toBeLessThan(1.2)
      expect([programs(), readdirSync(dir)]).toEqual([[], []])
    },
    120_000,
  )

  test.skipIf(obstacle !== '' && obstacle !== undefined)(
    'leaves nothing when it is interrupted',
    async () => {
      const child = demo(...flags)
      const nodes = () => programs().filter((line) => line.includes(`${builtBinary} up`))
      await until('it has started both nodes', 60, () => nodes().length >= 2)
      const folders = readdirSync(dir)
      // Of the switch, the registry and the hosts.
      expect(namespacesOf(folders)).toHaveLength(flags.length === 0 ? 4 : 0)
      child.kill(signal)
      expect(await child.exited).toBe(status)
      await until('its programs have ended', 10, () => programs().length === 0)
      expect(readdirSync(dir)).toEqual([])
      expect(namespacesOf(folders)).toEqual([])
    },
    120_000,
  )
})
