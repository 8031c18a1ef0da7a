import { expect, test } from 'bun:test'
import { fileOf, flagValue, socketsOf, uses } from './running.ts'

test('a flag is read in both ways of writing it', () => {
  expect(flagValue(['dockerd', '--config-file', '/a'], ['--config-file'])).toBe('/a')
  expect(flagValue(['dockerd', '--config-file=/a=b'], ['--config-file'])).toBe('/a=b')
  expect(flagValue(['dockerd', '--config-files=/a'], ['--config-file'])).toBeUndefined()
})

test('the configuration is where the running engine was told it is', () => {
  expect(fileOf('containerd', { pid: 1, args: ['containerd', '-c', '/srv/c.toml'] })).toBe('/srv/c.toml')
  expect(fileOf('docker', { pid: 1, args: ['dockerd'] })).toBeUndefined()
  expect(fileOf('docker', undefined)).toBeUndefined()
})

test('dockerd is asked where it listens: on its command line, in its file, at the usual socket', () => {
  const running = { pid: 1, args: ['dockerd', '-H', 'unix:///a.sock'] }
  const config = '\uFEFF{"hosts": ["tcp://0.0.0.0:2375", "unix:///b.sock"]}'
  expect(socketsOf(running, config)).toEqual(['/a.sock', '/b.sock', '/var/run/docker.sock'])
  expect(socketsOf({ pid: 1, args: ['dockerd', '-H', 'fd://'] }, '{broken')).toEqual(['/var/run/docker.sock'])
})

test('the mirrors that dockerd uses are compared with those of its file by place', () => {
  const config = '{"registry-mirrors": ["http://127.0.0.1:4880", "https://x"]}'
  expect(uses(['http://127.0.0.1:4880/', 'https://x/'], config)).toBe(true)
  expect(uses(['https://x/', 'http://127.0.0.1:4880/'], config)).toBe(false)
  expect(uses(['http://127.0.0.1:4880/'], config)).toBe(false)
  expect(uses([], '{}')).toBe(true)
  expect(uses(['https://x/'], undefined)).toBe(false)
})
