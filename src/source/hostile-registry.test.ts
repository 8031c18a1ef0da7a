/** Registries that never stop talking: what they send is not kept, and they are given up in time. */
import { afterEach, describe, expect, test } from 'bun:test'
import { createServer, type Socket } from 'node:net'
import { collect } from '../../test/conformance/source.ts'
import { RecordedLog } from '../../test/fakes/registry-source.ts'
import { seededRandom, systemClock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { RegistrySource } from './registry-source.ts'

const content = Buffer.from('a layer')
const digest = digestOf(content)
const long = 'a'.repeat(1000)
const mebi = 1024 * 1024

const undo: (() => unknown)[] = []
afterEach(async () => {
  for (const step of undo.splice(0).reverse()) await step()
})

/** Answers each request with `begin`, and then with `more` for as long as it is taken. */
async function registryThatSays(begin: string | Buffer, more = '', patienceMs = 400) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.write(begin)
      const block = Buffer.from(more.repeat(Math.ceil(65_536 / Math.max(1, more.length))))
      const pour = () => {
        while (more !== '' && !socket.destroyed && socket.write(block));
        if (!socket.destroyed && more !== '') socket.once('drain', pour)
      }
      pour()
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  undo.push(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise((resolve) => server.close(resolve))
  })
  const bound = server.address()
  const url = new URL(`http://127.0.0.1:${typeof bound === 'object' && bound ? bound.port : 0}`)
  const source = new RegistrySource({
    upstreams: new Map([[url.host, [{ url }]]]),
    onlyListed: true,
    clock: systemClock,
    random: seededRandom(1),
    log: new RecordedLog(),
    metrics: createMetrics(),
    timeouts: { headersMs: patienceMs, idleMs: patienceMs },
    retry: { attempts: 1, firstMs: 1, maxMs: 1, patienceMs: 1 },
  })
  return { source, repository: repositoryOf(url.host, 'org/app') }
}

const failureOf = (promise: Promise<unknown>): Promise<Failure | undefined> =>
  promise.then(
    () => undefined,
    (error: unknown) => Failure.from(error),
  )

const blobHead = `HTTP/1.1 200 OK\r\ncontent-length: ${content.length}\r\n`
const chunked = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n'

describe('a registry', () => {
  test.each([
    ['headers without end', 'HTTP/1.1 200 OK\r\n', `x-a: ${long}\r\n`],
    ['one header without end', 'HTTP/1.1 200 OK\r\nx-a: ', long],
    ['a status line without end', 'HTTP/1.1 200 ', long],
    ['interim answers without end', '', 'HTTP/1.1 100 Continue\r\n\r\n'],
    ['a chunk that says more of itself without end', `${chunked}\r\n7;`, long],
    ['a list without end', `${chunked}\r\n`, `3e8\r\n${long}\r\n`],
    ['headers after a list without end', `${chunked}\r\n2\r\n{}\r\n0\r\n`, `x-a: ${long}\r\n`],
  ])('that sends %s is given up, and what it sent is not kept', async (_, begin, more) => {
    const { source, repository } = await registryThatSays(begin, more)
    const before = process.memoryUsage().rss
    const failure = await failureOf(source.pass(repository, 'tags/list', '', undefined))
    expect(failure?.code ?? 'none').toMatch(/^(unavailable|corrupt)$/)
    expect(process.memoryUsage().rss - before).toBeLessThan(150 * mebi)
  })

  test.each([
    ['18446744073709551616', 'a length above all numbers'],
    ['9007199254740993', 'a length above all exact numbers'],
    ['-7', 'a length below nothing'],
    ['7, 7000000', 'two lengths'],
    ['0x7', 'a length in another notation'],
    ['1e3', 'a length with an exponent'],
  ])('that says content-length %s, %s, is not believed', async (length) => {
    const { source, repository } = await registryThatSays(
      `HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\n${content}`,
    )
    const opened = source.open({ repository, kind: 'blob', digest }, 0).then(({ body }) => collect(body))
    const failure = await failureOf(opened)
    expect(failure?.code ?? 'none').toMatch(/^(unavailable|corrupt)$/)
  })

  test('that sends more than it said gives what it said', async () => {
    const { source, repository } = await registryThatSays(`${blobHead}\r\n${content}`, long, 30_000)
    const { body, size } = await source.open({ repository, kind: 'blob', digest }, 0)
    expect(size).toBe(content.length)
    expect(Buffer.from(await collect(body)).toString()).toBe(content.toString())
  })

  test('that sends a list which unpacks to a thousand times as much has sent what it has sent', async () => {
    const bomb = Bun.gzipSync(new Uint8Array(16 * mebi))
    const head = `HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`
    const { source, repository } = await registryThatSays(Buffer.concat([Buffer.from(head), bomb]), '', 30_000)
    const { body, headers } = await source.pass(repository, 'tags/list', '', undefined)
    expect(Buffer.compare(body, bomb)).toBe(0)
    expect(headers.get('content-encoding')).toBe('gzip')
  })
})
