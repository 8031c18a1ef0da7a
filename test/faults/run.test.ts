import { afterEach, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { scratchRoot } from '../lab/lab.ts'
import { LabProcess } from '../lab/process.ts'
import { until } from '../lab/until.ts'
import type { Scene } from './fault.ts'
import { tryFault } from './run.ts'

let folder: string | undefined
let soak: LabProcess | undefined
afterEach(async () => {
  await soak?.kill()
  if (folder) rmSync(folder, { recursive: true })
  folder = soak = undefined
})

function made(): string {
  folder = mkdtempSync(join(scratchRoot, 'shoal-run-'))
  return folder
}

/** A program that does not end by itself, and what it said. */
function sleeper({ dir, processes }: Pick<Scene, 'dir' | 'processes'>): LabProcess {
  const process = new LabProcess(['sh', '-c', 'echo hello; exec sleep 600'], { log: join(dir, 'node.log') })
  processes.push(process)
  return process
}

test('an interrupted round leaves no program and no folder', async () => {
  const note = join(made(), 'note')
  const program = `
    import { writeFileSync } from 'node:fs'
    import { tryFault } from '${import.meta.dir}/run.ts'
    import { LabProcess } from '${import.meta.dir}/../lab/process.ts'
    const round = async ({ dir, processes }) => {
      const child = new LabProcess(['sleep', '600'], { log: dir + '/node.log' })
      processes.push(child)
      writeFileSync('${note}.part', JSON.stringify({ dir, pid: child.pid }))
      ;(await import('node:fs')).renameSync('${note}.part', '${note}')
      await new Promise(() => {})
    }
    await tryFault({ name: 'stuck', boundSeconds: 600, round }, 1)`
  writeFileSync(`${note}.ts`, program)
  soak = new LabProcess([process.execPath, `${note}.ts`], { log: `${note}.log` })
  await until('the round has begun', 20, () => existsSync(note) || !soak!.running)
  expect(readFileSync(`${note}.log`, 'utf8')).toBe('')
  const { dir, pid } = JSON.parse(readFileSync(note, 'utf8')) as { dir: string; pid: number }
  expect(existsSync(`/proc/${pid}/exe`)).toBe(true)
  process.kill(soak.pid, 'SIGTERM')
  expect(await soak.exited).toBe(143)
  expect(existsSync(`/proc/${pid}/exe`)).toBe(false)
  expect(existsSync(dir)).toBe(false)
}, 40_000)

test('what programs logged in a round that failed is kept, and of one that held nothing is', async () => {
  const logs = join(made(), 'logs')
  const round = async (scene: Scene) => {
    const child = sleeper(scene)
    scene.undo.defer(() => child.kill())
    await until('it has said something', 10, () => child.logged() !== '', 10)
    if (scene.random() >= 0) throw new Error('otherwise')
    return 'held'
  }
  const failed = await tryFault({ name: 'a disk, full', boundSeconds: 20, round }, 7, logs)
  expect(failed).toMatchObject({ held: false, remark: 'otherwise', seed: 7 })
  const [kept] = readdirSync(join(logs, 'a-disk-full-7'))
  expect(readFileSync(join(logs, 'a-disk-full-7', kept!), 'utf8')).toBe('hello\n')

  const held = await tryFault({ name: 'nothing', boundSeconds: 20, round: async () => 'held' }, 1, logs)
  expect(held).toMatchObject({ held: true, remark: 'held' })
  expect(readdirSync(logs)).toEqual(['a-disk-full-7'])
}, 30_000)

test('a round that goes on for too long has failed', async () => {
  const round = () => new Promise<string>(() => {})
  const { held, remark } = await tryFault({ name: 'endless', boundSeconds: 0.05, round }, 1)
  expect({ held, remark }).toEqual({ held: false, remark: 'still going on after 0.05 s: endless' })
})
