import { afterEach, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { diskStores, messageOf } from '../../test/fakes/disk-stores.ts'
import { digestOf } from '../oci/digest.ts'
import { pieceDigest } from '../piece/metainfo.ts'
import type { BorrowedFile } from './borrowed.ts'
import type { DiskStore } from './disk-store.ts'

const { newDir, openStore, killedNow } = diskStores()
const bytes = bytesOf(700_000)
const digest = digestOf(bytes)
const spec = { digest, size: bytes.length, kind: 'blob' } as const

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** A file of another program, as it leaves it: nobody writes to it any more. */
function theirs(content: Uint8Array = bytes): string {
  const folder = mkdtempSync(join(tmpdir(), 'shoal-theirs-'))
  folders.push(folder)
  const path = join(folder, digest.slice(7))
  writeFileSync(path, content)
  chmodSync(path, 0o444)
  return path
}

function factsOf(path: string): BorrowedFile {
  const { mtimeMs, ctimeMs } = statSync(path)
  return { path, mtime: Math.floor(mtimeMs), changedAt: ctimeMs }
}

/** Holds the blob in a file of its own, on the disk. */
async function stored(store: DiskStore) {
  const blob = await store.put({ digest, kind: 'blob' }, bytes)
  await store.find(digest)!.sync()
  return blob
}

const all = { start: 0, end: bytes.length }

describe('a blob that is read from a file of another program', () => {
  test('takes nothing of the disk here, and its own file is gone', async () => {
    const store = await openStore()
    const blob = await stored(store)
    const own = blob.path
    expect(store.usage()).toMatchObject({ disk: expect.any(Number), complete: 1 })
    const path = theirs()
    expect<unknown>(store.borrow(spec, factsOf(path))).toBe(blob)
    expect(blob).toMatchObject({ path, borrowed: true, complete: true, gone: false })
    expect(existsSync(own)).toBe(false)
    expect(await blob.read(all)).toEqual(bytes)
    expect(blob.sound()).toBe(true)
    expect(store.usage().borrowed).toEqual({ blobs: 1, bytes: bytes.length })
    expect([...store.all()].reduce((sum, { disk }) => sum + disk, 0)).toBe(0)
  })

  test('may be one that the store did not have', async () => {
    const store = await openStore()
    const blob = store.borrow(spec, factsOf(theirs()))!
    expect(blob).toMatchObject({ complete: true, borrowed: true })
    expect(await blob.read(all)).toEqual(bytes)
  })

  test('is still that after a restart, and after a crash', async () => {
    const dir = newDir()
    const store = await openStore(dir)
    await stored(store)
    const path = theirs()
    store.borrow(spec, factsOf(path))
    const crashed = await openStore(killedNow(dir))
    await store.close()
    for (const again of [crashed, await openStore(dir)]) {
      const blob = again.find(digest)!
      expect(blob).toMatchObject({ path, borrowed: true, complete: true, disk: 0 })
      expect(await blob.read(all)).toEqual(bytes)
    }
  })

  test('is forgotten at the next start where the file has gone or is another one', async () => {
    const changes = [
      (path: string) => rmSync(path),
      (path: string) => writeFileSync(path, 'x'),
      (path: string) => utimesSync(path, new Date(0), new Date(0)),
    ]
    for (const change of changes) {
      const dir = newDir()
      const store = await openStore(dir)
      const path = theirs()
      store.borrow(spec, factsOf(path))
      await store.close()
      chmodSync(path, 0o644)
      change(path)
      expect((await openStore(dir)).find(digest)).toBeUndefined()
    }
  })

  test('a file of its own that a crash left beside it is swept away', async () => {
    const dir = newDir()
    const store = await openStore(dir)
    const { path: own } = await stored(store)
    store.borrow(spec, factsOf(theirs()))
    await store.close()
    writeFileSync(own, bytes)
    await openStore(dir)
    expect(existsSync(own)).toBe(false)
  })

  test('is not taken while somebody uses the blob, nor before it is whole', async () => {
    const store = await openStore()
    const blob = await stored(store)
    const file = factsOf(theirs())
    const letGo = blob.hold()
    expect(store.borrow(spec, file)).toBeUndefined()
    letGo()
    expect<unknown>(store.borrow(spec, file)).toBe(blob)
    const other = bytesOf(300_000, 7)
    const partial = store.create({ ...spec, digest: digestOf(other), size: other.length })
    expect(store.borrow({ ...spec, digest: partial.digest, size: other.length }, file)).toBeUndefined()
  })

  test('is gone at once when it is given back, also for who reads it', async () => {
    const store = await openStore()
    const gone: string[] = []
    store.onGone((blob) => void gone.push(blob.digest))
    const blob = store.borrow(spec, factsOf(theirs()))!
    blob.hold()
    expect(store.giveBack(digest, 'a test')).toBe(true)
    expect(gone).toEqual([digest])
    expect(store.find(digest)).toBeUndefined()
    expect(await messageOf(blob.read(all))).toContain('was removed from this node meanwhile')
    expect(existsSync(blob.path)).toBe(true)
    expect(store.giveBack(digest, 'a test')).toBe(false)
  })

  test('is gone when the file has gone, and what has been read was right', async () => {
    const store = await openStore()
    const path = theirs()
    const blob = store.borrow(spec, factsOf(path))!
    rmSync(path)
    expect(blob.sound(0)).toBe(false)
    expect(await messageOf(blob.check(0))).toContain('was removed from this node meanwhile')
    expect(blob.gone).toBe(true)
    expect(store.find(digest)).toBeUndefined()
  })

  test('whose file has a wrong byte is dropped, and the file stays as it is', async () => {
    const store = await openStore()
    const path = theirs()
    const blob = await stored(store)
    for (let piece = 0; piece < blob.layout.count; piece++) {
      const start = piece * blob.layout.pieceLength
      const digests = pieceDigest(bytes.subarray(start, start + blob.layout.pieceLength))
      blob.learn({ first: piece, digests, signer: 'me', signature: new Uint8Array() })
    }
    store.borrow(spec, factsOf(path))
    const wrong = bytes.slice()
    wrong[300_000]! ^= 1
    chmodSync(path, 0o644)
    writeFileSync(path, wrong)
    expect(blob.sound(1)).toBe(false)
    expect(await messageOf(blob.check(1))).toContain('is damaged')
    expect(store.find(digest)).toBeUndefined()
    expect(new Uint8Array(readFileSync(path))).toEqual(wrong)
  })

  test('is never evicted, and removing it leaves the file alone', async () => {
    const store = await openStore(newDir(), { ttlMs: 1 })
    const path = theirs()
    const blob = store.borrow(spec, factsOf(path))!
    const plan = await store.evict(0)
    expect(plan.remove).toEqual([])
    expect(plan.reasons.get(digest)).toBe('of the engine')
    expect(await store.remove(digest)).toBe(true)
    expect(blob.gone).toBe(true)
    expect(existsSync(path)).toBe(true)
  })

  test('leaves room for a blob that the store could not hold beside it', async () => {
    const store = await openStore(newDir(), { limitBytes: 1_000_000, beside: () => 0 })
    await stored(store)
    store.borrow(spec, factsOf(theirs()))
    const other = bytesOf(900_000, 3)
    await store.put({ digest: digestOf(other), kind: 'blob' }, other)
    expect(store.find(digest)?.complete).toBe(true)
    expect(store.usage()).toMatchObject({ complete: 2 })
  })

  test('has a file of its own again when it is taken back, also after a restart', async () => {
    const dir = newDir()
    const store = await openStore(dir)
    const path = theirs()
    const blob = store.borrow(spec, factsOf(path))!
    expect(await store.takeBack(digest)).toBe(true)
    rmSync(path)
    expect(blob.borrowed).toBe(false)
    expect(store.usage().borrowed).toBeUndefined()
    expect(store.find(digest)!.disk).toBeGreaterThanOrEqual(bytes.length)
    expect(await blob.read(all)).toEqual(bytes)
    expect(await store.takeBack(digest)).toBe(false)
    await store.close()
    const again = (await openStore(dir)).find(digest)!
    expect([again.complete, again.borrowed]).toEqual([true, false])
    expect(await again.read(all)).toEqual(bytes)
  })

  test('is not taken back where there is no room, nor when the file goes meanwhile', async () => {
    const small = await openStore(newDir(), { limitBytes: 600_000, beside: () => 0 })
    const path = theirs()
    const blob = small.borrow(spec, factsOf(path))!
    expect(await messageOf(small.takeBack(digest))).toContain('--cache-size')
    expect(blob).toMatchObject({ borrowed: true, gone: false })
    const dir = newDir()
    const store = await openStore(dir)
    store.borrow(spec, factsOf(path))
    const taking = messageOf(store.takeBack(digest))
    rmSync(path)
    store.giveBack(digest, 'a test')
    expect(await taking).not.toBe('')
    expect(store.find(digest)).toBeUndefined()
    expect(readdirSync(join(dir, 'blobs', '.trash'))).toEqual([])
  })

  test.each(['--cache-size', '--keep-free'])('is not taken back beyond %s, and nothing goes in vain', async (flag) => {
    const clock = new FakeClock()
    let free = 10_000_000
    const disk = () => ({ free, total: 10_000_000 })
    const limits = flag === '--keep-free' ? { keepFree: { bytes: 200_000 }, disk } : { limitBytes: 1_000_000 }
    const store = await openStore(newDir(), { clock, beside: () => 0, ...limits })
    const [pinned, idle] = [bytesOf(400_000, 1), bytesOf(300_000, 2)]
    for (const each of [pinned, idle]) await store.put({ digest: digestOf(each), kind: 'blob' }, each)
    store.pin({ digest: digestOf(pinned), reason: 'a test' })
    clock.advance(1000)
    free = 500_000
    const blob = store.borrow(spec, factsOf(theirs()))!
    const before = store.usage().disk
    expect(await messageOf(store.takeBack(digest))).toContain(flag)
    expect(store.find(digestOf(idle))?.complete).toBe(true)
    expect(store.usage().disk).toBe(before)
    expect(blob).toMatchObject({ borrowed: true, held: false })
    await store.remove(digest)
    expect(store.find(digest)).toBeUndefined()
  })

  test('has what is unused give way to it when it is taken back', async () => {
    const store = await openStore(newDir(), { limitBytes: 1_000_000, beside: () => 0 })
    const idle = bytesOf(400_000, 2)
    await store.put({ digest: digestOf(idle), kind: 'blob' }, idle)
    store.borrow(spec, factsOf(theirs()))
    expect(await store.takeBack(digest)).toBe(true)
    expect(store.find(digestOf(idle))).toBeUndefined()
    expect(store.usage().disk).toBeLessThanOrEqual(1_000_000)
  })

  test('of a file that was replaced is looked at anew before it is given to anybody', async () => {
    const store = await openStore()
    const path = theirs()
    const file = factsOf(path)
    const blob = store.borrow(spec, file)!
    expect(blob.sound()).toBe(true)
    // The kernel's clock for files may stand still for some milliseconds.
    while (factsOf(path).changedAt === file.changedAt) renameSync(theirs(), path)
    expect(blob.sound()).toBe(false)
  })
})
