import { afterEach, describe, expect, test } from 'bun:test'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { HurriedClock } from '../../test/fakes/registry-source.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { fileAt } from '../oci/file.ts'
import { parseReference } from '../oci/reference.ts'
import { Mirror } from './mirror.ts'

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

const bytes = bytesOf(300_000)
const digest = digestOf(bytes)
const repository = parseReference('ghcr.io/org/app')
const file = fileAt('http://files.corp/a?b=1')

/** A node that answers as `answer` says, after as many refusals as are wanted. */
function mirrorOf(answer: (request: Request, nth: number) => Response | Promise<Response>, attempts?: number) {
  const asked: string[] = []
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: (request) => {
      const { pathname, search } = new URL(request.url)
      asked.push(`${pathname}${search} ${request.headers.get('range') ?? 'all'}`)
      return answer(request, asked.length)
    },
  })
  closers.push(() => server.stop(true))
  const base = `http://127.0.0.1:${server.port}`
  return { asked, server, mirror: new Mirror({ base, clock: new HurriedClock(), ...(attempts ? { attempts } : {}) }) }
}

/** What a node sends for a range, broken off after `most` bytes. */
function part(request: Request, most = Number.POSITIVE_INFINITY): Response {
  const start = Number(/^bytes=(\d+)-/.exec(request.headers.get('range') ?? '')?.[1] ?? 0)
  const rest = bytes.subarray(start)
  const headers = {
    'content-length': String(rest.length),
    'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}`,
  }
  const status = start > 0 ? 206 : 200
  if (rest.length <= most) return new Response(rest, { status, headers })
  // Promised more than it has: the server drops the connection.
  return new Response(rest.subarray(0, most), { status, headers })
}

const all = async (mirror: Mirror, start = 0, size = bytes.length) =>
  Buffer.concat(await Array.fromAsync(mirror.blob(repository, digest, size, start), (chunk) => chunk.slice()))
const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'none',
    (error) => Failure.from(error).code,
  )

describe('a blob', () => {
  test('comes over as many connections as it takes, each from where the last broke off', async () => {
    const { mirror, asked } = mirrorOf((request, nth) => part(request, nth < 3 ? 100_000 : undefined))
    expect((await all(mirror)).equals(bytes)).toBe(true)
    expect(asked[0]).toBe(`/v2/org/app/blobs/${digest}?ns=ghcr.io all`)
    expect(asked.length).toBeGreaterThan(1)
    expect(asked.slice(1).every((line) => / bytes=[1-9]\d*-$/.test(line))).toBe(true)
  })

  test('comes from where an earlier try ended', async () => {
    const { mirror, asked } = mirrorOf((request) => part(request))
    expect((await all(mirror, 299_990)).equals(bytes.subarray(299_990))).toBe(true)
    expect(asked).toHaveLength(1)
  })

  test('of a node that brings nothing any more is given up', async () => {
    const { mirror, asked } = mirrorOf((request) => part(request, 0), 3)
    expect(await codeOf(all(mirror))).toBe('unavailable')
    expect(asked).toHaveLength(3)
  })

  test('that is longer than it should be is not written on', async () => {
    const { mirror } = mirrorOf((request) => part(request))
    expect(await codeOf(all(mirror, 0, 1000))).toBe('corrupt')
  })

  test('is not put behind what is here when the node ignores where it should begin', async () => {
    const { mirror } = mirrorOf(() => new Response(bytes))
    expect(await codeOf(all(mirror, 10))).toBe('corrupt')
  })

  test('that the node refuses is not asked for again, and its reason is told', async () => {
    const errors = [{ code: 'DENIED', message: 'the registry wants a login' }]
    const { mirror, asked } = mirrorOf(() => Response.json({ errors }, { status: 404 }))
    await expect(all(mirror)).rejects.toThrow('the registry wants a login')
    expect(asked).toHaveLength(1)
  })

  test.each([
    ['DIGEST_INVALID', 'corrupt'],
    ['TOOMANYREQUESTS', 'unavailable'],
    ['DENIED', 'no-blob'],
  ])('that the node does not give because of %s is %s, whatever else an engine is told', async (own, expected) => {
    const errors = ['BLOB_UNKNOWN', own].map((code) => ({ code, message: 'no' }))
    const { mirror } = mirrorOf(() => Response.json({ errors }, { status: 404 }))
    expect(await codeOf(all(mirror))).toBe(expected)
  })
})

describe('a manifest', () => {
  test('is what its digest says, or is refused', async () => {
    const text = '{"layers":[]}'
    const headers = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }
    const { mirror } = mirrorOf(() => new Response(text, { headers }))
    const own = digestOf(Buffer.from(text))
    expect(await mirror.manifest(repository, own)).toMatchObject({ digest: own, mediaType: headers['content-type'] })
    expect(await mirror.manifest(repository, 'v1')).toMatchObject({ digest: own })
    expect(await codeOf(mirror.manifest(repository, digest))).toBe('corrupt')
  })

  test('may be asked of a node that is being started anew', async () => {
    const { mirror, server } = mirrorOf(() => new Response('{}'), 1)
    const port = server.port ?? 0
    await server.stop(true)
    expect(await codeOf(mirror.manifest(repository, 'v1'))).toBe('unavailable')
    const patient = new Mirror({ base: `http://127.0.0.1:${port}`, clock: new HurriedClock(), attempts: 200 })
    const waiting = patient.manifest(repository, 'v1')
    const again = Bun.serve({ hostname: '127.0.0.1', port, fetch: () => new Response('{}') })
    closers.push(() => again.stop(true))
    expect(Buffer.from((await waiting).bytes).toString()).toBe('{}')
  })
})

describe('a file', () => {
  test('of a known digest has the size that the node says, and it is not begun for that', async () => {
    const methods: string[] = []
    const { mirror, asked } = mirrorOf(({ method }) => {
      methods.push(method)
      return new Response(bytes)
    })
    expect(await mirror.file(file, digest, () => {})).toEqual({ digest, size: bytes.length })
    const query = new URLSearchParams({ url: 'http://files.corp/a?b=1', digest })
    expect([asked, methods]).toEqual([[`/shoal/file?${query} all`], ['HEAD']])
  })

  test('that cannot be had is refused with the reason', async () => {
    const errors = [{ code: 'BLOB_UNKNOWN', message: 'it is not there' }]
    const { mirror } = mirrorOf(() => Response.json({ errors }, { status: 404 }))
    await expect(mirror.file(file, digest, () => {})).rejects.toThrow('it is not there')
  })

  test('whose digest is being found out is asked for until it is known', async () => {
    const errors = [{ code: 'READING', message: '1 MiB of 2 MiB' }]
    const { mirror } = mirrorOf((_, nth) =>
      nth < 3 ? Response.json({ errors }, { status: 503 }) : Response.json({ digest, size: 7 }),
    )
    const told: string[] = []
    expect(await mirror.file(file, undefined, (why) => told.push(why))).toEqual({ digest, size: 7 })
    expect(told).toEqual(['1 MiB of 2 MiB', '1 MiB of 2 MiB'])
  })
})
