import { afterEach, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { scratchRoot } from './lab.ts'
import { LabProcess } from './process.ts'
import { until } from './until.ts'

const module = join(import.meta.dir, 'process.ts')
let dir: string | undefined
afterEach(() => {
  if (dir) rmSync(dir, { recursive: true })
  dir = undefined
})

/** A program that says the pids of what it started in `notes`, one a line, and how it ended. */
async function ending(program: string, signal?: NodeJS.Signals): Promise<{ code: number; pids: number[] }> {
  dir = mkdtempSync(join(scratchRoot, 'shoal-process-'))
  const notes = join(dir, 'notes')
  const script = `
    import { appendFileSync } from 'node:fs'
    import { LabProcess } from '${module}'
    const start = () => new LabProcess(['sh', '-c', 'sleep 600 & sleep 600'], { log: '${dir}/log' })
    const note = (child) => appendFileSync('${notes}', child.pid + '\\n')
    ${program}`
  const child = Bun.spawn([process.execPath, '-e', script], { stdout: 'ignore', stderr: 'ignore' })
  if (signal) {
    await until(
      'it has started both',
      20,
      () => existsSync(notes) && readFileSync(notes, 'utf8').split('\n').length > 2,
    )
    child.kill(signal)
  }
  const code = await child.exited
  return { code, pids: readFileSync(notes, 'utf8').trim().split('\n').map(Number) }
}

/** Nothing of their groups is left: killed, it may take a moment. */
async function gone(pids: readonly number[]): Promise<void> {
  await until('their groups are gone', 10, () => pids.every((pid) => !groupLives(pid)))
}

function groupLives(pid: number): boolean {
  try {
    return process.kill(-pid, 0)
  } catch {
    return false
  }
}

const both = 'note(start()); note(start());'

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('programs do not outlive %s', async (signal, status) => {
  const { code, pids } = await ending(`${both} await Bun.sleep(60_000)`, signal)
  expect(code).toBe(status)
  await gone(pids)
})

test.each([
  ['before', `process.on('exit', left); ${both}`],
  ['after', `${both} process.on('exit', left);`],
])('what was to be done at the exit %s the first program is done', async (_, program) => {
  const { code, pids } = await ending(
    `const left = () => note({ pid: 1e9 }); ${program} await Bun.sleep(60_000)`,
    'SIGTERM',
  )
  expect(code).toBe(143)
  expect(pids.pop()).toBe(1e9)
  await gone(pids)
})

test('programs do not outlive an error', async () => {
  const { code, pids } = await ending(`${both} throw new Error('on purpose')`)
  expect(code).toBe(1)
  await gone(pids)
})

test('nothing listens to signals once all have ended', async () => {
  dir = mkdtempSync(join(scratchRoot, 'shoal-process-'))
  const before = process.listenerCount('SIGTERM')
  const [one, two] = [1, 2].map(() => new LabProcess(['sleep', '600'], { log: join(dir!, 'log') }))
  expect(process.listenerCount('SIGTERM')).toBe(before + 1)
  await one!.kill()
  expect(process.listenerCount('SIGTERM')).toBe(before + 1)
  await two!.stop()
  expect(process.listenerCount('SIGTERM')).toBe(before)
})
