import { afterEach, beforeEach, expect, describe as suite, test } from 'bun:test'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { machineAt } from './machine.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'shoal-machine-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

suite('a folder that is shut to the service', () => {
  test('is seen with its mode, and gets the one that lets it in', () => {
    mkdirSync(join(root, 'etc/shoal'), { recursive: true })
    chmodSync(join(root, 'etc/shoal'), 0o700)
    const gid = process.getgid!()
    writeFileSync(join(root, 'etc/passwd'), `root:x:0:0:::\nshoal:x:990:${gid}:::\n`)
    const machine = machineAt(root)
    expect(machine.folder('/etc/shoal')).toMatchObject({ mode: 0o700 })
    expect(machine.folder('/etc/none')).toBeUndefined()
    machine.carryOut({ do: 'let-in', path: '/etc/shoal', mode: 0o710, group: 'shoal' })
    expect(statSync(join(root, 'etc/shoal')).mode & 0o7777).toBe(0o710)
    expect(machine.folder('/etc/shoal')).toMatchObject({ mode: 0o710, gid })
  })
})
