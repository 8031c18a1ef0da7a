import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const library = join(import.meta.dir, 'test-files.sh')
let root: string
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'shoal-test-files-'))
  for (const name of [
    'src/piece/a.test.ts',
    'src/piece/a.ts',
    'test/e2e/get.test.ts',
    'test/e2e/lazy/b.test.ts',
    'test/lab/c.ts',
    'node_modules/x/d.test.ts',
  ]) {
    mkdirSync(join(root, name, '..'), { recursive: true })
    writeFileSync(join(root, name), '')
  }
})
afterAll(() => rmSync(root, { recursive: true }))

/** What these words mean to somebody in that folder of the tree. */
function meant(folder: string, ...words: string[]): { files: string[]; said: string; status: number } {
  const script = `source ${library}; tests_meant "$@"`
  const { stdout, stderr, exitCode } = Bun.spawnSync(['bash', '-c', script, '-', join(root, folder), ...words], {
    cwd: root,
  })
  const files = stdout.toString().split('\n').filter(Boolean)
  return { files, said: stderr.toString().trim(), status: exitCode }
}

const piece = './src/piece/a.test.ts'
const get = './test/e2e/get.test.ts'
const lazy = './test/e2e/lazy/b.test.ts'

test.each([
  ['', ['.'], [piece, get, lazy]],
  ['', ['test'], [get, lazy]],
  ['', ['test/e2e/get.test.ts', './src/'], [piece, get]],
  ['test', ['e2e'], [get, lazy]],
  ['test/e2e/lazy', ['../get.test.ts', 'b.test.ts', '..'], [get, lazy]],
  ['src', ['piece'], [piece]],
])('in "%s" %p are the tests that are meant', (folder, words, files) => {
  expect(meant(folder, ...words)).toEqual({ files, said: '', status: 0 })
})

test('a path may be absolute', () => {
  expect(meant('src', join(root, 'test'))).toEqual({ files: [get, lazy], said: '', status: 0 })
})

test.each([
  ['', 'e2e', 'no file or folder "e2e" with tests of this tree'],
  ['test', '../..', 'no file or folder "../.." with tests of this tree'],
  ['', tmpdir(), `no file or folder "${tmpdir()}" with tests of this tree`],
  ['test', 'lab', 'no tests in "lab": their names end in .test.ts'],
  ['', 'src/piece/a.ts', 'no tests in "src/piece/a.ts": their names end in .test.ts'],
])('in "%s" %p is refused, beside others too', (folder, word, said) => {
  expect(meant(folder, word)).toEqual({ files: [], said, status: 1 })
  expect(meant(folder, root, word)).toMatchObject({ said, status: 1 })
})
