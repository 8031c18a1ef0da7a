import { expect, test } from 'bun:test'
import { copyFileSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runningOf } from './running.ts'

test('what systemd says of a unit', () => {
  expect(runningOf('ActiveState=active\nMainPID=0\nNeedDaemonReload=yes\n', '/none')).toEqual({
    active: true,
    pid: 0,
    outdated: false,
    unread: true,
  })
  expect(runningOf('NeedDaemonReload=no\nMainPID=0\nActiveState=failed\n', '/none')).toMatchObject({
    active: false,
    unread: false,
  })
  expect(runningOf('', '/none')).toMatchObject({ active: false, pid: 0, outdated: false })
})

test('a program that was replaced while it ran is outdated, also by one that is the same byte for byte', () => {
  const dir = mkdtempSync(join(tmpdir(), 'shoal-running-'))
  const [program, next] = [join(dir, 'program'), join(dir, 'next')]
  for (const path of [program, next]) copyFileSync(Bun.which('sleep')!, path)
  // By a name that says what it is to do, where sleep is one of many in one file.
  const child = Bun.spawn([program, '60'], { argv0: 'sleep' })
  try {
    const outdated = () => runningOf(`ActiveState=active\nMainPID=${child.pid}\n`, program).outdated
    expect(outdated()).toBe(false)
    renameSync(next, program)
    expect(outdated()).toBe(true)
  } finally {
    child.kill()
    rmSync(dir, { recursive: true, force: true })
  }
})
