import { describe, expect, spyOn, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import { blobFacts, pageOf } from './blob-facts.ts'
import { type BlobQuery, blobSchema } from './view.ts'

const KiB = 1024

test('a blob in part tells the bytes that are here, the last piece being shorter', async () => {
  const clock = new FakeClock()
  const store = new MemoryStore({ clock })
  const size = 2 * 256 * KiB + 100
  const digest = digestOf(new Uint8Array(size))
  const blob = store.create({ digest, size, kind: 'blob', mediaType: 'application/x-layer' })
  store.seenIn(digest, repositoryOf('ghcr.io', 'org/app'))

  await blob.write(2, new Uint8Array(100))
  expect(blobFacts(blob, store)).toMatchObject({ bytes: 100, complete: false, pieces: { have: 1, total: 3 } })
  await blob.write(0, new Uint8Array(256 * KiB))
  expect(blobFacts(blob, store)).toMatchObject({ bytes: 256 * KiB + 100, pieces: { have: 2, total: 3 } })
  await blob.write(1, new Uint8Array(256 * KiB))
  await blob.finish()
  const facts = blobFacts(blob, store)
  expect(facts).toMatchObject({ size, bytes: size, complete: true, mediaType: 'application/x-layer' })
  expect(facts.repositories).toEqual(['ghcr.io/org/app'])
  expect(blobSchema.safeParse(JSON.parse(JSON.stringify(facts))).error).toBeUndefined()
})

test('an empty blob is whole with no bytes', async () => {
  const store = new MemoryStore({ clock: new FakeClock() })
  const empty = new Uint8Array()
  const blob = await store.put({ digest: digestOf(empty), kind: 'blob' }, empty)
  expect(blobFacts(blob, store)).toMatchObject({ size: 0, bytes: 0, complete: true, repositories: [] })
})

describe('a page of blobs', () => {
  /** Three, the later the later used. */
  async function shelf() {
    const clock = new FakeClock()
    const store = new MemoryStore({ clock })
    const add = async (name: string, whole: boolean, ...repositories: string[]) => {
      clock.advance(1000)
      const bytes = new TextEncoder().encode(name)
      const spec = { digest: digestOf(bytes), kind: 'blob', mediaType: `Application/vnd.${name}` } as const
      if (whole) await store.put(spec, bytes)
      else store.create({ ...spec, size: 1e6 })
      for (const repository of repositories) store.seenIn(spec.digest, repositoryOf('ghcr.io', repository))
      return spec.digest
    }
    await add('config', true, 'library/debian')
    await add('partial', false, 'org/app')
    const layer = await add('layer', true, 'org/app', 'library/debian')
    const list = (query: Partial<BlobQuery>) => pageOf(store, { limit: 100, offset: 0, ...query })
    const types = (query: Partial<BlobQuery>) => list(query).blobs.map(({ mediaType }) => mediaType?.split('.').at(-1))
    return { store, layer, list, types }
  }

  test('has what was last used first', async () => {
    const { list, types } = await shelf()
    expect(types({})).toEqual(['layer', 'partial', 'config'])
    expect(types({ limit: 1, offset: 1 })).toEqual(['partial'])
    expect(list({ offset: 9 })).toEqual({ blobs: [], total: 3, limit: 100, offset: 9 })
  })

  test('has blobs in a state, or with a text in their digest, their media type or where they were seen', async () => {
    const { layer, list, types } = await shelf()
    expect(types({ state: 'complete' })).toEqual(['layer', 'config'])
    expect(types({ state: 'partial' })).toEqual(['partial'])
    expect(types({ filter: 'GHCR.io/org' })).toEqual(['layer', 'partial'])
    expect(types({ filter: 'VND.con' })).toEqual(['config'])
    expect(types({ filter: layer.toUpperCase() })).toEqual(['layer'])
    expect(list({ filter: 'debian', limit: 1 })).toMatchObject({ total: 2, blobs: [{ digest: layer }] })
  })

  test('asks of the blobs on it alone where they were seen', async () => {
    const store = new MemoryStore({ clock: new FakeClock() })
    for (let i = 0; i < 1000; i++) {
      const digest = digestOf(new Uint8Array(i + 1))
      store.create({ digest, size: i + 1, kind: 'blob' })
      store.seenIn(digest, repositoryOf('ghcr.io', `org/${i % 2}`))
    }
    const asked = spyOn(store, 'repositoriesOf')
    const seen = new Set<string>()
    for (let offset = 0; offset < 1000; offset += 15) {
      for (const { digest } of pageOf(store, { limit: 15, offset }).blobs) seen.add(digest)
    }
    expect([seen.size, asked.mock.calls.length]).toEqual([1000, 1000])
    expect(pageOf(store, { limit: 15, offset: 0, filter: 'org/1' })).toMatchObject({ total: 500 })
    expect(asked).toHaveBeenCalledTimes(1015)
  })
})
