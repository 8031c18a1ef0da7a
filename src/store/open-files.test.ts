import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { OpenFiles, readAt, writeAt } from './open-files.ts'

let dir: string
let files: OpenFiles
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-files-'))
  files = new OpenFiles(3)
})
afterEach(async () => {
  await files.dropAll()
  rmSync(dir, { recursive: true, force: true })
})

/** Descriptors of this process below `dir`. */
function descriptors(): number {
  const linkOf = (fd: string) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`)
    } catch {
      return ''
    }
  }
  return readdirSync('/proc/self/fd').filter((fd) => linkOf(fd).startsWith(dir)).length
}

describe('OpenFiles', () => {
  test('keeps a bounded number of files open, the idle ones going first', async () => {
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const busy = files.use(join(dir, 'busy'), true, () => gate)
    for (let i = 0; i < 10; i++) await files.use(join(dir, `${i}`), true, (fd) => writeAt(fd, new Uint8Array([i]), 0))
    expect(files.count).toBe(3)
    release()
    await busy
    expect(await files.use(join(dir, 'busy'), false, async () => files.count)).toBe(3)
    const read = new Uint8Array(1)
    expect(await files.use(join(dir, '4'), false, (fd) => readAt(fd, read, 0))).toBe(1)
    expect(read[0]).toBe(4)
    await files.dropAll()
    expect(descriptors()).toBe(0)
  })

  test('does not make a file that should be there', async () => {
    await expect(files.use(join(dir, 'none'), false, async () => {})).rejects.toThrow('ENOENT')
  })

  test('after a drop, tasks that run go on with the old file and new ones get the new file', async () => {
    const path = join(dir, 'x')
    writeFileSync(path, 'old')
    const text = async (fd: number) => {
      const bytes = new Uint8Array(3)
      await readAt(fd, bytes, 0)
      return new TextDecoder().decode(bytes)
    }
    const old = files.use(path, false, async (fd) => {
      renameSync(path, `${path}.gone`)
      writeFileSync(path, 'new')
      files.drop(path)
      const fresh = await files.use(path, false, text)
      return `${await text(fd)} ${fresh}`
    })
    expect(await old).toBe('old new')
  })

  test('reads up to the end of the file and says how far it came', async () => {
    const path = join(dir, 'x')
    writeFileSync(path, 'abc')
    expect(await files.use(path, false, (fd) => readAt(fd, new Uint8Array(10), 1))).toBe(2)
  })
})
