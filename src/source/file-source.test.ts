import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { HurriedClock, RecordedLog } from '../../test/fakes/registry-source.ts'
import { seededRandom } from '../clock.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { fileAt } from '../oci/file.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { FileSource, type FileSourceOptions } from './file-source.ts'

const bytes = bytesOf(3_000_000)
const digest = digestOf(bytes)

interface Served {
  bytes: Uint8Array
  etag: string | undefined
  /** Bodies are broken off behind so many bytes. */
  most: number
  status: number | undefined
  ranges: boolean
  /** What a HEAD is refused with. */
  head: number | undefined
}

let server: Server
let origin: string
let served: Served
let asked: string[]
beforeEach(async () => {
  served = { bytes, etag: '"one"', most: Number.POSITIVE_INFINITY, status: undefined, ranges: true, head: undefined }
  asked = []
  server = createServer(answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

function answer({ method, headers: { range } }: IncomingMessage, response: ServerResponse): void {
  asked.push(`${method} ${range ?? 'all'}`)
  const refuse = (status: number) => void response.writeHead(status).end()
  if (served.status) return refuse(served.status)
  if (method === 'HEAD' && served.head) return refuse(served.head)
  const match = /^bytes=(\d+)-(\d*)$/.exec(served.ranges ? (range ?? '') : '')
  const size = served.bytes.length
  const [start, end] = match ? [Number(match[1]), match[2] ? Number(match[2]) + 1 : size] : [0, size]
  if (match && start >= size) return refuse(416)
  response.writeHead(match ? 206 : 200, {
    'content-length': String(end - start),
    ...(served.etag ? { etag: served.etag } : {}),
    ...(match ? { 'content-range': `bytes ${start}-${end - 1}/${size}` } : {}),
  })
  if (method === 'HEAD') return void response.end()
  const body = served.bytes.subarray(start, Math.min(end, start + served.most))
  if (body.length === end - start) response.end(body)
  else response.write(body, () => response.destroy())
}

function setUp(options: Partial<FileSourceOptions> = {}) {
  const metrics = createMetrics()
  const url = origin
  const upstreams = new Map([['files.corp', [{ url: new URL(url) }]]])
  const clock = new HurriedClock()
  const patient = { headersMs: 600_000, idleMs: 600_000 }
  const common = { clock, random: seededRandom(1), log: new RecordedLog(), metrics, timeouts: patient }
  const given: string[] = []
  const admitted: FileSourceOptions['admitted'] = (_, asker) => given.push(asker)
  const source = new FileSource({ upstreams, onlyListed: false, admitted, ...common, ...options })
  const repository = fileAt(`${url}/disk.img`)
  const read = async (start = 0) => {
    const { body, size } = await source.open({ repository, kind: 'blob', digest }, start)
    const chunks = await Array.fromAsync(body, (chunk) => chunk.slice())
    return { size, bytes: Buffer.concat(chunks) }
  }
  return { source, repository, read, metrics, given }
}
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'none',
    (error) => Failure.from(error).code,
  )

describe('a file', () => {
  test('is read from where it is wanted', async () => {
    const { read, source, repository, given } = setUp()
    expect((await read()).bytes.equals(bytes)).toBe(true)
    expect((await read(2_999_000)).bytes.equals(bytes.subarray(2_999_000))).toBe(true)
    expect((await read(bytes.length)).bytes).toHaveLength(0)
    expect(await codeOf(read(bytes.length + 1))).toBe('bad-range')
    expect((await source.stat({ repository })).size).toBe(bytes.length)
    expect(new Set(given)).toEqual(new Set(['anyone']))
  })

  test('comes over several connections, whether the server knows ranges or not', async () => {
    served.most = 2_000_000
    const { read } = setUp()
    expect((await read()).bytes.equals(bytes)).toBe(true)
    expect([asked[0], asked.length > 1]).toEqual(['GET all', true])
    expect(asked.slice(1).every((line) => /^GET bytes=[1-9]\d*-$/.test(line))).toBe(true)
    served.ranges = false
    served.most = Number.POSITIVE_INFINITY
    expect((await read(1000)).bytes.equals(bytes.subarray(1000))).toBe(true)
  })

  test('that changes while it is read is not put together of two versions', async () => {
    const { read, source, repository } = setUp()
    served.most = 2_000_000
    const { body } = await source.open({ repository, kind: 'blob', digest }, 0)
    served.etag = '"two"'
    served.bytes = bytesOf(3_000_000, 2)
    expect(await codeOf(Array.fromAsync(body))).toBe('corrupt')
    served.most = Number.POSITIVE_INFINITY
    expect((await read()).bytes.equals(served.bytes)).toBe(true)
  })

  // A URL that is signed for GET answers 403 to HEAD.
  test.each([401, 403, 405, 501])('is as a GET says where HEAD is answered with %d', async (status) => {
    served.head = status
    const { source, repository } = setUp()
    const named = { repository, kind: 'blob', reference: digest } as const
    expect((await source.stat({ repository })).size).toBe(bytes.length)
    expect(await source.version(repository)).toEqual({ validator: 'etag "one"', size: bytes.length })
    expect(await codeOf(source.admits(named, 'anyone'))).toBe('none')
    served.bytes = new Uint8Array()
    expect((await source.stat({ repository })).size).toBe(0)
    expect(await codeOf(source.admits(named, 'anyone'))).toBe('none')
  })

  test.each([
    [404, 'no-blob'],
    [401, 'denied'],
    [403, 'denied'],
    [500, 'unavailable'],
    [429, 'too-many'],
    [418, 'corrupt'],
  ])('that the server refuses with %d is %s', async (status, code) => {
    served.status = status
    const { read, source, repository } = setUp()
    expect(await codeOf(read())).toBe(code)
    const named = { repository, kind: 'blob', reference: digest } as const
    expect(await codeOf(source.admits(named, 'anyone'))).toBe(code)
  })

  test('is for anyone or for nobody', async () => {
    const { source, repository } = setUp()
    const named = { repository, kind: 'blob', reference: digest } as const
    expect(await codeOf(source.admits(named, 'anyone'))).toBe('none')
    expect(await codeOf(source.admits(named, 'node'))).toBe('denied')
    expect(await codeOf(source.shows(named, 'anyone', 100, bytes.subarray(100, 200)))).toBe('none')
    expect(await codeOf(source.shows(named, 'anyone', 100, bytes.subarray(101, 201)))).toBe('no-blob')
  })
})

describe('nobody has a node read', () => {
  test.each([
    'http://127.0.0.1:1/',
    'http://169.254.169.254/latest',
    'http://10.0.0.1/',
    'http://[fd00::1]/',
    'http://192.168.1.1/',
  ])('%s, unless it is listed', async (url) => {
    const { source } = setUp()
    expect(await codeOf(source.stat({ repository: fileAt(url) }))).toBe('not-listed')
  })

  test('other servers than those that are listed, where only they may be read', async () => {
    const { source, repository } = setUp({ onlyListed: true })
    expect(await codeOf(source.stat({ repository }))).toBe('none')
    expect(await codeOf(source.stat({ repository: fileAt('https://example.com/') }))).toBe('not-listed')
    source.reroute(new Map(), true)
    expect(await codeOf(source.stat({ repository }))).toBe('not-listed')
  })
})
