import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'
import { decodeIndex } from '../../../src/layer-index/decode.ts'
import { digestOf } from '../../../src/oci/digest.ts'

const main = join(import.meta.dir, '../../../src/main.ts')
let dir: string
const at = (name: string) => join(dir, name)
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const tar = pack()
let layer = Buffer.alloc(0)
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-layer-index-'))
  tar.entry({ name: 'bin/program' }, Buffer.from('a program that says nothing '.repeat(90_000)))
  tar.finalize()
  const parts: Buffer[] = []
  for await (const part of tar) parts.push(part as Buffer)
  layer = Buffer.concat(parts)
})

/** The lines it printed. */
async function run(...args: string[]): Promise<unknown[]> {
  const child = Bun.spawn([process.execPath, main, 'layer-index', ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
  const text = await new Response(child.stdout).text()
  expect(await child.exited).toBe(0)
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('it did not come about within 20 s')
    await Bun.sleep(20)
  }
}

describe('shoal layer-index', () => {
  test('writes the index of a layer, and finds it right or wrong afterwards', async () => {
    const gz = gzipSync(layer)
    writeFileSync(at('layer'), gz)
    const made = (await run(at('layer'), at('index'))).at(-1)
    expect(made).toMatchObject({ layer: digestOf(gz), diffId: digestOf(layer) })
    const bytes = readFileSync(at('index'))
    expect(decodeIndex(bytes)).toMatchObject({ layer: digestOf(gz), size: layer.length })
    expect((await run('--check', at('layer'), at('index'))).at(-1)).toMatchObject({ verdict: 'right' })
    bytes[bytes.length >> 1]! ^= 1
    writeFileSync(at('index'), bytes)
    expect((await run('--check', at('layer'), at('index'))).at(-1)).toMatchObject({ verdict: 'wrong' })
  }, 60_000)

  test('says why there is no index, and leaves none', async () => {
    writeFileSync(at('cut'), gzipSync(layer).subarray(0, 500))
    expect((await run(at('cut'), at('none'))).at(-1)).toMatchObject({
      code: 'corrupt',
      message: expect.stringContaining('ends too early'),
    })
    expect(existsSync(at('none'))).toBe(false)
  }, 60_000)

  test('gives way to every other process, and ends with the one that started it', async () => {
    // Nobody writes into the pipe: the child waits for its layer as long as it lives.
    expect(Bun.spawnSync(['mkfifo', at('pipe')]).exitCode).toBe(0)
    const script = '"$0" "$1" layer-index "$2" "$3" & echo $!; wait'
    const parent = Bun.spawn(['sh', '-c', script, process.execPath, main, at('pipe'), at('never')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let child = 0
    try {
      const { value } = await parent.stdout.getReader().read()
      child = Number(new TextDecoder().decode(value))
      const proc = (name: string) => readFileSync(`/proc/${child}/${name}`, 'utf8')
      const nice = () =>
        Number(
          proc('stat')
            .replace(/^.*\) /s, '')
            .split(' ')[16],
        )
      await until(() => nice() === 19 && proc('oom_score_adj').trim() === '1000')
      // One limit is set after the other.
      for (const limit of [/Max core file size +0 /, /Max cpu time +18\d\d /]) {
        await until(() => limit.test(proc('limits')))
      }
      parent.kill('SIGKILL')
      await until(() => !existsSync(`/proc/${child}`))
      child = 0
    } finally {
      parent.kill('SIGKILL')
      if (child > 0) process.kill(child, 'SIGKILL')
    }
  }, 60_000)
})
