import { afterEach, beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { errorOf } from '../../test/fakes/bad-disk.ts'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { diskStores, messageOf } from '../../test/fakes/disk-stores.ts'
import { digestOf } from '../oci/digest.ts'
import type { Blob } from './blob-store.ts'
import { FileSpool, type Spooling } from './spool.ts'

const bytes = bytesOf(1_000_000)
const spec = { digest: digestOf(bytes), kind: 'blob' } as const

let dir: string
/** Bytes of the disk that the store believes uploads to take. */
let taken: number
let adopt: () => Promise<Blob>
const store: Spooling = {
  checkOpen() {},
  freed() {},
  reserve: () => () => {},
  took(more) {
    taken += more
  },
  adopt: () => adopt(),
}

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'shoal-spool-'))
  taken = 0
  adopt = () => Promise.reject(new Error('nothing is kept here'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

describe('an upload that is given up', () => {
  test('while it is written ends when that has ended, and takes nothing any more', async () => {
    const spool = new FileSpool(dir, store)
    const order: string[] = []
    const writing = spool.append(bytes).then(() => order.push('written'))
    await Promise.all([spool.discard().then(() => order.push('given up')), writing])
    expect(order).toEqual(['written', 'given up'])
    expect(taken).toBe(0)
    expect(readdirSync(dir)).toEqual([])
    expect(await messageOf(spool.append(bytes))).toBe('the upload has ended')
  })

  test('while it becomes a blob is one all the same, and ends once', async () => {
    const spool = new FileSpool(dir, store)
    await spool.append(bytes)
    const gate = Promise.withResolvers<Blob>()
    adopt = () => gate.promise
    const keeping = spool.keep(spec, [])
    const givenUp = Promise.all([spool.discard(), spool.discard()])
    expect(readdirSync(dir)).toHaveLength(1)
    const blob = { digest: spec.digest } as Blob
    gate.resolve(blob)
    expect(await keeping).toBe(blob)
    await givenUp
    expect(taken).toBe(0)
  })

  test('after a try to keep it that failed leaves nothing', async () => {
    const spool = new FileSpool(dir, store)
    await spool.append(bytes)
    expect(await messageOf(spool.keep(spec, []))).toBe('nothing is kept here')
    await spool.discard()
    await spool.discard()
    expect(taken).toBe(0)
    expect(readdirSync(dir)).toEqual([])
  })
})

describe('an upload into a store of a megabyte', () => {
  const { openStore } = diskStores({ each: true })
  const limits = { limitBytes: 1_000_000, beside: () => 100_000 }
  const chunk = new Uint8Array(300_000)

  test('that will never fit is told so, with what it has come to and what the catalog takes', async () => {
    const store = await openStore(undefined, limits)
    const spool = store.spool()
    for (let i = 0; i < 3; i++) await spool.append(chunk)
    const failure = await spool.append(chunk).catch((error) => error)
    expect([failure.code, failure.detail]).toEqual(['no-space', { mostBytes: 900_000 }])
    expect(failure.message).toBe(
      `${(spool as FileSpool).name} has 1200000 bytes, more than fit into the whole store (1000000 bytes, 100000 of them for its ` +
        'catalog); raise --cache-size',
    )
  })

  test('that others leave no room for is told of them, and may come again', async () => {
    const store = await openStore(undefined, limits)
    const [first, second] = [store.spool(), store.spool()]
    for (let i = 0; i < 2; i++) await first.append(chunk)
    await second.append(chunk)
    const failure = await second.append(chunk).catch((error) => error)
    expect([failure.code, failure.detail]).toEqual(['no-space', {}])
    expect(failure.message).toBe(
      `no room for ${(second as FileSpool).name}: the store may take 1000000 bytes, uploads under way have 900000 of them, and there ` +
        'is no blob that could go; raise --cache-size',
    )
    await first.discard()
    await second.append(chunk)
    expect(second.length).toBe(600_000)
  })
})

describe('an upload onto a disk that is to have some space left', () => {
  const { openStore } = diskStores({ each: true })
  const chunk = new Uint8Array(300_000)

  test('has the room of one that was given up at once, and not that of one that was kept', async () => {
    let used = 0
    const disk = () => ({ free: 1_000_000 - used, total: 1_000_000 })
    const clock = new FakeClock()
    const store = await openStore(undefined, { clock, keepFree: { bytes: 300_000 }, disk })
    const [first, second, third] = [store.spool(), store.spool(), store.spool()]
    await first.append(bytesOf(300_000))
    await second.append(chunk)
    expect(await messageOf(third.append(chunk))).toContain('lower --keep-free')
    await second.discard()
    await third.append(chunk)
    const digest = digestOf(bytesOf(300_000))
    store.pin({ digest, reason: 'home' })
    await first.keep({ digest, kind: 'blob' }, [])
    await first.discard()
    expect(await messageOf(third.append(chunk))).toContain('lower --keep-free')
    used = 600_000
    clock.advance(1000)
    expect(await messageOf(third.append(chunk))).toContain('lower --keep-free')
  })
})

describe('an upload that is kept', () => {
  const { openStore, newDir } = diskStores({ each: true })

  test('is not said to be before the disk has the record of it: a file without one is rubbish after a power cut', async () => {
    let broken = false
    const sync = async () => {
      if (broken) throw new Error('EIO: i/o error, fdatasync')
    }
    const disk = await openStore(newDir(), { sync })
    const kept = disk.spool()
    await kept.append(bytes)
    expect((await kept.keep(spec, [])).complete).toBe(true)
    const second = bytesOf(1000)
    const spool = disk.spool()
    await spool.append(second)
    broken = true
    expect(await messageOf(spool.keep({ digest: digestOf(second), kind: 'blob' }, []))).toContain('to the disk')
    await spool.discard()
  })

  test('is not said to be while another upload of the same waits for the disk, and nor is it relied on', async () => {
    const disk = await openStore()
    const spools = [disk.spool(), disk.spool()]
    for (const spool of spools) await spool.append(bytes)
    const synced = Promise.withResolvers<void>()
    const use = disk.files.use.bind(disk.files)
    const slow = spyOn(disk.files, 'use').mockImplementation(async (...args) => {
      await synced.promise
      return use(...args)
    })
    const said: string[] = []
    const first = spools[0]!.keep(spec, []).then(() => said.push('the first'))
    while (!disk.find(spec.digest)?.complete) await Bun.sleep(1)
    const second = spools[1]!.keep(spec, []).then(() => said.push('the second'))
    const relied = disk.settled(spec.digest).then((so) => said.push(`relied on: ${so}`))
    await Bun.sleep(50)
    expect(said).toEqual([])
    synced.resolve()
    await Promise.all([first, second, relied])
    slow.mockRestore()
    expect(said.sort()).toEqual(['relied on: true', 'the first', 'the second'])
    expect(disk.find(spec.digest)?.row().state).toBe('complete')
  })

  test('is not relied on when the disk did not take it', async () => {
    const disk = await openStore()
    const short = bytes.subarray(0, 1000)
    const blob = disk.create({ digest: digestOf(short), size: short.length, kind: 'blob' })
    await blob.write(0, short)
    const broken = spyOn(disk.files, 'use').mockRejectedValue(errorOf('EIO', 'fsync'))
    await blob.finish()
    expect(blob.complete).toBe(true)
    expect(await messageOf(disk.settled(blob.digest))).toContain('EIO')
    broken.mockRestore()
    expect([blob.gone, await disk.settled(blob.digest)]).toEqual([true, false])
  })
})
