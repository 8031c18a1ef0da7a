import { describe, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { until } from '../../test/lab/until.ts'

const library = join(import.meta.dir, 'tally.sh')

/** What the tally says of these test files, run as one set and then tried again. */
async function tallied(
  files: Record<string, string>,
  env: Record<string, string> = {},
): Promise<{ lines: string[]; status: number }> {
  const dir = mkdtempSync(join(tmpdir(), 'shoal-tally-'))
  try {
    const paths = Object.keys(files).map((name) => `./${name}`)
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text)
    const script = `source ${library}; run_tests all 10 60 ${paths.join(' ')} >/dev/null; try_again 10 60 >/dev/null; tally_report`
    const child = Bun.spawn(['bash', '-c', script], {
      cwd: dir,
      env: { PATH: process.env.PATH, HOME: dir, ...env },
      stderr: 'ignore',
    })
    const lines = (await new Response(child.stdout).text()).trim().split('\n')
    return { lines, status: await child.exited }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

const head = `import { existsSync, writeFileSync } from 'node:fs'; import { expect, test } from 'bun:test';`
const good = `${head} test('good', () => expect(1).toBe(1))`
const bad = (name: string) => `${head} test('${name}', () => expect(1).toBe(2)); test('beside ${name}', () => {})`
const onceBad = (name: string) => `${head} test('${name}', () => {
  const before = existsSync('${name}.tried'); writeFileSync('${name}.tried', ''); expect(before).toBe(true) })`

test('a file that fails and then passes alone counts as passed, and is named', async () => {
  const { lines, status } = await tallied({ 'a.test.ts': good, 'b.test.ts': onceBad('shy') })
  expect(lines).toEqual(['what failed at first, and passed alone:', 'b.test.ts', '2 passed, 0 failed, 0 skipped'])
  expect(status).toBe(0)
})

test('what failed is counted once of a long log, which says it again at its end', async () => {
  const many = `${head} for (let i = 0; i < 60; i++) test(\`good \${i}\`, () => expect(i).toBe(i))`
  const { lines, status } = await tallied({ 'a.test.ts': onceBad('shy'), 'b.test.ts': many })
  expect(lines).toEqual(['what failed at first, and passed alone:', 'a.test.ts', '61 passed, 0 failed, 0 skipped'])
  expect(status).toBe(0)
})

test('what a skipped suite has is counted once, and its hooks are not, also of a long log', async () => {
  const skipped = `import { afterAll, beforeAll, describe, test } from 'bun:test'
    describe.skip('a suite', () => { beforeAll(() => {}); afterAll(() => {}); test('one', () => {}); test('two', () => {}) })`
  const many = `${head} for (let i = 0; i < 60; i++) test(\`good \${i}\`, () => expect(i).toBe(i))`
  for (const [files, passed] of [
    [{ 'a.test.ts': skipped }, 0],
    [{ 'a.test.ts': skipped, 'b.test.ts': many }, 60],
  ] as const) {
    expect((await tallied(files)).lines.at(-1)).toBe(`${passed} passed, 0 failed, 2 skipped`)
  }
})

test('a file that fails twice has failed, beside one that does not', async () => {
  const { lines, status } = await tallied({ 'a.test.ts': bad('wrong'), 'b.test.ts': onceBad('shy') })
  expect(lines).toContain('wrong')
  expect(lines.at(-1)).toBe('2 passed, 1 failed, 0 skipped')
  expect(status).toBe(1)
})

test('many files that fail are not tried again', async () => {
  const files = Object.fromEntries([1, 2, 3, 4].map((n) => [`f${n}.test.ts`, onceBad(`shy${n}`)]))
  const { lines, status } = await tallied(files)
  expect(lines.at(-1)).toBe('0 passed, 4 failed, 0 skipped')
  expect(status).toBe(1)
})

test('a file that cannot be loaded has failed', async () => {
  const { lines, status } = await tallied({ 'a.test.ts': good, 'b.test.ts': `import 'nowhere'` })
  expect(lines.at(-1)).toBe('1 passed, 1 failed, 0 skipped')
  expect(status).toBe(1)
})

test.each([
  ['FORCE_COLOR', '1'],
  ['GITHUB_ACTIONS', 'true'],
])('%s changes nothing of what is read', async (name, value) => {
  const skipped = `import { test } from 'bun:test'; test.skip('later', () => {})`
  const files = { 'a.test.ts': good, 'b.test.ts': bad('wrong'), 'c.test.ts': onceBad('shy'), 'd.test.ts': skipped }
  const { lines } = await tallied(files, { [name]: value })
  expect(lines).toEqual([
    ...['what failed:', 'shy', 'wrong', 'what failed at first, and passed alone:', 'c.test.ts'],
    '3 passed, 1 failed, 1 skipped',
  ])
})

describe.each([
  ['the only set', 'run_tests all 60 60 ./a.test.ts'],
  ['a set beside another', 'run_tests_beside all 60 60 ./a.test.ts; run_tests other 60 60 ./b.test.ts'],
])('an interruption of %s', (_, sets) => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)(
    'by %s ends all of it, and begins nothing',
    async (signal, status) => {
      const dir = mkdtempSync(join(tmpdir(), 'shoal-tally-'))
      const names = sets.match(/[ab]\.test\.ts/g)!
      try {
        // As programs do that have something to remove first.
        const sleeps = `import { test } from 'bun:test'; import { writeFileSync } from 'node:fs'
        process.on('SIGINT', () => process.exit(130)).on('SIGTERM', () => process.exit(143))
        test('sleeps', async () => { writeFileSync(import.meta.path + '.pid', String(process.pid)); await Bun.sleep(60_000) })`
        for (const name of names) writeFileSync(join(dir, name), sleeps)
        const script = `source ${library}; ${sets}; touch later; tally_report`
        const child = Bun.spawn(['bash', '-c', script], {
          cwd: dir,
          env: { PATH: process.env.PATH, HOME: dir },
          stdio: ['ignore', 'ignore', 'ignore'],
          // With a process group, as a terminal gives it one.
          detached: true,
        })
        const pids = names.map((name) => join(dir, `${name}.pid`))
        await until('the tests have begun', 20, () => pids.every((file) => existsSync(file)))
        process.kill(-child.pid, signal)
        const late = Bun.sleep(15_000).then(() => 'late')
        expect(await Promise.race([child.exited, late])).toBe(status)
        expect(existsSync(join(dir, 'later'))).toBe(false)
        for (const file of pids) expect(existsSync(`/proc/${readFileSync(file, 'utf8')}/exe`)).toBe(false)
      } finally {
        rmSync(dir, { recursive: true, force: true })
      }
    },
    60_000,
  )
})
