/** The object store backend before a real one, OpenStack Swift. */
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { seededRandom, systemClock } from '../../../src/clock.ts'
import { backendOf } from '../../../src/home/backends/backend-of.ts'
import { digestOf } from '../../../src/oci/digest.ts'
import { repositoryOf } from '../../../src/oci/reference.ts'
import type { Location } from '../../../src/source/source.ts'
import { silentLog } from '../../../src/telemetry/log.ts'
import { createMetrics } from '../../../src/telemetry/metrics.ts'
import { backendConformance } from '../../conformance/backend.ts'
import { collect } from '../../conformance/source.ts'
import { LabS3 } from '../../lab/s3.ts'

const missing = await LabS3.missing()
if (missing !== undefined) {
  console.warn(`skipped: an object store, ${missing}`)
} else {
  let dir: string
  let running: Promise<LabS3> | undefined
  // One for all, for a start takes a second.
  const store = () => {
    running ??= LabS3.start({ dir })
    return running
  }
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'shoal-s3-'))
  })
  afterAll(async () => {
    await (await running)?.stop()
    await rm(dir, { recursive: true, force: true })
  })
  const backendAt = (s3: LabS3, prefix: string, env = s3.env) =>
    backendOf(s3.url(prefix), {
      env,
      clock: systemClock,
      random: seededRandom(1),
      log: silentLog,
      metrics: createMetrics(),
    })

  let number = 0
  backendConformance('an object store', async () => {
    const s3 = await store()
    const prefix = `conformance/${number++}`
    return { again: () => backendAt(s3, prefix), stop: async () => {} }
  })

  test('content of 300 MB goes there in parts, and can be read from any place on', async () => {
    const s3 = await store()
    const backend = backendAt(s3, 'large')
    const size = 300_000_000
    const location: Location = {
      repository: repositoryOf('apps.corp', 'large'),
      kind: 'blob',
      digest: digestOfLarge(size),
    }
    await backend.writes!.put(location, {
      size,
      mediaType: 'application/octet-stream',
      read: (from) => large(from, size),
    })
    expect(await backend.stat(location)).toEqual({ size, mediaType: 'application/octet-stream' })
    const hasher = new Bun.CryptoHasher('sha256')
    for await (const chunk of (await backend.open(location, 0)).body) hasher.update(chunk)
    expect(`sha256:${hasher.digest('hex')}`).toBe(location.digest)
    const start = size - 1_000_003
    const end = await collect((await backend.open(location, start)).body)
    expect(digestOf(end)).toBe(digestOf(await collect(large(start, size))))
  }, 120_000)

  test('a wrong secret is refused with what to look at, and is not in the message', async () => {
    const s3 = await store()
    const backend = backendAt(s3, 'refused', { ...s3.env, AWS_SECRET_ACCESS_KEY: 'not the secret' })
    const error = await backend.resolve(repositoryOf('apps.corp', 'app'), 'v1' as never).catch((error: Error) => error)
    expect(String(error)).toContain('HTTP 403 (SignatureDoesNotMatch); the secret access key is not right')
    expect(String(error)).not.toContain('not the secret')
  })
}

const block = 1_000_000

/** Bytes that differ from block to block, made as they are read. */
async function* large(start: number, size: number): AsyncGenerator<Uint8Array, void, undefined> {
  for (let at = start - (start % block); at < size; at += block) {
    const bytes = Buffer.alloc(Math.min(block, size - at), `block ${at / block} `)
    yield bytes.subarray(Math.max(0, start - at))
  }
}

function digestOfLarge(size: number): Location['digest'] {
  const hasher = new Bun.CryptoHasher('sha256')
  for (let at = 0; at < size; at += block)
    hasher.update(Buffer.alloc(Math.min(block, size - at), `block ${at / block} `))
  return `sha256:${hasher.digest('hex')}` as Location['digest']
}
