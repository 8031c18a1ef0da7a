import { afterEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sample } from '../../test/conformance/blob-store.ts'
import { lru } from '../lru.ts'
import { DiskBlob } from './disk-blob.ts'
import type { Keeper } from './keeper.ts'
import { OpenFiles } from './open-files.ts'

const dirs: string[] = []
afterEach(() => {
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true })
})

/** A disk that is full for the next `full` writes. */
class FullDisk extends OpenFiles {
  full = 0
  override async use<T>(path: string, create: boolean, task: (fd: number) => Promise<T>): Promise<T> {
    if (this.full-- > 0) throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' })
    return super.use(path, create, task)
  }
}

function makeBlob() {
  const dir = mkdtempSync(join(tmpdir(), 'shoal-blob-'))
  dirs.push(dir)
  const files = new FullDisk()
  const relieved: number[] = []
  let reserved = 0
  const keeper: Keeper = {
    files,
    metainfos: lru(4),
    wall: () => 0,
    checkOpen() {},
    reserve(_, bytes) {
      reserved += bytes
      return () => {
        reserved -= bytes
      }
    },
    relieve: async (_, bytes) => {
      relieved.push(bytes)
    },
    answers: async () => true,
    grew() {},
    left() {},
    troubled() {},
    pinnedUntil: () => undefined,
    recording() {},
    changed() {},
    completed() {},
    learned() {},
    segments: () => [],
    damaged: (blob) => {
      blob.gone = true
    },
    lost() {},
    idle() {},
  }
  const made = sample(1000)
  const row = { digest: made.digest, size: made.size, kind: 'blob', mediaType: null, state: 'partial' } as const
  const path = join(dir, 'blob')
  const blob = new DiskBlob(keeper, path, { ...row, bitmap: null, mtime: null, usedAt: 0, addedAt: 0 })
  return { ...made, path, blob, files, relieved, reserved: () => reserved }
}

describe('a blob on a full disk', () => {
  test('asks for relief once and goes on', async () => {
    const { blob, bytes, files, relieved, reserved } = makeBlob()
    files.full = 1
    await blob.write(0, bytes)
    expect(relieved).toEqual([1000])
    expect(reserved()).toBe(0)
    expect(await blob.read({ start: 0, end: 1000 })).toEqual(bytes)
  })

  test('fails with what to do when relief did not help, and has no piece more', async () => {
    const { blob, bytes, files, relieved, reserved, path } = makeBlob()
    files.full = 2
    const failed = expect(blob.write(0, bytes)).rejects.toMatchObject({
      code: 'no-space',
      message: expect.stringContaining(`to ${path}: ENOSPC`),
    })
    await failed
    expect(relieved).toEqual([1000])
    expect(reserved()).toBe(0)
    expect(blob.have.count).toBe(0)
    await blob.write(0, bytes)
    await blob.finish()
  })
})

test('a blob whose file is gone is not made anew with holes for bytes', async () => {
  const { blob, bytes, files, path } = makeBlob()
  await blob.write(0, bytes)
  await files.dropAll()
  rmSync(path)
  await expect(blob.read({ start: 0, end: 10 })).rejects.toMatchObject({ code: 'corrupt' })
  expect(blob.gone).toBe(true)
})
