import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { StandardOutput } from './standard-output.ts'

const main = join(import.meta.dir, '../main.ts')

/** The program, with its standard output as a shell says it. */
function shoal(rest: string): { code: number; err: string } {
  const { exitCode, stderr } = Bun.spawnSync([
    'bash',
    '-o',
    'pipefail',
    '-c',
    `"$0" "$1" ${rest}`,
    process.execPath,
    main,
  ])
  return { code: exitCode, err: stderr.toString() }
}

test.each(['keygen', 'completions bash', 'install --kubernetes', 'help'])(
  'a full disk is a failure of %s',
  (command) => {
    const { code, err } = shoal(`${command} > /dev/full`)
    expect([code, err]).toEqual([1, expect.stringContaining('standard output: ENOSPC')])
  },
)

test('a reader that has left is none', () => {
  expect(shoal('completions bash | true')).toEqual({ code: 0, err: '' })
})

/** Takes each text later, or fails for the reason that is one by then. */
function slow(why: () => Error | undefined) {
  const taken: string[] = []
  const write = (chunk: unknown, _: string, done: (error?: Error) => void) =>
    void setTimeout(() => {
      if (why() === undefined) taken.push(String(chunk))
      done(why())
    }, 5)
  return { taken, output: new StandardOutput(new Writable({ write })) }
}

test('what is printed is out, in its order, before it is said that nothing was lost', async () => {
  const { taken, output } = slow(() => undefined)
  output.print('a')
  output.print('b')
  await output.pour(Buffer.from('c'))
  output.print('d')
  expect(await output.lost()).toBeUndefined()
  expect(taken).toEqual(['a', 'b', 'c', 'd'])
})

test('who prints on is told that it takes nothing more, and the first reason counts', async () => {
  let gone = 0
  const full = slow(() => Object.assign(new Error('no space'), { code: 'ENOSPC' }))
  full.output.onGone(() => gone++)
  const stop = full.output.onGone(() => (gone += 10))
  stop()
  full.output.print('a')
  full.output.print('b')
  expect(await full.output.lost()).toContain('no space')
  await Bun.sleep(0)
  expect(gone).toBe(1)
})

test('bytes that are poured fail where they are written', async () => {
  const { output } = slow(() => new Error('no space'))
  expect(await output.pour(Buffer.from('a')).catch(String)).toBe('Error: no space')
  expect(await output.lost()).toBeUndefined()
})
