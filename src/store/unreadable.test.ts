/** What a disk cannot read any more counts as wrong; what a disk that is gone cannot give does not. */
import { describe, expect, spyOn, test } from 'bun:test'
import { rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { sample } from '../../test/conformance/blob-store.ts'
import { BadDisk, errorOf } from '../../test/fakes/bad-disk.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { diskStores, messageOf, notingLog } from '../../test/fakes/disk-stores.ts'
import { until } from '../../test/lab/until.ts'
import { Failure } from '../failure.ts'
import { hexOf } from '../oci/digest.ts'
import { commitEvery } from './catalog.ts'
import { diskAnswers } from './unreadable.ts'

const pieceLength = 256 * 1024
const { newDir, openStore, killedNow } = diskStores()
const made = sample(4 * pieceLength - 100)
const { digest, size, layout, piece, segment } = made
const file = hexOf(digest)

const badAt = (...pieces: number[]) => pieces.map((each) => ({ file, at: each * pieceLength + 9 }))
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error: unknown) => Failure.from(error).code,
  )

/** A store on such a disk, with a whole blob that has lain there since another process. */
async function shelved() {
  const disk = new BadDisk()
  const dir = newDir()
  const first = await openStore(dir)
  const written = first.create({ digest, size, kind: 'blob' })
  written.learn(segment())
  for (let i = 0; i < layout.count; i++) await written.write(i, piece(i))
  await written.finish()
  await first.close()
  const store = await openStore(dir, disk)
  return { disk, dir, store, blob: store.find(digest)! }
}

describe.each(['EIO', 'EUCLEAN', 'EBADMSG', 'EILSEQ'])('a piece of which the disk says %s', (code) => {
  test('is lost, with all the others like it, and comes anew', async () => {
    const { disk, store, blob } = await shelved()
    disk.code = code
    disk.bad = badAt(1, 3)
    const damaged: unknown[] = []
    store.onDamaged((_, pieces, whole) => void damaged.push(pieces, whole))
    expect(await blob.check(1)).toBe(false)
    expect([blob.complete, blob.gone, [...blob.have.indexes()]]).toEqual([false, false, [0, 2]])
    expect(damaged).toEqual([[1, 3], true])
    disk.bad = []
    for (const i of [1, 3]) await blob.write(i, piece(i))
    await blob.finish()
    expect(Buffer.from(await blob.read({ start: 0, end: size })).equals(made.bytes)).toBe(true)
  })
})

test('what was right a moment ago and cannot be read now is lost, too', async () => {
  const { disk, blob } = await shelved()
  for (let i = 0; i < layout.count; i++) await blob.check(i)
  disk.bad = badAt(2)
  expect(await codeOf(blob.read({ start: pieceLength, end: size }))).toBe('corrupt')
  expect([...blob.have.indexes()]).toEqual([0, 1, 3])
})

test('a piece that cannot be read back for the digest of the whole is lost, and nothing else', async () => {
  const disk = new BadDisk()
  const store = await openStore(newDir(), disk)
  const blob = store.create({ digest, size, kind: 'blob' })
  disk.bad = badAt(2)
  for (const i of [1, 2, 3, 0]) await blob.write(i, piece(i))
  expect(await codeOf(blob.finish())).toBe('unavailable')
  expect([blob.gone, [...blob.have.indexes()], store.find(digest) === blob]).toEqual([false, [0, 1, 3], true])
  disk.bad = []
  await blob.write(2, piece(2))
  await blob.finish()
  expect(blob.complete).toBe(true)
})

test('a file that cannot be opened is dropped, for nothing could be written to it', async () => {
  const { store, blob } = await shelved()
  const use = spyOn(store.files, 'use').mockRejectedValue(errorOf('EUCLEAN', 'open'))
  expect(await codeOf(blob.check(0))).toBe('corrupt')
  use.mockRestore()
  expect([blob.gone, store.find(digest)]).toEqual([true, undefined])
})

test('the last piece is written where its last block cannot be read', async () => {
  const { disk, store, blob } = await shelved()
  disk.bad = badAt(3)
  expect(await blob.check(3)).toBe(false)
  disk.bad = []
  const use = spyOn(store.files, 'use').mockRejectedValueOnce(errorOf('EIO', 'write'))
  await blob.write(3, piece(3))
  use.mockRestore()
  await blob.finish()
  expect(blob.complete).toBe(true)
})

test('a disk that was away for a moment has lost nothing', async () => {
  const { disk, blob } = await shelved()
  disk.bad = badAt(0, 1)
  disk.times = 1
  expect(await blob.check(0)).toBe(true)
  expect(blob.complete).toBe(true)
})

test('a disk that is gone has lost nothing either: that is said, and when it is back all is there', async () => {
  const { disk, store, blob } = await shelved()
  disk.gone = true
  for (const read of [blob.check(1), blob.read({ start: 0, end: 10 })]) expect(await codeOf(read)).toBe('no-disk')
  expect([blob.complete, blob.have.complete, store.usage().complete]).toEqual([true, true, 1])
  expect(store.usage()).toMatchObject({ trouble: expect.stringContaining('check that disk'), broken: true })
  disk.gone = false
  expect(await blob.check(1)).toBe(true)
})

