import { expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import { blobFacts } from './blob-facts.ts'
import { blobSchema } from './view.ts'

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
