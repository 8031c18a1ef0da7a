/** Pieces that rotted on the disk and come anew: what they take of it, and that nothing mended is thrown away again. */
import { expect, spyOn, test } from 'bun:test'
import { closeSync, openSync, statSync, utimesSync, writeSync } from 'node:fs'
import { sample } from '../../test/conformance/blob-store.ts'
import { diskStores } from '../../test/fakes/disk-stores.ts'
import type { DiskBlob } from './disk-blob.ts'
import type { DiskStoreOptions } from './disk-store.ts'

const pieceLength = 256 * 1024
const { newDir, openStore } = diskStores()
const made = sample(6 * pieceLength)
const { digest, size, layout, piece, segment } = made

/** What a disk does to some pieces, without anybody being told. */
function spoil(path: string, pieces: readonly number[]): void {
  const { atime, mtime } = statSync(path)
  const file = openSync(path, 'r+')
  for (const wrong of pieces) writeSync(file, Buffer.from([piece(wrong)[99]! ^ 1]), 0, 1, wrong * pieceLength + 99)
  closeSync(file)
  utimesSync(path, atime, mtime)
}

/** A store that was opened anew, with a whole blob of which those pieces have rotted meanwhile. */
async function rotten(pieces: readonly number[], options: Partial<DiskStoreOptions> = {}) {
  const dir = newDir()
  const first = await openStore(dir)
  const blob = first.create({ digest, size, kind: 'blob' })
  blob.learn(segment())
  for (let i = 0; i < layout.count; i++) await blob.write(i, piece(i))
  await blob.finish()
  await first.close()
  spoil(blob.path, pieces)
  const reopen = async () => {
    const store = await openStore(dir, { beside: () => 0, ...options })
    return { store, blob: store.find(digest)! }
  }
  return { ...(await reopen()), reopen }
}

const takes = ({ path }: DiskBlob) => statSync(path).blocks * 512

test('a piece that comes anew takes no more of the disk than the wrong one did, also when a restart is between', async () => {
  const { store, blob, reopen } = await rotten([1, 4])
  expect(await blob.check(1)).toBe(false)
  expect(store.usage().disk).toBe(takes(blob))
  await blob.write(4, piece(4))
  expect(store.usage()).toMatchObject({ disk: takes(blob), bytes: 5 * pieceLength })
  await store.close()
  const again = await reopen()
  expect([...again.blob.have.indexes()]).toEqual([0, 2, 3, 4, 5])
  await again.blob.write(1, piece(1))
  expect(again.store.usage()).toMatchObject({ disk: takes(again.blob), bytes: size })
})

test('a store that holds nothing but the blob, and may hold no more, mends it', async () => {
  const { store, blob } = await rotten([1, 4], { limitBytes: size })
  expect(await blob.check(4)).toBe(false)
  await Promise.all([1, 4].map((wrong) => blob.write(wrong, piece(wrong))))
  await blob.finish()
  expect(store.usage()).toMatchObject({ disk: size, bytes: size, complete: 1 })
})

test('what was mended while another look went on stays', async () => {
  const { store, blob } = await rotten([1, 4])
  const { files } = store
  const [reached, opened] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const use = files.use.bind(files)
  let reads = 0
  const slow = spyOn(files, 'use').mockImplementation(async (path, create, task) => {
    // The first look has found piece 1, and is about to look at the others.
    if (++reads === 2) {
      reached.resolve()
      await opened.promise
    }
    return use(path, create, task)
  })
  const damaged: unknown[] = []
  store.onDamaged((_, pieces) => void damaged.push([...pieces].sort()))
  const first = blob.check(1)
  await reached.promise
  expect(await blob.check(4)).toBe(false)
  expect(damaged).toEqual([[1, 4]])
  for (const wrong of [1, 4]) await blob.write(wrong, piece(wrong))
  await blob.finish()
  opened.resolve()
  expect(await first).toBe(false)
  slow.mockRestore()
  expect([blob.complete, blob.have.count, damaged.length]).toEqual([true, 6, 1])
  expect(store.usage()).toMatchObject({ bytes: size, complete: 1, partial: 0 })
})

test('a piece that two looks found is told of once, and one that only the slower of them could see is told of too', async () => {
  const { store, blob } = await rotten([])
  // All of it was seen to be right: a look at one piece takes the others for what they were.
  for (let i = 0; i < layout.count; i++) await blob.check(i)
  spoil(blob.path, [2, 5])
  const damaged: unknown[] = []
  store.onDamaged((_, pieces, whole) => void damaged.push([...pieces].sort(), whole))
  expect(await Promise.all([2, 2, 5].map((i) => blob.check(i)))).toEqual([false, false, false])
  expect([...blob.have.indexes()]).toEqual([0, 1, 3, 4])
  // Whichever look ends first, each is told of once.
  expect(
    damaged
      .flat()
      .filter((told) => typeof told === 'number')
      .sort(),
  ).toEqual([2, 5])
  expect(damaged.filter((told) => told === true)).toEqual([true])
  expect(store.usage()).toMatchObject({ bytes: 4 * pieceLength, complete: 0, partial: 1 })
})
