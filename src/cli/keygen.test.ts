import { expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { FakeContext } from '../../test/fakes/context.ts'
import { newClusterKey } from './keygen.ts'
import { run } from './program.ts'

test('a key is changed also where a run that was killed has left its file, whose process had the same number', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'shoal-keygen-'))
  try {
    const file = join(folder, 'cluster.key')
    const key = newClusterKey()
    writeFileSync(file, key, { mode: 0o600 })
    const left = [`cluster.key.${process.pid}`, `.cluster.key.shoal-${process.pid}`]
    for (const name of left) writeFileSync(join(folder, name), '')
    const context = new FakeContext()
    expect([await run(['keygen', '--rotate', file], context), context.complained]).toEqual([0, []])
    expect(readFileSync(file, 'utf8')).not.toBe(key)
    expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(readdirSync(folder).sort()).toEqual([...left, 'cluster.key'].sort())
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test('a key goes to a folder that is not there yet, and one that is to be changed and is not there is told so', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'shoal-keygen-'))
  const keygen = async (...args: string[]) => {
    const context = new FakeContext()
    return [await run(['keygen', ...args], context), ...context.complained]
  }
  try {
    const file = join(folder, 'etc/shoal/cluster.key')
    expect(await keygen('--rotate', file)).toEqual([
      1,
      `shoal: there is no ${file}; name the file that nodes have as --cluster-key-file, or make a first key: shoal keygen --output ${file}`,
    ])
    expect(await keygen('--output', file)).toEqual([0])
    expect([statSync(file).mode & 0o777, statSync(dirname(file)).mode & 0o700]).toEqual([0o600, 0o700])
    const below = await keygen('--output', join(file, 'other.key'))
    expect(below).toEqual([1, expect.stringContaining('part of the path is a file')])
  } finally {
    rmSync(folder, { recursive: true })
  }
})
