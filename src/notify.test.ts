import { expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { notifier, socketAddress, watchdogMs } from './notify.ts'

test('the watchdog is for the process that it names, or for any', () => {
  expect(watchdogMs({ WATCHDOG_USEC: '60000000' }, 7)).toBe(60_000)
  expect(watchdogMs({ WATCHDOG_USEC: '60000000', WATCHDOG_PID: '7' }, 7)).toBe(60_000)
  expect(watchdogMs({ WATCHDOG_USEC: '60000000', WATCHDOG_PID: '8' }, 7)).toBeUndefined()
  for (const WATCHDOG_USEC of [undefined, '', '0', '-1', 'soon']) {
    expect(watchdogMs({ WATCHDOG_USEC }, 7)).toBeUndefined()
  }
})

test('a socket is in the file system or in no file system', () => {
  expect(Buffer.from(socketAddress('/run/n') ?? []).toString('latin1')).toBe('\x01\x00/run/n\x00')
  expect(Buffer.from(socketAddress('@n') ?? []).toString('latin1')).toBe('\x01\x00\x00n')
  expect([socketAddress('run/n'), socketAddress(''), socketAddress('/'.repeat(108))]).toEqual([
    undefined,
    undefined,
    undefined,
  ])
})

const receiver = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.settimeout(20)
s.bind(sys.argv[1])
print('listening', flush=True)
print(s.recv(4096).decode(), flush=True)
`

test.skipIf(Bun.which('python3') === null)('a message arrives at the socket of the manager', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'shoal-notify-'))
  const path = join(dir, 'socket')
  const manager = Bun.spawn(['python3', '-c', receiver, path], { stdout: 'pipe' })
  try {
    const lines = createInterface({ input: Readable.fromWeb(manager.stdout) })[Symbol.asyncIterator]()
    const line = async () => (await lines.next()).value
    expect(await line()).toBe('listening')
    notifier({ NOTIFY_SOCKET: path })?.('READY=1\nSTATUS=serves')
    expect([await line(), await line()]).toEqual(['READY=1', 'STATUS=serves'])
  } finally {
    manager.kill()
    await manager.exited
    rmSync(dir, { recursive: true, force: true })
  }
})

test('a manager that has gone does no harm, and without one there is nobody to tell', () => {
  expect(notifier({})).toBeUndefined()
  expect(notifier({ NOTIFY_SOCKET: 'vsock:2:1' })).toBeUndefined()
  notifier({ NOTIFY_SOCKET: '/nowhere/socket' })?.('READY=1')
})
