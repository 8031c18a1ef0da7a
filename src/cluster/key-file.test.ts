import { afterEach, beforeEach, expect, test } from 'bun:test'
import { chmodSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeClock } from '../../test/fakes/clock.ts'
import { silentLog } from '../telemetry/log.ts'
import { ClusterKey } from './cluster-key.ts'
import { KeyFile } from './key-file.ts'

const keyOf = (byte: number) => new ClusterKey(new Uint8Array(32).fill(byte))
const textOf = (...bytes: number[]) => bytes.map((byte) => new TextDecoder().decode(keyOf(byte).file)).join('')

let dir: string
let path: string
let clock: FakeClock
let file: KeyFile
let errors: string[]
let warnings: unknown[]
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-key-file-'))
  path = join(dir, 'key')
  writeFileSync(path, textOf(1), { mode: 0o600 })
  clock = new FakeClock()
  errors = []
  warnings = []
  file = open()
})
afterEach(() => {
  file.close()
  rmSync(dir, { recursive: true })
})

function open(): KeyFile {
  const log = {
    ...silentLog,
    warn: (_: string, fields = {}) => warnings.push(fields),
    error: (message: string) => errors.push(message),
  }
  return new KeyFile(path, clock, log)
}

const bytes = () => file.ring.keys.map(({ secret }) => secret[0])

test('a file that was changed, or replaced by another, is read within seconds', () => {
  const gone: (number | undefined)[][] = []
  file.ring.onChange((keys) => gone.push(keys.map(({ secret }) => secret[0])))
  writeFileSync(path, textOf(1, 2))
  clock.advance(2_000)
  expect(bytes()).toEqual([1, 2])
  writeFileSync(`${path}.new`, textOf(2))
  renameSync(`${path}.new`, path)
  clock.advance(2_000)
  expect([bytes(), gone]).toEqual([[2], [[], [1]]])
})

test('a file that is the same as before changes nothing', () => {
  let changes = 0
  file.ring.onChange(() => changes++)
  writeFileSync(path, `# a remark\n${textOf(1)}`)
  clock.advance(2_000)
  file.reload()
  expect(changes).toBe(0)
})

test('a file that is gone or garbled leaves the keys as they were, and says so once', () => {
  writeFileSync(path, 'garbled')
  clock.advance(10_000)
  rmSync(path)
  clock.advance(10_000)
  expect([bytes(), errors.length]).toEqual([[1], 2])
  writeFileSync(path, textOf(3))
  clock.advance(2_000)
  expect(bytes()).toEqual([3])
})

test('a file that others may read is used, and told of at the start and at each change, until it is mended', () => {
  const told = { file: path, what: 'others than its owner may read it', mend: `chmod o= ${path}` }
  chmodSync(path, 0o644)
  clock.advance(2_000)
  file.close()
  file = open()
  expect([bytes(), warnings]).toEqual([[1], [told, told]])
  chmodSync(path, 0o640)
  clock.advance(10_000)
  writeFileSync(path, textOf(2))
  clock.advance(2_000)
  expect([bytes(), warnings.length, errors]).toEqual([[2], 2, []])
})

test('a file that cannot even be looked at ends nothing: the keys stay, the operator is told, and it is read once it can', () => {
  rmSync(path)
  symlinkSync(path, path)
  clock.advance(6_000)
  expect([bytes(), errors.length]).toEqual([[1], 1])
  rmSync(path)
  writeFileSync(path, textOf(2), { mode: 0o600 })
  clock.advance(2_000)
  expect(bytes()).toEqual([2])
})
