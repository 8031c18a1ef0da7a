/** What servers of files and objects do wrong, and what comes of it. */
import { afterEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { collect, refuses } from '../../../test/conformance/source.ts'
import { webOptions } from '../../../test/fakes/web-options.ts'
import { WebClient } from './web-client.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

const content = Buffer.from('0123456789'.repeat(1000))
let server: { stop(closeActive: boolean): unknown; readonly port: number | undefined } | undefined
afterEach(() => server?.stop(true))

type Answer = (request: Request, number: number) => Response | Promise<Response>

/** A client of a server that answers so; and how often it was asked. */
function served(answer: Answer): { client: WebClient; url: URL; asked: () => number } {
  let number = 0
  server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: (request) => answer(request, number++) })
  const url = new URL(`http://127.0.0.1:${server.port}/a`)
  return { client: new WebClient('the server', url, webOptions()), url, asked: () => number }
}

const read = async ({ client, url }: ReturnType<typeof served>, start = 0) => {
  const opened = await client.open(url, start, 'a', undefined)
  return opened && Buffer.from(await collect(opened.body))
}

function answered(request: Request): Response {
  const start = Number(/bytes=(\d+)-/.exec(request.headers.get('range') ?? '')?.[1] ?? 0)
  const headers = { etag: '"1"', 'content-range': `bytes ${start}-${content.length - 1}/${content.length}` }
  return start === 0
    ? new Response(content, { headers: { etag: '"1"' } })
    : new Response(content.subarray(start), { status: 206, headers })
}

/** A server that answers in these words, ranges or not, and then breaks the connection off or falls silent. */
function raw(answers: (number: number, start: number) => { head: string; body: Uint8Array; silent?: boolean }) {
  let number = 0
  server = Bun.listen({
    hostname: '127.0.0.1',
    port: 0,
    socket: {
      data(socket, request) {
        const start = Number(/range: bytes=(\d+)-/i.exec(request.toString())?.[1] ?? 0)
        const { head, body, silent = false } = answers(number++, start)
        socket.write(`HTTP/1.1 ${head}\r\n\r\n`)
        socket.write(body)
        if (!silent) socket.end()
      },
    },
  })
  const url = new URL(`http://127.0.0.1:${server.port}/a`)
  return { client: new WebClient('the server', url, webOptions()), url, asked: () => number }
}

const whole = { head: `200 OK\r\ncontent-length: ${content.length}\r\netag: "1"`, body: content }

const half = (etag: string) => ({
  head: `200 OK\r\ncontent-length: ${content.length}\r\netag: ${etag}`,
  body: content.subarray(0, 5000),
})

describe('a server of files or objects', () => {
  test('that breaks off in the middle is asked for the rest', async () => {
    // How much of the first half is taken before the end of the connection is seen is up to the client.
    const rest = (start: number) => ({
      head: `206 OK\r\ncontent-length: ${10_000 - start}\r\ncontent-range: bytes ${start}-9999/10000\r\netag: "1"`,
      body: content.subarray(start),
    })
    const it = raw((number, start) => (number === 0 ? half('"1"') : start === 0 ? whole : rest(start)))
    expect(await read(it)).toEqual(content)
    expect(it.asked()).toBe(2)
  })

  test('that has another version by then gives nothing that is mixed', async () => {
    await refuses(read(raw((number) => half(`"${number}"`))), 'corrupt')
  })

  test('that breaks off every time is given up', async () => {
    const it = raw(() => half('"1"'))
    await refuses(read(it), 'unavailable')
    expect(it.asked()).toBe(3)
  })

  test('that fails for a while is asked again', async () => {
    const it = served((request, number) =>
      number < 2 ? new Response('', { status: 502 + number }) : answered(request),
    )
    expect(await read(it)).toEqual(content)
    expect(it.asked()).toBe(3)
  })

  test('that fails for good is given up, with its status', async () => {
    const it = served(() => new Response('<Error><Code>InternalError</Code></Error>', { status: 500 }))
    const failure = await refuses(read(it), 'unavailable')
    expect(failure.message).toBe('a: HTTP 500 (InternalError)')
    expect(it.asked()).toBe(3)
  })

  test('that refuses is not asked again', async () => {
    const it = served(() => new Response('<Error><Code>InvalidAccessKeyId</Code></Error>', { status: 403 }))
    const failure = await refuses(read(it), 'denied')
    expect(failure.message).toBe('a: HTTP 403 (InvalidAccessKeyId); there is no such access key')
    expect(it.asked()).toBe(1)
  })

  test('that does not have it is believed; that does not have the bucket is not', async () => {
    const plain = served(() => new Response('', { status: 404 }))
    expect(await read(plain)).toBeUndefined()
    expect(await plain.client.size(plain.url, 'a', undefined)).toBeUndefined()
    server?.stop(true)
    const bucket = served(() => new Response('<Error><Code>NoSuchBucket</Code></Error>', { status: 404 }))
    expect((await refuses(read(bucket), 'unavailable')).message).toContain('make the bucket first')
  })

  test('that says nothing, or stops saying anything, is not waited for without end', async () => {
    const mute = served(() => Promise.withResolvers<Response>().promise)
    await refuses(mute.client.size(mute.url, 'a', undefined), 'unavailable')
    server?.stop(true)
    const stuck = raw(() => ({ ...half('"1"'), silent: true }))
    await refuses(read(stuck), 'unavailable')
  })

  test('that sends another part than was asked for is not believed', async () => {
    const head = '206 Partial Content\r\ncontent-length: 1000\r\ncontent-range: bytes 8000-8999/10000'
    await refuses(
      read(
        raw(() => ({ head, body: content.subarray(8000, 9000) })),
        9000,
      ),
      'corrupt',
    )
  })
})
