/** The catalog while its log is being brought in, which may take as long as the disk does. */
import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { chmodSync, chownSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { FakeClock } from '../../test/fakes/clock.ts'
import { diskStores, messageOf, notingLog } from '../../test/fakes/disk-stores.ts'
import { nobody } from '../../test/fakes/stranger.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import { silentLog } from '../telemetry/log.ts'
import { Catalog, catalogFailure, commitEvery, type Recorded } from './catalog.ts'
import { Spare } from './spare.ts'

const { newDir } = diskStores({ each: true })
const repository = repositoryOf('docker.io', 'library/debian')
const digestAt = (i: number): Digest => digestOf(Buffer.from(`${i}`))

/** A catalog of which the disk takes nothing until it is told to. */
function slowCatalog() {
  const path = join(newDir(), 'shoal.db')
  const clock = new FakeClock()
  const { log, lines } = notingLog()
  const syncs: PromiseWithResolvers<void>[] = []
  let quick = true
  const sync = () => {
    syncs.push(Promise.withResolvers())
    if (quick) syncs.at(-1)!.resolve()
    return syncs.at(-1)!.promise
  }
  const catalog = new Catalog(path, new Spare(`${path}.spare`), clock, log, { limitBytes: 1, sync })
  catalog.begin('one')
  let seen = 0
  const see = () => {
    catalog.seenIn(digestAt(seen++), repository)
    clock.advance(commitEvery)
  }
  /** What another process would find there. */
  const committed = () => {
    using other = new Database(path, { readonly: true, strict: true })
    return other.query<{ n: number }, []>('SELECT count(*) AS n FROM seen_in').get()!.n
  }
  /** Writes until the log is long enough to be brought in; `slow`: that has begun, and waits. */
  const fill = (slow = true) => {
    quick = !slow
    const before = syncs.length
    while (syncs.length === before) see()
  }
  const goOn = async () => {
    quick = true
    for (const { resolve } of syncs) resolve()
    await Bun.sleep(1)
  }
  return { path, clock, lines, catalog, syncs, see, committed, fill, goOn, seen: () => seen }
}

function blobOf(digest: Digest): Recorded {
  const row = { digest, size: 1, kind: 'blob', mediaType: null, state: 'complete', bitmap: null, mtime: 1 } as const
  return { digest, row: () => ({ ...row, usedAt: 1, addedAt: 1 }) }
}

test('what changes meanwhile is seen at once, and committed when the log is in', async () => {
  const { catalog, committed, fill, goOn, see, seen } = slowCatalog()
  fill()
  const before = committed()
  expect(before).toBe(seen())
  for (let i = 0; i < 10; i++) see()
  expect(catalog.repositoriesOf(digestAt(before + 5))).toEqual([repository])
  expect(committed()).toBe(before)
  await goOn()
  expect(catalog.repositoriesOf(digestAt(before + 5))).toEqual([repository])
  see()
  expect(committed()).toBe(seen())
  catalog.close(true)
})

test('who wants it to outlive the machine waits, for the log and for what came meanwhile', async () => {
  const { catalog, committed, fill, goOn, see, seen } = slowCatalog()
  fill()
  see()
  let settled = false
  const settling = catalog.settle().then(() => {
    settled = true
  })
  await Bun.sleep(1)
  expect(settled).toBe(false)
  await goOn()
  await settling
  expect(committed()).toBe(seen())
  catalog.close(true)
})

test('a blob that is forgotten meanwhile may be made anew at once: the disk is waited for', async () => {
  const { catalog, fill, goOn } = slowCatalog()
  const digest = digestAt(-1)
  catalog.mark(blobOf(digest))
  fill()
  expect(catalog.rows().map((row) => row.digest)).toEqual([digest])
  catalog.forget([digest])
  expect(catalog.rows()).toHaveLength(1)
  expect(catalog.owes(digest)).toBe(false)
  expect(catalog.rows()).toHaveLength(0)
  await goOn()
  catalog.close(true)
})

test('it may be closed meanwhile, and nothing is lost', async () => {
  const { catalog, path, fill, goOn, see, seen, lines } = slowCatalog()
  fill()
  see()
  catalog.close(true)
  await goOn()
  using db = new Database(path, { strict: true })
  expect(db.query('SELECT count(*) AS n FROM seen_in').get()).toEqual({ n: seen() })
  expect(lines).toEqual([])
})

test('a disk that fails is spoken of, the log stays, and it is tried again later', async () => {
  const { catalog, clock, committed, fill, goOn, lines, see, seen, syncs } = slowCatalog()
  fill()
  syncs.at(-1)!.reject(new Error('EIO: i/o error, fdatasync'))
  await Bun.sleep(1)
  expect(lines).toHaveLength(1)
  expect(lines[0]).toContain('could not bring the log of the catalog into it; it grows until that works')
  expect(lines[0]).toContain('EIO: i/o error, fdatasync')
  await goOn()
  const tries = syncs.length
  see()
  expect(committed()).toBe(seen())
  expect(syncs).toHaveLength(tries)
  clock.advance(5000)
  see()
  await Bun.sleep(1)
  expect(syncs.length).toBeGreaterThan(tries)
  expect(lines).toHaveLength(1)
  const message = messageOf(catalog.settle())
  expect(await message).toBe('')
  catalog.close(true)
})

test('a disk that fails after the log was brought in holds commits back until it takes that', async () => {
  const { catalog, clock, committed, fill, lines, see, seen, syncs } = slowCatalog()
  fill()
  const before = committed()
  syncs.at(-1)!.resolve()
  await Bun.sleep(1)
  syncs.at(-1)!.reject(new Error('EIO: i/o error, fdatasync'))
  await Bun.sleep(1)
  expect(lines).toHaveLength(1)
  see()
  expect(committed()).toBe(before)
  expect(await messageOf(catalog.settle())).toContain('what is to be recorded waits')
  clock.advance(5000)
  for (let i = 0; i < 2; i++) {
    syncs.at(-1)!.resolve()
    await Bun.sleep(1)
  }
  see()
  expect(committed()).toBe(seen())
  catalog.close(true)
})

test.skipIf(process.geteuid!() !== 0)('one that root put there is told with what to see to', () => {
  const { path, catalog } = slowCatalog()
  catalog.close(true)
  chmodSync(path, 0o644)
  chownSync(dirname(path), nobody.uid, nobody.uid)
  process.seteuid!(nobody.uid)
  try {
    const open = () => new Catalog(path, new Spare(`${path}.spare`), new FakeClock(), silentLog)
    const failure = failureOf(open, path)
    expect(failure).toStartWith(`cannot open ${path}: EACCES: permission denied`)
    expect(failure).toEndWith('; check its owner and the free space there')
  } finally {
    process.seteuid!(0)
  }
})

function failureOf(open: () => unknown, path: string): string {
  try {
    open()
    return ''
  } catch (error) {
    return catalogFailure(error, path).message
  }
}
