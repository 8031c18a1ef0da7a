/** What an object store does wrong while it is written to, and what comes of it: nothing is there by half. */
import { afterEach, describe, expect, test } from 'bun:test'
import { refuses } from '../../../test/conformance/source.ts'
import { bytesOf } from '../../../test/fakes/bytes.ts'
import { webOptions } from '../../../test/fakes/web-options.ts'
import { Failure } from '../../failure.ts'
import type { Written } from './objects.ts'
import { S3Objects } from './s3-objects.ts'
import { WebClient } from './web-client.ts'

let server: ReturnType<typeof Bun.serve> | undefined
afterEach(() => server?.stop(true))

const content = bytesOf(10_500)
const whole: Written = {
  size: content.length,
  async *read(start) {
    for (let at = start; at < content.length; at += 300) yield content.subarray(at, Math.min(at + 300, content.length))
  },
}

/** A store that answers a step with something else than it should: `PUT 2` is the second part. */
function store(wrong: (step: string, times: number) => Response | undefined = () => undefined) {
  const steps: string[] = []
  const parts = new Map<string, Uint8Array>()
  server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      const query = new URL(request.url).searchParams
      const part = query.get('partNumber')
      const step =
        `${request.method} ${part ?? (query.has('uploads') ? 'begin' : query.has('uploadId') ? 'end' : '')}`.trim()
      const times = steps.filter((each) => each === step).length
      steps.push(step)
      const body = await request.bytes()
      const other = wrong(step, times)
      if (other) return other
      if (part) parts.set(part, body)
      if (step === 'POST begin') return new Response('<r><UploadId>one</UploadId></r>')
      if (step === 'POST end') return new Response('<CompleteMultipartUploadResult/>')
      return new Response(null, { headers: { etag: `"${part}"` } })
    },
  })
  const base = new URL(`http://127.0.0.1:${server.port}/images/`)
  const objects = new S3Objects(new WebClient('s3://images', base, webOptions()), { base, prefix: '' }, 1000)
  return { objects, steps, parts }
}

describe('content that goes in parts', () => {
  test('is put together of all of them, in order', async () => {
    const { objects, steps, parts } = store()
    await objects.put('a', whole)
    const sent = Array.from({ length: 11 }, (_, i) => parts.get(String(i + 1))!)
    expect(Buffer.concat(sent).equals(content)).toBe(true)
    expect(steps.at(-1)).toBe('POST end')
  })

  test('is tried again where the store has a problem for a moment', async () => {
    const slow = new Response('<Error><Code>SlowDown</Code></Error>', { status: 503 })
    const { objects, steps } = store((step, times) => (step === 'PUT 2' && times === 0 ? slow : undefined))
    await objects.put('a', whole)
    expect(steps.filter((step) => step === 'PUT 2')).toHaveLength(2)
  })

  test.each(['PUT 1', 'PUT 5', 'PUT 11'])('is given up and taken back when %s is refused', async (part) => {
    const { objects, steps } = store((step) => (step === part ? new Response(null, { status: 403 }) : undefined))
    await refuses(objects.put('a', whole), 'denied')
    expect(steps.at(-1)).toBe('DELETE end')
    expect(steps).not.toContain('POST end')
  })

  test('is not there when the store says so at the end, though with a status of 200', async () => {
    const failed = () => new Response('<Error><Code>InternalError</Code></Error>')
    const { objects, steps } = store((step) => (step === 'POST end' ? failed() : undefined))
    await refuses(objects.put('a', whole), 'unavailable')
    expect(steps.at(-1)).toBe('DELETE end')
  })

  test('is taken back when what it is read from breaks off', async () => {
    const { objects, steps } = store()
    const cut: Written = {
      size: content.length,
      async *read() {
        yield content.subarray(0, 4200)
        throw new Failure('corrupt', 'the disk broke')
      },
    }
    await refuses(objects.put('a', cut), 'corrupt')
    expect(steps.at(-1)).toBe('DELETE end')
    expect(steps).not.toContain('POST end')
  })
})

test('a full store is no room, and not a reason to try again', async () => {
  const { objects, steps } = store(() => new Response('<Error><Code>QuotaExceeded</Code></Error>', { status: 507 }))
  await refuses(
    objects.put('a', {
      size: 3,
      read: async function* () {
        yield content.subarray(0, 3)
      },
    }),
    'no-space',
  )
  expect(steps).toEqual(['PUT'])
})
