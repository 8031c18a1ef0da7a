import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { closeSync, existsSync, openSync, readdirSync, statSync, truncateSync, utimesSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { describeBlobStore, sample } from '../../test/conformance/blob-store.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { diskStores, messageOf, notingLog } from '../../test/fakes/disk-stores.ts'
import type { Digest } from '../oci/digest.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import type { DiskStoreOptions } from './disk-store.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

const pieceLength = 256 * 1024
const { newDir, openStore, killedNow } = diskStores()

describeBlobStore('DiskStore', (setup) => openStore(newDir(), { ...setup, beside: () => 0 }))

describe('a running store', () => {
  test('keeps files sparse and at the place their digest names', async () => {
    const dir = newDir()
    const store = await openStore(dir)
    const { digest, size, piece } = sample(16 * pieceLength)
    const blob = store.create({ digest, size, kind: 'blob' })
    await blob.write(15, piece(15))
    const hex = digest.slice(7)
    expect(blob.path).toBe(join(dir, 'blobs', 'sha256', hex.slice(0, 2), hex))
    expect(statSync(blob.path).size).toBe(size)
    expect(statSync(blob.path).blocks * 512).toBeLessThan(2 * pieceLength)
  })

  test('makes a blob of what arrived without copying it, and knows it after a restart, killed or not', async () => {
    const dir = newDir()
    const store = await openStore(dir)
    const it = sample(3 * pieceLength)
    const spool = store.spool()
    await spool.append(it.bytes)
    const [name = ''] = readdirSync(join(dir, 'blobs/.spool'))
    const { ino } = statSync(join(dir, 'blobs/.spool', name))
    const blob = await spool.keep({ digest: it.digest, kind: 'blob' }, [it.segment()])
    expect(statSync(blob.path).ino).toBe(ino)
    const again = await openStore(killedNow(dir), { bootId: 'another' })
    expect(again.find(it.digest)).toMatchObject({ complete: true, size: it.size })
    expect(again.find(it.digest)!.metainfo.known.complete).toBe(true)
    expect(await again.find(it.digest)!.check(1)).toBe(true)
  })

  test('forgets what had only begun to arrive when it starts again', async () => {
    const dir = newDir()
    const store = await openStore(dir)
    const spool = store.spool()
    await spool.append(sample(1000).bytes)
    const copy = killedNow(dir)
    await openStore(copy)
    expect([readdirSync(join(dir, 'blobs/.spool')).length, readdirSync(join(copy, 'blobs/.spool'))]).toEqual([1, []])
    await spool.discard()
    expect(readdirSync(join(dir, 'blobs/.spool'))).toEqual([])
  })

  test('keeps in memory what pieces are of the blobs that were asked for it lately, and of those that arrive', async () => {
    const store = await openStore()
    const [whole, part] = [sample(3 * pieceLength, 1), sample(3 * pieceLength, 2)]
    const blob = store.create({ digest: whole.digest, size: whole.size, kind: 'blob' })
    for (const segment of [whole.segment(1, 2), whole.segment(0, 1)]) blob.learn(segment)
    for (const i of [0, 1, 2]) await blob.write(i, whole.piece(i))
    await blob.finish()
    const arriving = store.create({ digest: part.digest, size: part.size, kind: 'blob' })
    const { known } = arriving.metainfo
    const before = new WeakRef(blob.metainfo)
    await store.settled(blob.digest)
    expect([...store.metainfos.keys()]).toEqual([blob])
    // As by the transfer that is over and the links that are told of it.
    expect(blob.metainfo).toBe(before.deref()!)
    for (let seed = 1000; seed < 1300; seed++) {
      const { digest, bytes } = sample(10, seed)
      const other = await store.put({ digest, kind: 'blob' }, bytes)
      await store.settled(digest)
      expect(other.metainfo.known.complete).toBe(true)
    }
    expect(store.metainfos.size).toBe(256)
    expect(blob.metainfo === before.deref()).toBe(false)
    expect(blob.metainfo.segments).toEqual([whole.segment(1, 2), whole.segment(0, 1)])
    arriving.learn(part.segment(2, 1))
    expect([...known.indexes()]).toEqual([2])
    await store.remove(blob.digest)
    expect(store.metainfos.size).toBe(255)
  })

  test('asks what rules say of a blob once, and again when it was seen elsewhere', async () => {
    const clock = new FakeClock()
    const asked: string[][] = []
    const idle: DiskStoreOptions['idle'] = (repositories) => {
      asked.push(repositories.map(({ name }) => name))
      return repositories.length > 1 ? { ms: 3600_000, rule: 'both' } : { ms: 90_000, rule: 'one' }
    }
    const store = await openStore(newDir(), { clock, idle })
    const samples = [1, 2, 3].map((seed) => sample(10, seed))
    for (const { digest, bytes } of samples) {
      await store.put({ digest, kind: 'blob' }, bytes)
      store.seenIn(digest, repositoryOf('r.io', 'a'))
    }
    for (let at = 0; at < 70; at++) clock.advance(1000)
    expect(asked).toEqual([['a'], ['a'], ['a']])
    const { digest, bytes } = samples[0]!
    store.seenIn(digest, repositoryOf('r.io', 'b'))
    for (let at = 0; at < 30; at++) clock.advance(1000)
    expect(new Set(asked.splice(3).flat())).toEqual(new Set(['a', 'b']))
    expect([...store.all()].map((blob) => blob.digest)).toEqual([digest])
    // It may have been forgotten meanwhile where one that comes again was seen.
    await store.remove(digest)
    await store.put({ digest, kind: 'blob' }, bytes)
    clock.advance(10_000)
    expect(asked).toHaveLength(4)
  })

  test('deletes the file of a blob that is removed', async () => {
    const dir = newDir()
    const store = await openStore(dir)
    const { digest, bytes } = sample(1000)
    const blob = await store.put({ digest, kind: 'blob' }, bytes)
    await store.remove(digest)
    expect(existsSync(blob.path)).toBe(false)
    expect(readdirSync(join(dir, 'blobs/.trash'))).toEqual([])
  })

  test('drops a blob whose file was cut short behind its back rather than serve less', async () => {
    const store = await openStore(newDir())
    const { digest, bytes } = sample(1000)
    const blob = await store.put({ digest, kind: 'blob' }, bytes)
    truncateSync(blob.path, 500)
    expect(await messageOf(blob.read({ start: 400, end: 600 }))).toContain('its file ends at byte 500')
    expect(blob.gone).toBe(true)
  })

  test('leaves free on the disk what is to stay free: old blobs go, and when none can, nothing more is taken', async () => {
    const clock = new FakeClock()
    let free = 10 * pieceLength
    const disk = () => ({ free, total: 100 * pieceLength })
    const store = await openStore(newDir(), { clock, keepFree: { share: 0.05 }, disk })
    const [old, next] = [sample(4 * pieceLength, 1), sample(4 * pieceLength, 2)]
    await store.put({ digest: old.digest, kind: 'blob' }, old.bytes)
    clock.advance(1000)
    free = 6 * pieceLength
    // Another program takes three quarters of what is left, and one of the blobs here has to make up for it.
    await store.put({ digest: next.digest, kind: 'blob' }, next.bytes)
    expect([store.find(old.digest), store.find(next.digest)?.complete]).toEqual([undefined, true])
    store.find(next.digest)!.hold()
    clock.advance(60_000)
    free = 4 * pieceLength
    const third = sample(pieceLength, 3)
    expect(await messageOf(store.put({ digest: third.digest, kind: 'blob' }, third.bytes))).toContain('--keep-free')
    expect(store.find(next.digest)?.complete).toBe(true)
  })

  test('makes up for it once, also while the disk is slow to say what was freed', async () => {
    const clock = new FakeClock()
    let free = 50 * pieceLength
    const disk = () => ({ free, total: 100 * pieceLength })
    const store = await openStore(newDir(), { clock, keepFree: { share: 0.05 }, disk })
    for (let i = 0; i < 10; i++) {
      const { digest, bytes } = sample(pieceLength, i)
      await store.put({ digest, kind: 'blob' }, bytes)
      clock.advance(1000)
    }
    free = 3 * pieceLength
    for (let i = 0; i < 30; i++) clock.advance(1000)
    expect([...store.all()]).toHaveLength(8)
  })

  test('forgets a tag that nobody has resolved for a month, once what it named is not here', async () => {
    const clock = new FakeClock()
    const store = await openStore(newDir(), { clock })
    const [here, gone] = [sample(1000, 1), sample(1000, 2)]
    await store.put({ digest: here.digest, kind: 'manifest' }, here.bytes)
    const repository = repositoryOf('docker.io', 'library/debian')
    const day = 24 * 3600_000
    const set = (tag: string, digest: Digest, days: number) => {
      const record = { digest, mediaType: 'application/m', size: 1000, resolvedAt: clock.wall() - days * day }
      store.setTag(repository, parseTag(tag), record)
    }
    set('here', here.digest, 40)
    set('gone', gone.digest, 40)
    set('fresh', gone.digest, 20)
    const known = () => ['here', 'gone', 'fresh'].filter((tag) => store.tag(repository, parseTag(tag)))
    expect(known()).toEqual(['here', 'gone', 'fresh'])
    clock.advance(day + 60_000)
    expect(known()).toEqual(['here', 'fresh'])
  })

  test('gives way within seconds while nothing is written: to others on the disk, and to a lower limit after a restart', async () => {
    const clock = new FakeClock()
    const dir = newDir()
    let free = 20 * pieceLength
    const disk = () => ({ free, total: 100 * pieceLength })
    const beside = () => 0
    const store = await openStore(dir, { clock, keepFree: { share: 0.05 }, disk, beside })
    const made = [1, 2, 3].map((seed) => sample(2 * pieceLength, seed))
    for (const { digest, bytes } of made) {
      await store.put({ digest, kind: 'blob' }, bytes)
      clock.advance(1000)
    }
    const here = (of: typeof store) => made.map(({ digest }) => of.find(digest) !== undefined)
    free = 4 * pieceLength
    clock.advance(10_000)
    expect(here(store)).toEqual([false, true, true])
    free = 20 * pieceLength
    await store.close()
    const { log, lines } = notingLog()
    const again = await openStore(dir, { clock, limitBytes: 3 * pieceLength, beside, log })
    expect(here(again)).toEqual([false, false, true])
    expect(lines.join()).toContain('"reason":"least recently used"')
  })

  test('keeps to its limits while nobody can say how long something may be unused, which then stays', async () => {
    const clock = new FakeClock()
    let fails = true
    const idle = () => {
      if (fails) throw new Error('disk I/O error')
      return { ms: 1000, rule: 'a/**: idle=1s' }
    }
    let free = 20 * pieceLength
    const disk = () => ({ free, total: 100 * pieceLength })
    const { log, lines } = notingLog()
    const limits = { ttlMs: 5000, idle, keepFree: { share: 0.05 }, disk, beside: () => 0 }
    const store = await openStore(newDir(), { clock, log, ...limits })
    const made = [1, 2].map((seed) => sample(2 * pieceLength, seed))
    for (const { digest, bytes } of made) {
      await store.put({ digest, kind: 'blob' }, bytes)
      clock.advance(1000)
    }
    const here = () => made.map(({ digest }) => store.find(digest) !== undefined)
    clock.advance(20_000)
    expect(here()).toEqual([true, true])
    free = 4 * pieceLength
    clock.advance(10_000)
    expect(here()).toEqual([false, true])
    expect(lines.join()).toContain('disk I/O error')
    free = 20 * pieceLength
    fails = false
    clock.advance(10_000)
    expect(here()).toEqual([false, false])
  })

  test('says what an eviction would remove and keep, and why, and does exactly that', async () => {
    const clock = new FakeClock()
    const store = await openStore(newDir(), { clock })
    const [old, held, fresh] = [sample(1000, 1), sample(1000, 2), sample(1000, 3)]
    for (const { digest, bytes } of [old, held, fresh]) {
      await store.put({ digest, kind: 'blob' }, bytes)
      clock.advance(1000)
    }
    store.find(held.digest)!.hold()
    store.find(fresh.digest)!.hold()()
    const plan = store.plan(8192)
    expect([...plan.reasons]).toEqual(
      expect.arrayContaining([
        [old.digest, 'least recently used'],
        [held.digest, 'in use'],
        [fresh.digest, 'within the limits'],
      ]),
    )
    expect(store.usage().complete).toBe(3)
    const { remove } = await store.evict(8192)
    expect(remove.map(({ digest }) => digest)).toEqual([old.digest])
    expect([...store.all()].map(({ digest }) => digest).sort()).toEqual([held.digest, fresh.digest].sort())
  })

  test('finds pieces that rotted, claims them no more, also after a restart, and is whole again when they are written', async () => {
    const dir = newDir()
    const store = await openStore(dir)
    const { digest, size, layout, piece, segment } = sample(6 * pieceLength)
    const blob = store.create({ digest, size, kind: 'blob' })
    blob.learn(segment())
    for (let i = 0; i < layout.count; i++) await blob.write(i, piece(i))
    await blob.finish()
    expect(blob.sound()).toBe(true)
    await store.close()
    const file = openSync(blob.path, 'r+')
    const { mtime, atime } = statSync(blob.path)
    for (const wrong of [1, 4]) writeSync(file, Buffer.from([7]), 0, 1, wrong * layout.pieceLength + 99)
    closeSync(file)
    utimesSync(blob.path, atime, mtime)

    const again = await openStore(dir)
    const found = again.find(digest)!
    const damaged: unknown[] = []
    again.onDamaged((_, pieces, whole) => void damaged.push([...pieces].sort(), whole))
    expect([found.complete, found.sound(), found.sound(0)]).toEqual([true, false, false])
    expect(await Promise.all([0, 1, 2, 3, 4, 5].map((i) => found.check(i)))).toEqual([
      true,
      false,
      true,
      true,
      false,
      true,
    ])
    expect(damaged).toEqual([[1, 4], true])
    expect([found.complete, found.have.has(1), found.have.has(4), found.have.count]).toEqual([false, false, false, 4])
    expect(again.usage()).toMatchObject({ bytes: 4 * pieceLength, complete: 0, partial: 1 })
    await again.close()

    const third = await openStore(dir)
    const left = third.find(digest)!
    expect([left.complete, left.have.count]).toEqual([false, 4])
    for (const wrong of [1, 4]) await left.write(wrong, piece(wrong))
    await left.finish()
    expect(left.complete).toBe(true)
    expect(third.usage()).toMatchObject({ bytes: size, complete: 1, partial: 0 })
  })

  test('takes nothing for seen once somebody has written to the file of a whole blob, whatever times it then has', async () => {
    const store = await openStore(newDir())
    const { digest, size, layout, piece, segment } = sample(2 * pieceLength)
    const blob = store.create({ digest, size, kind: 'blob' })
    blob.learn(segment())
    for (let i = 0; i < layout.count; i++) await blob.write(i, piece(i))
    await blob.finish()
    expect(blob.sound()).toBe(true)
    const { mtime, atime } = statSync(blob.path)
    // The kernel's clock for files has ticks of some milliseconds.
    await Bun.sleep(20)
    const file = openSync(blob.path, 'r+')
    writeSync(file, Buffer.from([7]), 0, 1, pieceLength + 99)
    closeSync(file)
    utimesSync(blob.path, atime, mtime)
    expect([blob.sound(), blob.sound(0), blob.sound(1)]).toEqual([false, false, false])
    const into = new Uint8Array(pieceLength)
    expect([await blob.check(0, into), blob.sound(0)]).toEqual([true, true])
    expect(Buffer.compare(into, piece(0))).toBe(0)
    expect([await blob.check(1), blob.complete, blob.have.has(1)]).toEqual([false, false, false])
  })

  test('claims no piece of an incomplete blob any more that turned out to be wrong, and keeps the others', async () => {
    const dir = newDir()
    const store = await openStore(dir)
    const { digest, size, piece, segment } = sample(4 * pieceLength)
    const blob = store.create({ digest, size, kind: 'blob' })
    blob.learn(segment())
    for (const i of [0, 1, 2]) await blob.write(i, piece(i))
    const file = openSync(blob.path, 'r+')
    writeSync(file, Buffer.from([7]), 0, 1, pieceLength + 99)
    closeSync(file)
    const damaged: unknown[] = []
    store.onDamaged((_, pieces, whole) => void damaged.push(pieces, whole))
    expect(await Promise.all([0, 1, 2].map((i) => blob.check(i)))).toEqual([true, false, true])
    expect(damaged).toEqual([[1], false])
    expect([blob.have.has(1), blob.have.count, store.usage().bytes]).toEqual([false, 2, 2 * pieceLength])
    await store.close()
    const again = (await openStore(dir)).find(digest)!
    expect([again.have.has(1), again.have.count]).toEqual([false, 2])
    for (const i of [1, 3]) await again.write(i, piece(i))
    await again.finish()
    expect(again.complete).toBe(true)
  })

  test('remembers when all of a blob was last seen to be right', async () => {
    const dir = newDir()
    const clock = new FakeClock()
    const store = await openStore(dir, { clock })
    const { digest, bytes } = sample(1000)
    const blob = await store.put({ digest, kind: 'blob' }, bytes)
    expect(blob.verifiedAt).toBe(clock.wall())
    clock.advance(5000)
    blob.verified()
    await store.close()
    expect((await openStore(dir, { clock })).find(digest)?.verifiedAt).toBe(clock.wall())
  })

  test('removes what was not used for the time to live, held blobs excepted', async () => {
    const clock = new FakeClock()
    const store = await openStore(newDir(), { clock, ttlMs: 3600_000 })
    const [old, held, fresh] = [sample(10, 1), sample(10, 2), sample(10, 3)]
    await store.put({ digest: old.digest, kind: 'blob' }, old.bytes)
    ;(await store.put({ digest: held.digest, kind: 'blob' }, held.bytes)).hold()
    clock.advance(1800_000)
    await store.put({ digest: fresh.digest, kind: 'blob' }, fresh.bytes)
    clock.advance(1900_000)
    expect([...store.all()].map((blob) => blob.digest)).toEqual([held.digest, fresh.digest])
  })

  test('tells its numbers to the metrics', async () => {
    const metrics = createMetrics()
    const store = await openStore(newDir(), { metrics })
    const { digest, bytes } = sample(1000)
    await store.put({ digest, kind: 'blob' }, bytes)
    const part = sample(2 * pieceLength, 1)
    await store.create({ digest: part.digest, size: part.size, kind: 'blob' }).write(0, part.piece(0))
    const text = await metrics.registry.metrics()
    expect(text).toContain('shoal_blobs{state="complete"} 1')
    expect(text).toContain('shoal_blobs{state="partial"} 1')
    expect(text).toContain(`shoal_store_bytes ${1000 + pieceLength}`)
    expect(text).toContain(`shoal_store_disk_bytes ${store.usage().disk}`)
  })

  test('that is closed refuses to be used, and closes once', async () => {
    const dir = newDir()
    const store = await openStore(dir)
    const { digest, size, piece } = sample(2 * pieceLength)
    const blob = store.create({ digest, size, kind: 'blob' })
    const writing = blob.write(0, piece(0))
    await Promise.all([store.close(), store.close()])
    expect(await messageOf(writing)).toContain('stopping')
    expect(() => store.create({ digest, size, kind: 'blob' })).toThrow('stopping')
    expect(existsSync(join(dir, 'shoal.pid'))).toBe(false)
  })
})
