import { expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Mounter } from './mounter.ts'

const node = 'http://127.0.0.1:1'

test('whatever the mounter does not do, nobody is told to restart it: that would end the mounts of all containers', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'shoal-mounter-'))
  const socket = join(folder, 'mounter.sock')
  const refusal = () =>
    new Mounter({ socket, node }, { askMs: 200, mountMs: 200 }).layers().then(String, ({ message }: Error) => message)
  const listen = (socketOf: { open(socket: Bun.Socket): void }) =>
    Bun.listen({ unix: socket, socket: { data() {}, ...socketOf } })
  try {
    expect(await refusal()).toBe(`the mounter at ${socket} does not answer; systemctl start shoal-mounter`)
    const look =
      'journalctl -u shoal-mounter says why; do not restart it while containers run, for their mounts end with it'
    const silent = listen({ open() {} })
    expect(await refusal()).toBe(`the mounter at ${socket} said nothing for 0.2 s; ${look}`)
    silent.stop(true)
    const rude = listen({ open: (connection) => void connection.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{') })
    expect(await refusal()).toBe(`the mounter at ${socket} broke off before it had answered; ${look}`)
    rude.stop(true)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
