import { afterAll, expect, test } from 'bun:test'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { digestOf } from '../../src/oci/digest.ts'
import { receiveBlob } from './receive.ts'

const blob = crypto.getRandomValues(new Uint8Array(65_536))
const digest = digestOf(blob)

const server = createServer((request, response) => {
  if (request.url === '/missing') return response.writeHead(404, { 'content-length': 12 }).end('no such blob')
  if (request.url?.startsWith('/moved'))
    return response.writeHead(307, { location: `/whole${request.url.slice(6)}` }).end()
  if (request.url === '/circle') return response.writeHead(302, { location: '/circle' }).end()
  response.writeHead(200, { 'content-length': blob.length })
  if (request.url === '/broken-off') return response.write(blob.subarray(0, 1000), () => response.destroy())
  if (request.url === '/flipped') return response.end(blob.map((byte, at) => (at === 40_000 ? byte ^ 1 : byte)))
  response.write(blob.subarray(0, 10))
  setTimeout(() => response.end(blob.subarray(10)), 5)
})
await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
afterAll(() => server.close())

const url = (path: string) => `http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`

test('a blob that comes in parts is received', async () => {
  await receiveBlob(url('/whole'), digest, blob.length)
})

test('a redirect is followed, but not for ever', async () => {
  await receiveBlob(url('/moved?to=it'), digest, blob.length)
  await expect(receiveBlob(url('/circle'), digest, blob.length)).rejects.toThrow('redirected again and again')
})

test('a wrong byte, an end before the end and a refusal are errors', async () => {
  await expect(receiveBlob(url('/flipped'), digest, blob.length)).rejects.toThrow('the bytes have digest sha256:')
  await expect(receiveBlob(url('/broken-off'), digest, blob.length)).rejects.toThrow('1000 bytes instead of 65536')
  await expect(receiveBlob(url('/missing'), digest, blob.length)).rejects.toThrow('404 Not Found: no such blob')
})
