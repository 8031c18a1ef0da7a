import { describe, expect, test } from 'bun:test'
import { goodDisk, said } from '../../test/fakes/findings.ts'
import { type DiskFacts, judgeDisk } from './disk.ts'
import { waysOf } from './ways.ts'

const byHand = waysOf(false)
const GiB = 1024 ** 3
const disk = goodDisk

describe('disk', () => {
  const on = (kind: string) => ({ ...disk, mount: { ...disk.mount, kind } })
  const cases: [string, DiskFacts, string[]][] = [
    ['room on a disk of the host is good', disk, ['good']],
    [
      'less is free than is to be',
      { ...disk, free: GiB / 2 },
      ['warning: 512 MiB are free on /, and 1 GiB are to stay free (--keep-free)'],
    ],
    [
      'less room than an image takes',
      { ...disk, limit: 300 * 1024 ** 2 },
      ['warning: blobs may take 300 MiB only (--cache-size)'],
    ],
    ['few inodes', { ...disk, inodes: { free: 10, total: 1000 } }, ['warning: 10 of 1000 inodes are free on /']],
    ['none', { ...disk, inodes: { free: 0, total: 1000 } }, ['problem: 0 of 1000 inodes are free on /']],
    ['a file system without a number of inodes', { ...disk, inodes: { free: 0, total: 0 } }, ['good']],
    [
      'nothing can be written',
      { ...disk, mount: { ...disk.mount, readOnly: true } },
      ['problem: /var/lib/shoal is on a read-only file system (/)'],
    ],
    ['not by this user', { ...disk, writable: false }, ['problem: this user may not write to /var/lib/shoal']],
    [
      'files of somebody else',
      { ...disk, strays: { owner: 'shoal', names: ['node.key'] } },
      ['problem: node.key in /var/lib/shoal is not of shoal, who owns the directory'],
    ],
    ['the network', on('nfs4'), ['warning: /var/lib/shoal is on nfs4, a file system of another host']],
    ['memory', on('tmpfs'), ['warning: /var/lib/shoal is in memory (tmpfs at /)']],
    ['no sparse files', on('vfat'), ['warning: /var/lib/shoal is on vfat']],
    [
      'a container',
      on('overlay'),
      ['good', "note: /var/lib/shoal is in a container's own file system: it goes with the container"],
    ],
  ]
  test.each(cases)('%s', (_, facts, expected) => {
    expect(said(judgeDisk(facts, byHand))).toEqual(expected)
  })
})
