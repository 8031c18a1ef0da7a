import { afterEach, expect, test } from 'bun:test'
import { createServer, type Server } from 'node:net'
import { firstToAnswer } from './first-to-answer.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

/** The port of something that listens at that address. */
function listening(address: string): Promise<number> {
  const server = createServer((socket) => socket.destroy())
  servers.push(server)
  return new Promise((resolve) => {
    server.listen(0, address, () => {
      const bound = server.address()
      resolve(typeof bound === 'object' && bound ? bound.port : 0)
    })
  })
}

test('the first that takes a connection is chosen, and those that refuse are passed over', async () => {
  const port = await listening('127.0.0.3')
  expect(await firstToAnswer(['127.0.0.1', '127.0.0.2', '127.0.0.3', '127.0.0.4'], port)).toBe('127.0.0.3')
})

test('the order is kept among those that answer', async () => {
  const port = await listening('0.0.0.0')
  expect(await firstToAnswer(['127.0.0.5', '127.0.0.6'], port)).toBe('127.0.0.5')
})

test('when none does the first is named, and of nothing there is none', async () => {
  expect(await firstToAnswer(['127.0.0.1', '127.0.0.2'], 1)).toBe('127.0.0.1')
  expect(await firstToAnswer([], 1)).toBeUndefined()
})
