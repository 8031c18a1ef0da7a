import { expect, test } from 'bun:test'
import { foldersDropIn } from './drop-in.ts'

const dataDir = '/var/lib/shoal'
const textOf = (folders: { dataDir?: string; backends?: string[] }) =>
  foldersDropIn({ dataDir, backends: [], ...folders })
/** Of the service itself. */
const linesOf = (folders: { dataDir?: string; backends?: string[] }) =>
  textOf(folders)
    ?.replace(/^\[Unit\].*?\n\n/s, '')
    .split('\n')

test('the usual place needs none', () => {
  expect(foldersDropIn({ dataDir, backends: [] })).toBeUndefined()
})

test('data elsewhere and backends are writable, of which those that are not there keep nothing from starting', () => {
  expect(linesOf({ dataDir: '/srv/100%', backends: ['/srv/images', '/srv/my images', '/srv/100%'] })).toEqual([
    '[Service]',
    'ReadWritePaths=/srv/100%%',
    'ReadWritePaths=-/srv/images',
    'ReadWritePaths="-/srv/my images"',
    '',
  ])
})

test.each(['/home/ann/shoal', '/root/shoal', '/run/user/1000/shoal'])(
  '%s is shown to a service that sees no home directory',
  (path) => {
    expect(linesOf({ dataDir: path })).toEqual(['[Service]', 'ProtectHome=tmpfs', `BindPaths=${path}`, ''])
    expect(linesOf({ backends: [path] })).toEqual(['[Service]', 'ProtectHome=tmpfs', `BindPaths=-${path}`, ''])
  },
)

test('so is a folder in /tmp, of which the service has its own; a path with a colon is one path', () => {
  expect(linesOf({ dataDir: '/var/tmp/a:b' })).toEqual(['[Service]', 'BindPaths=/var/tmp/a\\:b', ''])
  expect(linesOf({ dataDir: '/tmp/shoal' })).toEqual(['[Service]', 'BindPaths=/tmp/shoal', ''])
})

test('names that only begin so are not hidden', () => {
  expect(linesOf({ dataDir: '/homes/ann', backends: ['/srv/tmp/x'] })).toEqual([
    '[Service]',
    'ReadWritePaths=/homes/ann',
    'ReadWritePaths=-/srv/tmp/x',
    '',
  ])
})

test('what is to be mounted at a backend is mounted before, where it can be', () => {
  const units = ['mnt.mount', 'mnt-nfs.mount', 'mnt-nfs-my\\x20images\\x2d1.mount', 'mnt-nfs-.b.mount'].join(' ')
  expect(textOf({ backends: ['/mnt/nfs/my images-1', '/mnt/nfs/.b'] })).toStartWith(
    `[Unit]\nWants=${units}\nAfter=${units}\n\n[Service]\n`,
  )
  expect(textOf({ dataDir: '/srv/shoal' })).not.toContain('[Unit]')
})
