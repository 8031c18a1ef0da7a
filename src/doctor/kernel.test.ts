import { expect, test } from 'bun:test'
import { said } from '../../test/fakes/findings.ts'
import { judgeKernel, supportOf } from './kernel.ts'

test('the kernel is described, and never a reason to fail', () => {
  const filesystems = 'nodev\tsysfs\nnodev\toverlay\n\text4\n'
  const modules = 'kernel/fs/erofs/erofs.ko.xz: kernel/lib/x.ko\n'
  const support = (name: string) => supportOf(name, filesystems, modules)
  expect([support('overlay'), support('ext4'), support('erofs'), support('fuse')]).toEqual([
    'yes',
    'yes',
    'as a module',
    'no',
  ])
  const facts = { release: '6.1', overlay: 'yes', fuse: 'yes', erofs: 'no', fuseDevice: false } as const
  expect(said(judgeKernel(facts))).toEqual([
    'note: Linux 6.1: overlay yes, FUSE yes, without /dev/fuse, EROFS no; a node needs none of them',
  ])
})
