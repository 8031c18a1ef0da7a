import { expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { thisHost } from './host.ts'

test('space counts the blocks of blobs that are there, not the length of sparse files', () => {
  const dir = mkdtempSync(join(tmpdir(), 'shoal-host-'))
  try {
    const blobs = join(dir, 'blobs/sha256/ab')
    mkdirSync(blobs, { recursive: true })
    writeFileSync(join(blobs, 'whole'), new Uint8Array(64 * 1024).fill(1))
    writeFileSync(join(blobs, 'sparse'), '')
    truncateSync(join(blobs, 'sparse'), 1024 ** 3)
    const { free, held } = thisHost.space(dir)
    expect(free).toBeGreaterThan(0)
    expect(held).toBeGreaterThanOrEqual(64 * 1024)
    expect(held).toBeLessThan(1024 ** 2)
    writeFileSync(join(dir, 'shoal.db'), new Uint8Array(32 * 1024).fill(1))
    writeFileSync(join(dir, 'backup.tar'), new Uint8Array(1024 ** 2).fill(1))
    expect(thisHost.space(dir).held).toBe(held + 32 * 1024)
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test('space of a directory that is yet to be made is that of the file system it will be on', () => {
  const { free, held } = thisHost.space(join(tmpdir(), 'shoal-none/such/place'))
  expect(free).toBeGreaterThan(0)
  expect(held).toBe(0)
})

test('what cannot be looked at is not absent', () => {
  const dir = mkdtempSync(join(tmpdir(), 'shoal-host-'))
  try {
    writeFileSync(join(dir, 'file'), '')
    // Whoever runs this may be root, whom only a loop keeps out.
    symlinkSync('loop', join(dir, 'loop'))
    const absent = ['none', 'file/none', 'file', 'loop', 'loop/none'].map((name) => thisHost.absent(join(dir, name)))
    expect(absent).toEqual([true, true, false, false, false])
  } finally {
    rmSync(dir, { recursive: true })
  }
})
