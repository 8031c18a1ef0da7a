import { afterEach, beforeEach, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { applied } from './apply.ts'
import { Disk } from './disk.ts'

let dir: string
let dockerd: Bun.Subprocess | undefined
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-apply-'))
})
afterEach(async () => {
  dockerd?.kill('SIGKILL')
  await dockerd?.exited
  rmSync(dir, { recursive: true })
})

/** What calls itself dockerd, listens nowhere, and reads its file a while after it is told to. */
async function startDockerd(file: string, read: string): Promise<void> {
  const script = `trap 'sleep 0.05; cat "$2" > ${read}.part; mv ${read}.part ${read}' HUP; echo; while :; do sleep 0.01; done`
  dockerd = Bun.spawn(['bash', '-c', script, 'dockerd', '--config-file', file], {
    argv0: 'dockerd',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const output = dockerd.stdout as ReadableStream<Uint8Array>
  await output.getReader().read()
}

test.each(['{ "debug": true }', '{ "registry-mirrors": null }', undefined])(
  'a dockerd that cannot be asked has read that there are no mirrors before its file is %s again',
  async (text) => {
    const [file, read] = [join(dir, 'daemon.json'), join(dir, 'read')]
    if (text !== undefined) writeFileSync(file, text)
    await startDockerd(file, read)
    const setting = { engine: 'docker', file, flags: [] } as const
    const asleep: number[] = []
    const sleep = async (ms: number) => {
      asleep.push(ms)
      for (let i = 0; i < 500 && !existsSync(read); i++) await Bun.sleep(10)
    }
    const outcome = await applied(setting, 'reload', new Disk('/'), sleep)
    expect(outcome).toEqual({ state: 'told', said: `dockerd (pid ${dockerd?.pid}) was told to read ${file} (SIGHUP)` })
    expect(asleep).toEqual([5000])
    expect(existsSync(file) ? readFileSync(file, 'utf8') : undefined).toBe(text)
    for (let i = 0; i < 500 && !existsSync(read); i++) await Bun.sleep(10)
    expect(JSON.parse(readFileSync(read, 'utf8'))['registry-mirrors']).toEqual([])
  },
)
