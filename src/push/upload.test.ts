import { beforeEach, describe, expect, test } from 'bun:test'
import { FakeClock, settle } from '../../test/fakes/clock.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import { layoutOf } from '../piece/layout.ts'
import { Metainfo } from '../piece/metainfo.ts'
import { statementsOf } from '../swarm/statements.ts'
import { Uploads } from './uploads.ts'

const repository = repositoryOf('apps.corp', 'team/app')
const other = repositoryOf('apps.corp', 'team/other')
const bytes = crypto.getRandomValues(new Uint8Array(60_000))

let clock: FakeClock
let store: MemoryStore
let uploads: Uploads
beforeEach(() => {
  clock = new FakeClock()
  store = new MemoryStore({ clock, limitBytes: 1_000_000 })
  uploads = new Uploads(store, clock)
})

async function* body(...chunks: (Uint8Array | Error)[]) {
  for (const chunk of chunks) {
    if (chunk instanceof Error) throw chunk
    yield chunk
  }
}
const failureOf = (promise: Promise<unknown>) =>
  promise.then(
    () => undefined,
    (error) => Failure.from(error),
  )
const find = (id: string, of = repository, by = 'ann') => {
  try {
    return uploads.find(of, id, by).id
  } catch (error) {
    return Failure.from(error).code
  }
}

describe('an upload', () => {
  test('has what was taken of a body that broke off, and goes on from there', async () => {
    const upload = uploads.begin(repository, 'ann')
    const failure = await failureOf(upload.append(body(bytes.subarray(0, 1000), new Error('reset'))))
    expect([failure?.code, upload.length]).toEqual(['bad-upload', 1000])
    await upload.append(body(bytes.subarray(1000)))
    await upload.verify(digestOf(bytes))
    await upload.verify(digestOf(bytes, 'sha512'))
    expect((await failureOf(upload.verify(digestOf(bytes.subarray(1)))))?.code).toBe('bad-digest')
  })

  test('is written by one request at a time', async () => {
    const upload = uploads.begin(repository, 'ann')
    const gate = Promise.withResolvers<void>()
    const slow = upload.append(
      (async function* () {
        yield bytes
        await gate.promise
      })(),
    )
    await settle()
    expect((await failureOf(upload.append(body(bytes))))?.code).toBe('bad-upload')
    gate.resolve()
    await slow
    expect(upload.length).toBe(bytes.length)
  })

  test('does not wait for a client that has gone silent', async () => {
    const upload = uploads.begin(repository, 'ann')
    const silent = (async function* () {
      yield bytes
      await new Promise(() => {})
    })()
    const failure = failureOf(upload.append(silent))
    await settle()
    clock.advance(60_000)
    expect((await failure)?.message).toBe(`the body broke off after ${bytes.length} bytes of the upload`)
  })

  test('takes no more than there is room for, and keeps what it had', async () => {
    const upload = uploads.begin(repository, 'ann')
    await upload.append(body(bytes))
    const big = new Uint8Array(1_000_000)
    expect((await failureOf(upload.append(body(big))))?.code).toBe('no-space')
    expect(upload.length).toBe(bytes.length)
  })

  test('belongs to who began it, and to its repository', () => {
    const { id } = uploads.begin(repository, 'ann')
    expect([find(id), find(id, other), find(id, repository, 'bob'), find(crypto.randomUUID())]).toEqual([
      id,
      'no-upload',
      'no-upload',
      'no-upload',
    ])
  })

  test('ends a day after anybody did something with it', async () => {
    const [kept, left] = [uploads.begin(repository, 'ann'), uploads.begin(repository, 'ann')]
    await left.append(body(bytes))
    clock.advance(23 * 3600_000)
    await kept.append(body(bytes))
    clock.advance(3600_000)
    await uploads.sweep()
    expect([find(kept.id), find(left.id), uploads.size]).toEqual([kept.id, 'no-upload', 1])
    await uploads.close()
    expect([uploads.size, store.usage().bytes]).toEqual([0, 0])
  })

  test('is one of a bounded number, of which the one goes that has rested longest, if for long enough', async () => {
    const [first, second] = [uploads.begin(repository, 'ann'), uploads.begin(repository, 'ann')]
    for (let i = 2; i < 512; i++) uploads.begin(repository, 'ann')
    clock.advance(599_999)
    await first.append(body(bytes))
    expect(() => uploads.begin(repository, 'ann')).toThrow('512 uploads are under way; come again')
    clock.advance(1)
    const { id } = uploads.begin(repository, 'ann')
    expect([find(first.id), find(second.id), find(id), uploads.size]).toEqual([first.id, 'no-upload', id, 512])
  })

  test('makes room once it rests, the one that has rested longest first, and none that is being written', async () => {
    const [busy, old, older, fresh, next] = [1, 2, 3, 4, 5].map(() => uploads.begin(repository, 'ann'))
    const third = new Uint8Array(350_000)
    await older!.append(body(third))
    clock.advance(1)
    await old!.append(body(third))
    clock.advance(599_998)
    await fresh!.append(body(bytes))
    const gate = Promise.withResolvers<void>()
    const writing = busy!.append(
      (async function* () {
        yield bytes
        await gate.promise
      })(),
    )
    expect((await failureOf(next!.append(body(third))))?.code).toBe('no-space')
    clock.advance(1)
    await next!.append(body(third))
    expect([busy, old, older, fresh].map((upload) => find(upload!.id))).toEqual([
      busy!.id,
      old!.id,
      'no-upload',
      fresh!.id,
    ])
    gate.resolve()
    await writing
  })

  test('that would not fit into an empty store ends no other', async () => {
    const full = new Failure('no-space', 'more than fit', { detail: { mostBytes: 5 } })
    const rests = uploads.begin(repository, 'ann')
    clock.advance(600_000)
    expect(await failureOf(uploads.withRoom(() => Promise.reject(full)))).toBe(full)
    expect(find(rests.id)).toBe(rests.id)
  })
})

test('the statements of what was uploaded say what each piece is, and a small blob needs none', async () => {
  const signer = { id: 'self', sign: () => new Uint8Array(64) }
  const big = crypto.getRandomValues(new Uint8Array(60_000)).toHex().repeat(6)
  const content = new Uint8Array(Buffer.from(big))
  const upload = uploads.begin(repository, 'ann')
  await upload.append(body(content.subarray(0, 400_000), content.subarray(400_000)))
  const digest = digestOf(content)
  const metainfo = new Metainfo(digest, layoutOf(content.length))
  for (const segment of await statementsOf(upload.spool, digest, signer)) metainfo.add(segment)
  expect([metainfo.layout.count, metainfo.known.complete]).toEqual([3, true])
  expect(metainfo.verify(1, content.subarray(262_144, 524_288))).toBe(true)
  expect(metainfo.verify(1, content.subarray(0, 262_144))).toBe(false)
  const small = uploads.begin(repository, 'ann')
  await small.append(body(bytes))
  expect(await statementsOf(small.spool, digestOf(bytes), signer)).toEqual([])
})
