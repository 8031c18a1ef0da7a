import { expect, test } from 'bun:test'
import { z } from 'zod'
import { AdminClient } from './admin-client.ts'

test('an answer is waited for so long, and that of work for as long as it takes', async () => {
  using server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: async () => {
      await Bun.sleep(300)
      return Response.json('done')
    },
  })
  const client = new AdminClient({ address: { host: '127.0.0.1', port: server.port! }, service: false }, 100)
  await expect(client.get('/', z.string())).rejects.toThrow('did not answer within 0.1 s; its log may say why')
  expect(await client.patient().get('/', z.string())).toBe('done')
})