test.each(['EMFILE', 'ENOMEM', 'EACCES'])('%s says nothing of the bytes', async (code) => {
  const { disk, blob } = await shelved()
  disk.bad = badAt(1)
  disk.code = code
  expect(await messageOf(blob.check(1))).toContain(code)
  expect(await messageOf(blob.read({ start: 0, end: size }))).toContain(code)
  expect([blob.complete, blob.have.complete]).toEqual([true, true])
})

/** Has a blob brought to the disk, which says that the first time; `files` are those of its store. */
async function brought(error: Error) {
  const clock = new FakeClock()
  const { log, lines } = notingLog()
  const store = await openStore(newDir(), { clock, log })
  const blob = store.create({ digest, size, kind: 'blob' })
  for (let i = 0; i < layout.count; i++) await blob.write(i, piece(i))
  const use = spyOn(store.files, 'use').mockRejectedValueOnce(error)
  await blob.finish()
  await Bun.sleep(100)
  expect(use).toHaveBeenCalledTimes(1)
  return { clock, store, blob, lines }
}

test.each(['EMFILE', 'ENFILE', 'ENOMEM', 'EACCES'])('%s of an open throws nothing away that is whole', async (code) => {
  const { clock, blob, lines } = await brought(errorOf(code, 'open'))
  expect([blob.complete, blob.durable, blob.gone]).toEqual([true, false, false])
  expect(lines.join()).toContain(code)
  await clock.run(10_000)
  await until('it is on the disk', 5, () => blob.durable, 10)
})

test.each(['EIO', 'ENOSPC'])('what may be lost, as %s of an fsync says, is thrown away', async (code) => {
  const { store, blob } = await brought(errorOf(code, 'fsync'))
  expect([blob.gone, store.find(digest)]).toEqual([true, undefined])
})

describe('at the start', () => {
  const other = sample(3 * pieceLength, 2)

  /** After a power cut: a blob that was on its way, and another one that is whole. */
  async function cutOff(pieces: readonly number[]) {
    const live = newDir()
    const clock = new FakeClock()
    const store = await openStore(live, { clock })
    await store.put({ digest: other.digest, kind: 'blob' }, other.bytes)
    await store.find(other.digest)!.sync()
    const blob = store.create({ digest, size, kind: 'blob' })
    blob.learn(segment())
    for (const i of pieces) await blob.write(i, piece(i))
    clock.advance(commitEvery)
    const disk = new BadDisk()
    const { log, lines } = notingLog()
    return { dir: killedNow(live), disk, log, lines }
  }

  test('of a blob that is not whole only the pieces are lost that cannot be read', async () => {
    const { dir, disk, log } = await cutOff([0, 1, 3])
    disk.bad = badAt(1)
    const store = await openStore(dir, { bootId: 'two', log, ...disk })
    expect([...store.find(digest)!.have.indexes()]).toEqual([0, 3])
    expect(store.find(other.digest)?.complete).toBe(true)
  })

  test('a blob whose file has to be read again, and cannot be, is forgotten alone, and the log says so', async () => {
    const { dir, disk, log, lines } = await cutOff([0, 1, 2, 3])
    disk.bad = badAt(1)
    const store = await openStore(dir, { log, ...disk })
    expect([...store.all()].map((blob) => blob.digest)).toEqual([other.digest])
    expect(lines.find((line) => line.startsWith('forgot a blob'))).toContain('the disk cannot read its file: EIO')
  })

  test('when the catalog is made anew, what cannot be read is left out', async () => {
    const { dir, disk, log } = await cutOff([0, 1, 2, 3])
    for (const name of ['shoal.db-wal', 'shoal.db-shm']) rmSync(join(dir, name), { force: true })
    writeFileSync(join(dir, 'shoal.db'), 'x'.repeat(8192))
    disk.bad = badAt(1)
    const store = await openStore(dir, { log, ...disk })
    expect([...store.all()].map((blob) => blob.digest)).toEqual([other.digest])
  })

  test('a disk that is gone keeps the node from starting, and what is on it is there when it is back', async () => {
    const { dir, disk, log } = await cutOff([0, 1, 3])
    utimesSync(join(dir, 'blobs/sha256', hexOf(other.digest).slice(0, 2), hexOf(other.digest)), 1, 1)
    disk.gone = true
    expect(await messageOf(openStore(dir, { bootId: 'two', log, ...disk }))).toContain('check that disk')
    disk.gone = false
    const store = await openStore(dir, { bootId: 'two', log, ...disk })
    expect(store.find(digest)?.have.count).toBe(3)
    expect(store.find(other.digest)?.complete).toBe(true)
  })
})

test('a real disk answers, and one that is not there does not', async () => {
  const dir = newDir()
  expect([await diskAnswers(dir), await diskAnswers(join(dir, 'nothing'))]).toEqual([true, false])
})
