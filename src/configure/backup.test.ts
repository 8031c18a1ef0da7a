import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Backup } from './backup.ts'
import { Disk } from './disk.ts'
import type { Edit } from './plan.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'shoal-backup-'))
  writeFileSync(join(root, 'f'), 'a')
})
afterEach(() => rmSync(root, { recursive: true }))

/** Is killed when it has made the first of several changes. */
class KilledDisk extends Disk {
  override write([first]: readonly Edit[]): void {
    super.write([first!])
    throw new Error('killed')
  }
}

const edit: Edit = { path: '/f', before: 'a', after: 'b' }
const noted = (disk: Disk) => new Backup(disk, '/undo', 'docker')

test('is forgotten whole, or goes on from where that was ended', () => {
  const disk = new Disk(root)
  noted(disk).note([edit], ['http://mirror'], ({ before }) => before)
  expect(noted(disk).kept()).toMatchObject([{ path: '/f', original: 'a' }])
  expect(() => noted(new KilledDisk(root)).remove()).toThrow('killed')
  expect([noted(disk).kept(), noted(disk).mirrors]).toEqual([[], []])
  noted(disk).note([edit], ['http://mirror'], ({ before }) => before)
  noted(disk).remove()
  expect(readdirSync(join(root, 'undo'))).toEqual([])
})
