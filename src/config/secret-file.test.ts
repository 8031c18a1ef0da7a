import { afterEach, beforeEach, expect, test } from 'bun:test'
import { chmodSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Fields, silentLog } from '../telemetry/log.ts'
import { exposure, tellExposed } from './secret-file.ts'

const reads = 'others than its owner may read it'
const changes = 'others than its owner may change it'

test.each([
  [0o600, undefined],
  [0o400, undefined],
  [0o640, undefined],
  [0o644, { what: reads, chmod: 'o=' }],
  [0o604, { what: reads, chmod: 'o=' }],
  [0o660, { what: changes, chmod: 'g-w' }],
  [0o666, { what: changes, chmod: 'g-w,o=' }],
  [0o602, { what: changes, chmod: 'o=' }],
  // As stat(2) has it, with the kind of file.
  [0o100600, undefined],
  [0o100755, { what: reads, chmod: 'o=' }],
])('a secret in a file of mode %o', (mode, wrong) => {
  expect(exposure(mode)).toEqual(wrong)
})

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-secret-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

test('what is told mends it', () => {
  const path = join(dir, 'key')
  writeFileSync(path, 'secret')
  const told: Fields[] = []
  const log = { ...silentLog, warn: (_: string, fields: Fields = {}) => void told.push(fields) }
  chmodSync(path, 0o666)
  tellExposed(path, log)
  const { mend } = told[0] as { mend: string }
  expect(Bun.spawnSync(mend.split(' ')).exitCode).toBe(0)
  expect(statSync(path).mode & 0o777).toBe(0o640)
  tellExposed(path, log)
  tellExposed(join(dir, 'none'), log)
  expect(told).toHaveLength(1)
})

test('nothing is said of a file that is not there, nor of one that cannot be looked at', () => {
  const loop = join(dir, 'loop')
  symlinkSync(loop, loop)
  const log = { ...silentLog, warn: () => expect.unreachable() }
  for (const path of [join(dir, 'none'), loop]) tellExposed(path, log)
})
