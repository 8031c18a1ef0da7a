import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { FakeContext } from '../../test/fakes/context.ts'
import { type Machine, machineAt } from '../install/machine.ts'
import { resting } from '../install/running.ts'
import { describe as describeStep, type Step } from '../install/step.ts'
import type { HostFacts } from '../mount/kernel/support.ts'
import { report } from './exit.ts'
import { install } from './install.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'shoal-install-'))
  // It has systemd, which does not run.
  mkdirSync(join(root, 'usr/bin'), { recursive: true })
  writeFileSync(join(root, 'usr/bin/systemctl'), '')
})
afterEach(() => rmSync(root, { recursive: true }))

function would(...args: string[]): string[] {
  return said(machineAt(root), ['--dry-run', ...args]).split('\n  ')
}

function said(machine: Machine, args: readonly string[], lazy?: HostFacts): string {
  const context = new FakeContext()
  context.files['/root/users'] = 'ann:$2y$05$c2FsdA'
  const program = new Command()
  install(program, context, machine, lazy)
  program.parse(['install', ...args], { from: 'user' })
  return context.printed.join('\n')
}

const push = ['--push', '--home']

test('who may push is in a file that the service can read', () => {
  expect(would(...push, 'apps.corp/**', '--push-users-file', '/root/users')).toContain(
    'copy /root/users to /etc/shoal/push.users, readable for the group shoal',
  )
})

test('folders that are backends are opened to the service', () => {
  const dropIn = 'write /etc/systemd/system/shoal.service.d/data-dir.conf'
  expect(would(...push, 'apps.corp/**=file:///srv/images')).toContain(dropIn)
  expect(would(...push, 'apps.corp/**=oci:///srv/images')).toContain(dropIn)
  expect(would(...push, 'apps.corp/**=s3://images')).not.toContain(dropIn)
})

test('settings that are no YAML are named with their line, also where more are given', () => {
  mkdirSync(join(root, 'etc/shoal'), { recursive: true })
  writeFileSync(join(root, 'etc/shoal/shoal.yaml'), 'zone: eu\nzone: us\n')
  const complained: string[] = []
  try {
    would('--mode', 'peer')
  } catch (error) {
    expect(report(error, { err: (text) => complained.push(text) }, 'install')).toBe(2)
  }
  expect(complained[0]).toStartWith('shoal: /etc/shoal/shoal.yaml:2: ')
})

describe('what cannot work is not begun', () => {
  const carryOut = (step: Step) => {
    throw new Error(`it would ${describeStep(step)}`)
  }

  test.each([[[]], [['--dry-run']]])('--snapshotter with a kernel that mounts no files: %p', (args) => {
    const lazy = { platform: 'linux', root: true, kernel: '6.1.0-13-amd64', fuse: true }
    const machine: Machine = { ...machineAt(root), systemd: 'running', carryOut }
    expect(() => said(machine, ['--snapshotter', ...args], lazy)).toThrow(
      /need Linux 6\.12 .* this is 6\.1\.0-13-amd64; upgrade the kernel, or leave out --snapshotter$/,
    )
  })

  test('beside a node that somebody has started by hand', () => {
    const unit = (pid: number) => () => ({ ...resting, active: pid > 0, pid })
    const machine: Machine = { ...machineAt(root), systemd: 'running', nodeOn: () => 42, unit: unit(0), carryOut }
    expect(() => said(machine, [])).toThrow('a node runs here (process 42), and is no service: end it first')
    expect(() => said(machine, ['--no-start'])).toThrow('it would put this binary')
    expect(() => said({ ...machine, unit: unit(42) }, [])).toThrow('it would put this binary')
    expect(() => said({ ...machine, systemd: 'present' }, [])).toThrow('it would put this binary')
  })
})
