import { expect, test } from 'bun:test'
import { describeBlobStore, sample } from '../conformance/blob-store.ts'
import { FakeClock } from './clock.ts'
import { MemoryStore } from './memory-store.ts'

describeBlobStore('MemoryStore', async (setup) => new MemoryStore(setup))

test('a memory store told not to check believes the pieces', async () => {
  const store = new MemoryStore({ clock: new FakeClock(), checkWhole: false })
  const { digest } = sample(100)
  const blob = store.create({ digest, size: 100, kind: 'blob' })
  await blob.write(0, new Uint8Array(100))
  await blob.finish()
  expect(blob.complete).toBe(true)
})
