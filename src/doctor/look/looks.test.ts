/** What is read off this machine, and the readers of the kernel's tables. */

import { expect, test } from 'bun:test'
import { chownSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { notRoot } from '../../../test/fakes/root.ts'
import { listenAsNobody, nobody } from '../../../test/fakes/stranger.ts'
import type { StoreSettings } from '../../config/settings.ts'
import { listenersIn } from '../../local/listeners.ts'
import { ownHosts } from '../../local/stranger.ts'
import { lookAtDisk, mountOf } from './disk.ts'
import { lookAtKernel } from './kernel.ts'
import { lookAtPorts } from './ports.ts'

test('listening sockets are read from the tables of both families', () => {
  const head = '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode'
  const row = (local: string, state: string, inode: number) =>
    `   0: ${local} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000  1000        0 ${inode} 1 0 100 0`
  const table = [
    head,
    row('0100007F:1310', '0A', 11),
    row('0100007F:1311', '01', 12),
    row('00000000000000000000000000000000:1312', '0A', 13),
    row('0000000000000000FFFF00000100007F:1313', '0A', 14),
    row('B80D01200000000000000000010000FE:0050', '0A', 15),
    '',
  ].join('\n')
  expect(listenersIn(table)).toEqual([
    { address: { host: '127.0.0.1', port: 4880 }, uid: 1000, inode: '11' },
    { address: { host: '::', port: 4882 }, uid: 1000, inode: '13' },
    { address: { host: '127.0.0.1', port: 4883 }, uid: 1000, inode: '14' },
    { address: { host: '2001:db8::fe00:1', port: 80 }, uid: 1000, inode: '15' },
  ])
})

test('a port is taken by who listens there or everywhere, and by nobody when it is let go', async () => {
  const look = async (host: string, port: number) => (await lookAtPorts([{ flag: '--x', address: { host, port } }]))[0]
  const server = Bun.listen({ hostname: '0.0.0.0', port: 0, socket: { data() {} } })
  const { port } = server
  try {
    for (const host of ['0.0.0.0', '127.0.0.1', 'localhost']) {
      expect(await look(host, port)).toMatchObject({ taken: true, holder: { pid: process.pid } })
    }
  } finally {
    server.stop(true)
  }
  expect((await look('127.0.0.1', port))?.taken).toBe(false)
})

test.skipIf(notRoot || !ownHosts().includes('::1'))(
  "a port of this host is a stranger's as well who has but the other half of localhost",
  async () => {
    const server = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
    const { port } = server
    const stranger = listenAsNobody(undefined, { host: '::1', port })
    try {
      for (const host of ['127.0.0.1', 'localhost']) {
        const [facts] = await lookAtPorts([{ flag: '--x', address: { host, port } }])
        expect(facts).toMatchObject({ taken: true, stranger: { user: nobody.name } })
      }
      const [elsewhere] = await lookAtPorts([{ flag: '--x', address: { host: '127.0.0.2', port } }])
      expect(elsewhere).not.toHaveProperty('stranger')
    } finally {
      stranger.close()
      server.stop(true)
    }
  },
)

test('the mount of a path is the last and longest that it is on, names with spaces included', () => {
  const table = [
    '1 0 254:0 / / rw,relatime - ext4 /dev/vda rw',
    '2 1 0:30 / /var rw - tmpfs tmpfs rw',
    '3 1 0:31 / /var/my\\040data rw shared:1 - nfs4 server:/x ro,vers=4.2',
    '4 1 0:32 / /var rw - xfs /dev/vdb rw',
  ].join('\n')
  expect(mountOf(table, '/var/lib')).toEqual({ point: '/var', kind: 'xfs', readOnly: false })
  expect(mountOf(table, '/var/my data/shoal')).toEqual({ point: '/var/my data', kind: 'nfs4', readOnly: true })
  expect(mountOf(table, '/variable')).toEqual({ point: '/', kind: 'ext4', readOnly: false })
})

test.skipIf(notRoot)('what a node of root has left deep below a folder of the service is found', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'shoal-doctor-'))
  const look = () => lookAtDisk({ dataDir, cacheBytes: 1, keepFree: { bytes: 1 } } as StoreSettings).strays.names
  try {
    mkdirSync(join(dataDir, 'blobs/sha256/ab'), { recursive: true })
    mkdirSync(join(dataDir, 'blobs/sha256/cd'))
    writeFileSync(join(dataDir, 'blobs/sha256/cd/file'), '')
    mkdirSync(join(dataDir, 'elsewhere'))
    expect(look()).toEqual([])
    for (const path of ['.', 'blobs', 'blobs/sha256', 'blobs/sha256/cd']) chownSync(join(dataDir, path), 12345, 12345)
    expect(look()).toEqual(['blobs/sha256/ab', 'blobs/sha256/cd/file'])
    // Another disk may be there by a link, which is root's.
    renameSync(join(dataDir, 'blobs'), join(dataDir, 'moved'))
    symlinkSync(join(dataDir, 'moved'), join(dataDir, 'blobs'))
    expect(look()).toEqual(['blobs/sha256/ab', 'blobs/sha256/cd/file'])
  } finally {
    rmSync(dataDir, { recursive: true })
  }
})

test('this kernel has a release and says whether it has overlays', () => {
  expect(lookAtKernel()).toMatchObject({ release: expect.stringMatching(/^\d+\./), overlay: expect.any(String) })
})
