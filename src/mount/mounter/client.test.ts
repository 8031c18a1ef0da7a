import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MounterClient, NoAnswer, NoMounter } from './client.ts'

describe('a client of the mounter', () => {
  let dir: string
  const servers: Server[] = []
  const open = new Set<Socket>()
  beforeAll(() => {
    dir = mkdtempSync(join(tmpdir(), 'shoal-client-'))
  })
  afterAll(() => {
    for (const socket of open) socket.destroy()
    for (const server of servers) server.close()
    rmSync(dir, { recursive: true, force: true })
  })

  async function listening(name: string, asked: (socket: Socket) => void): Promise<string> {
    const server = createServer((socket) => {
      open.add(socket)
      socket.once('data', () => asked(socket))
    })
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(join(dir, name), resolve))
    return join(dir, name)
  }

  test('asks for a layer alone, and tells one that is not mounted from a mounter that fails', async () => {
    const answering = (name: string, head: string, body: string) =>
      listening(name, (socket) =>
        socket.end(`HTTP/1.1 ${head}\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`),
      )
    const facts = {
      ...{ id: 'one', digest: `sha256:${'0'.repeat(64)}`, path: '/one', holders: [], errors: [] },
      ...{ size: 1, here: 1, fetched: 1, deduped: 0, disk: 1, complete: true, indexed: true },
    }
    const there = await answering('there', '200 OK', JSON.stringify(facts))
    expect(await new MounterClient(there).layer('one')).toEqual(facts as never)
    const gone = await answering('gone', '404 Not Found', '{"error":"no layer one is mounted here"}')
    expect(await new MounterClient(gone).layer('one')).toBeUndefined()
    const failing = await answering('failing', '500 Internal Server Error', '{"error":"the disk is gone"}')
    await expect(new MounterClient(failing).layer('one')).rejects.toThrow('the disk is gone')
  })

  test('tells that nobody listens, where there is no socket, or one that somebody left', async () => {
    const left = join(dir, 'left')
    writeFileSync(left, '')
    for (const socket of [join(dir, 'none'), join(dir, 'none/none'), join(left, 'none'), left]) {
      const error = await new MounterClient(socket).unmount('/mnt').catch((error: unknown) => error)
      expect(error).toBeInstanceOf(NoMounter)
      expect((error as Error).message).toBe(`no mounter answers at ${socket}`)
    }
  })

  test('tells a mounter that ended in the middle from one that never was', async () => {
    const answers = ['', 'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"mounts":[']
    for (const [i, said] of answers.entries()) {
      const socket = await listening(`ended${i}`, (connection) => connection.end(said))
      const error = await new MounterClient(socket).mounts().catch((error: unknown) => error)
      expect(error).toBeInstanceOf(NoAnswer)
      expect((error as Error).message).toContain(`the mounter at ${socket} broke off before it had answered`)
    }
  })

  test('waits for a mounter that says nothing no longer than looking something up takes', async () => {
    const socket = await listening('silent', () => {})
    const error = await new MounterClient(socket, { lookUpMs: 50 }).facts().catch((error: unknown) => error)
    expect(error).toBeInstanceOf(NoAnswer)
    expect((error as Error).message).toContain('said nothing for 0.05 s')
  })

  test('waits longer for what it is to do', async () => {
    const socket = await listening('slow', (connection) => {
      setTimeout(() => connection.end('HTTP/1.1 204 No Content\r\n\r\n'), 150)
    })
    await new MounterClient(socket, { lookUpMs: 50 }).unmount('/mnt')
  })
})
