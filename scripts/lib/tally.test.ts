import { expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const library = join(import.meta.dir, 'tally.sh')

/** What the tally says of these test files, run as one set and then tried again. */
async function tallied(files: Record<string, string>): Promise<{ lines: string[]; status: number }> {
  const dir = mkdtempSync(join(tmpdir(), 'shoal-tally-'))
  try {
    const paths = Object.keys(files).map((name) => `./${name}`)
    for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text)
    const script = `source ${library}; run_tests all 10 60 ${paths.join(' ')} >/dev/null; try_again 10 60 >/dev/null; tally_report`
    const child = Bun.spawn(['bash', '-c', script], {
      cwd: dir,
      env: { PATH: process.env.PATH, HOME: dir },
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
