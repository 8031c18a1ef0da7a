import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { sample } from '../../test/conformance/blob-store.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { diskStores, messageOf, notingLog } from '../../test/fakes/disk-stores.ts'
import { notRoot } from '../../test/fakes/root.ts'
import { nobody } from '../../test/fakes/stranger.ts'
import { Failure } from '../failure.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import { silentLog } from '../telemetry/log.ts'
import { Catalog, commitEvery } from './catalog.ts'
import { DiskStore } from './disk-store.ts'
import { readAt } from './open-files.ts'
import { Spare } from './spare.ts'

const pieceLength = 256 * 1024
const { newDir, openStore, killedNow } = diskStores()

async function overwrite(path: string, position: number): Promise<void> {
  await using file = await open(path, 'r+')
  await file.write(new Uint8Array(100), 0, 100, position)
}

describe('after a restart', () => {
  test('everything is as it was', async () => {
    const dir = newDir()
    const first = await openStore(dir)
    const [whole, part] = [sample(1000, 1), sample(4 * pieceLength + 3, 2)]
    await first.put({ digest: whole.digest, kind: 'manifest', mediaType: 'application/m' }, whole.bytes)
    const blob = first.create({ digest: part.digest, size: part.size, kind: 'blob' })
    blob.learn(part.segment(0, 3))
    blob.learn(part.segment(2, 3))
    for (const i of [4, 1]) await blob.write(i, part.piece(i))
    const repository = repositoryOf('ghcr.io', 'org/app')
    const record = { digest: whole.digest, mediaType: 'application/m', size: 1000, resolvedAt: 5 }
    first.setTag(repository, parseTag('v1'), record)
    first.seenIn(part.digest, repository)
    first.ban('node', 'lied', 9e15)
    first.pin({ digest: whole.digest, reason: 'an image', until: 9e15 })
    first.pin({ digest: part.digest, reason: 'for good' })
    first.pin({ digest: part.digest, reason: 'over', until: 1 })
    await first.close()

    const second = await openStore(dir)
    expect(second.usage()).toMatchObject({ bytes: 1000 + pieceLength + 3, complete: 1, partial: 1 })
    const manifest = second.find(whole.digest)!
    expect(manifest).toMatchObject({ kind: 'manifest', mediaType: 'application/m', complete: true, size: 1000 })
    expect(await manifest.read({ start: 0, end: 1000 })).toEqual(whole.bytes)
    const again = second.find(part.digest)!
    expect([...again.have.indexes()]).toEqual([1, 4])
    expect(again.metainfo.segments).toEqual([part.segment(0, 3), part.segment(2, 3)])
    expect(second.tag(repository, parseTag('v1'))).toEqual(record)
    expect(second.repositoriesOf(part.digest)).toEqual([repository])
    expect([...second.bans()]).toEqual([{ node: 'node', reason: 'lied', until: 9e15 }])
    expect(second.pins(whole.digest)).toEqual([{ digest: whole.digest, reason: 'an image', until: 9e15 }])
    expect(second.pins(part.digest)).toEqual([{ digest: part.digest, reason: 'for good' }])
    for (const i of [0, 2, 3]) await again.write(i, part.piece(i))
    await again.finish()
    expect(again.complete).toBe(true)
  })

  test('a blob that was to be removed as soon as it was let go is not there', async () => {
    const dir = newDir()
    const first = await openStore(dir)
    const { digest, bytes } = sample(10)
    const letGo = (await first.put({ digest, kind: 'blob' }, bytes)).hold()
    await first.remove(digest)
    await first.close()
    letGo()
    expect((await openStore(dir)).find(digest)).toBeUndefined()
  })

  test('a blob whose file is missing or short is forgotten, and the log says so', async () => {
    const dir = newDir()
    const first = await openStore(dir)
    const [missing, short] = [sample(1000, 1), sample(1000, 2)]
    const blobs = await Promise.all([missing, short].map((s) => first.put({ digest: s.digest, kind: 'blob' }, s.bytes)))
    const part = sample(3 * pieceLength, 3)
    const partial = first.create({ digest: part.digest, size: part.size, kind: 'blob' })
    await partial.write(1, part.piece(1))
    await first.close()
    rmSync(blobs[0]!.path)
    truncateSync(blobs[1]!.path, 999)
    truncateSync(partial.path, 2 * pieceLength - 1)
    const { log, lines } = notingLog()
    const second = await openStore(dir, { log })
    expect([...second.all()]).toEqual([])
    expect(lines.filter((line) => line.startsWith('forgot a blob'))).toHaveLength(3)
    expect(lines.join('\n')).toContain('its file has 999 bytes instead of 1000')
    await second.put({ digest: short.digest, kind: 'blob' }, short.bytes)
  })

  test('a complete file that was touched is read again, and kept only if it is what it was', async () => {
    const dir = newDir()
    const first = await openStore(dir)
    const samples = [sample(1000, 1), sample(1000, 2)]
    const blobs = await Promise.all(samples.map((s) => first.put({ digest: s.digest, kind: 'blob' }, s.bytes)))
    await first.close()
    for (const { path } of blobs) utimesSync(path, 1, 1)
    await overwrite(blobs[1]!.path, 500)
    utimesSync(blobs[1]!.path, 1, 1)
    const second = await openStore(dir)
    expect([...second.all()].map((blob) => blob.digest)).toEqual([samples[0]!.digest])
    await second.close()
    const { log, lines } = notingLog()
    expect((await openStore(dir, { log })).usage().complete).toBe(1)
    expect(lines).toEqual([])
  })

  test('what a killed process left is swept, what others put there is not, and only the last damaged catalog is kept', async () => {
    const dir = newDir()
    await (await openStore(dir)).close()
    const stamps = ['2026-01-01T000000.000Z', '2026-03-01T000000.000Z']
    const left = [
      'node.key.4711',
      `shoal.db.damaged-${stamps[0]}`,
      `shoal.db.damaged-${stamps[0]}-wal`,
      'blobs/.trash/1-2',
    ]
    const others = [
      `shoal.db.damaged-${stamps[1]}`,
      `shoal.db.damaged-${stamps[1]}-wal`,
      'node.key.backup',
      'backup.tar',
      'lost+found/x',
      'blobs/README',
      'blobs/sha256/zz/notes',
      'blobs/.trash/somebody/file',
    ]
    for (const name of [...left, ...others]) {
      mkdirSync(dirname(join(dir, name)), { recursive: true })
      writeFileSync(join(dir, name), 'x')
    }
    writeFileSync(join(dir, 'shoal.spare'), 'too short')
    const { log, lines } = notingLog()
    await openStore(dir, { log })
    expect(left.filter((name) => existsSync(join(dir, name)))).toEqual([])
    expect(others.filter((name) => !existsSync(join(dir, name)))).toEqual([])
    expect(statSync(join(dir, 'shoal.spare')).size).toBe(4 * 1024 * 1024)
    expect(lines.find((line) => line.startsWith('deleted what earlier runs'))).toContain('node.key.4711')
  })

  test('files that the catalog does not know are deleted, those with other names are not', async () => {
    const dir = newDir()
    await (await openStore(dir)).close()
    const { digest } = sample(10)
    const orphan = join(dir, 'blobs/sha256', digest.slice(7, 9), digest.slice(7))
    const stranger = join(dirname(orphan), 'README')
    mkdirSync(dirname(orphan), { recursive: true })
    for (const path of [orphan, stranger, join(dir, 'blobs/.trash/1-2')]) writeFileSync(path, 'x')
    await openStore(dir)
    expect(existsSync(orphan)).toBe(false)
    expect(existsSync(stranger)).toBe(true)
    expect(readdirSync(join(dir, 'blobs/.trash'))).toEqual([])
  })
})

describe('the catalog on disk', () => {
  test('learns of pieces in batches, after their bytes', async () => {
    const dir = newDir()
    const clock = new FakeClock()
    const store = await openStore(dir, { clock })
    const idle = clock.pending
    const { digest, size, piece } = sample(3 * pieceLength)
    const blob = store.create({ digest, size, kind: 'blob' })
    await blob.write(0, piece(0))
    await blob.write(2, piece(2))
    using db = new Database(join(dir, 'shoal.db'))
    const recorded = () => db.query('SELECT bitmap FROM blobs').all()
    expect(recorded()).toEqual([])
    clock.advance(commitEvery)
    expect(recorded()).toEqual([{ bitmap: new Uint8Array([0b101]) }])
    expect(clock.pending).toBe(idle)
  })

  test('calls a blob complete only when its file is on the disk', async () => {
    const dir = newDir()
    const clock = new FakeClock()
    const store = await openStore(dir, { clock })
    const { digest, size, piece } = sample(2 * pieceLength)
    const blob = store.create({ digest, size, kind: 'blob' })
    for (const i of [0, 1]) await blob.write(i, piece(i))
    expect(blob.row()).toMatchObject({ state: 'partial', mtime: null })
    await blob.finish()
    expect(blob.complete).toBe(true)
    expect(blob.row()).toMatchObject({ state: 'partial', mtime: null })
    await blob.sync()
    expect(blob.row()).toMatchObject({
      state: 'complete',
      bitmap: null,
      mtime: Math.floor(statSync(blob.path).mtimeMs),
    })
  })

  test('completes a blob that was killed with all its pieces there, if they are right', async () => {
    const live = newDir()
    const clock = new FakeClock()
    const store = await openStore(live, { clock })
    const [right, wrong] = [sample(2 * pieceLength, 1), sample(2 * pieceLength, 2)]
    for (const { digest, size, piece } of [right, wrong]) {
      const blob = store.create({ digest, size, kind: 'blob' })
      for (const i of [0, 1]) await blob.write(i, piece(i))
    }
    clock.advance(commitEvery)
    const dir = killedNow(live)
    await overwrite(store.find(wrong.digest)!.path.replace(live, dir), 500)
    const again = await openStore(dir)
    expect(again.usage()).toMatchObject({ bytes: right.size, complete: 1, partial: 0 })
    expect(again.find(right.digest)?.complete).toBe(true)
  })

  test('of a blob that is not whole, nothing is claimed after a kill of which nobody has said what it should be', async () => {
    const live = newDir()
    const clock = new FakeClock()
    const store = await openStore(live, { clock })
    const [some, none] = [sample(4 * pieceLength, 1), sample(4 * pieceLength, 2)]
    for (const { digest, size, piece } of [some, none]) {
      const blob = store.create({ digest, size, kind: 'blob' })
      for (const i of [0, 2]) await blob.write(i, piece(i))
    }
    store.find(some.digest)!.learn(some.segment(2, 1))
    clock.advance(commitEvery)
    const again = await openStore(killedNow(live))
    expect([...again.find(some.digest)!.have.indexes()]).toEqual([2])
    expect(again.find(none.digest)).toBeUndefined()
    expect(again.usage()).toMatchObject({ bytes: pieceLength, partial: 1 })
    expect(await again.find(some.digest)!.check(2)).toBe(true)
  })

  test('what is said about a piece when it is about to be recorded is there after a kill, and so is the piece', async () => {
    const live = newDir()
    const clock = new FakeClock()
    const store = await openStore(live, { clock })
    const { digest, size, piece, segment } = sample(4 * pieceLength)
    store.onRecording((blob) => {
      for (const i of blob.have.indexes()) blob.learn(segment(i, 1))
    })
    const blob = store.create({ digest, size, kind: 'blob' })
    for (const i of [3, 1]) await blob.write(i, piece(i))
    clock.advance(commitEvery)
    const again = (await openStore(killedNow(live))).find(digest)!
    expect([...again.have.indexes()]).toEqual([1, 3])
    expect([await again.check(1), await again.check(3)]).toEqual([true, true])
  })

  test('after a kill in the same boot, believes what it recorded', async () => {
    const { dir, digest } = await interrupted()
    const store = await openStore(dir, { bootId: 'one' })
    expect([...store.find(digest)!.have.indexes()]).toEqual([0, 2])
  })

  test('after the machine went down, believes only pieces that have their digests', async () => {
    const { dir, digest, piece } = await interrupted()
    const { log, lines } = notingLog()
    const store = await openStore(dir, { bootId: 'two', log })
    expect([...store.find(digest)!.have.indexes()]).toEqual([2])
    expect(store.usage().bytes).toBe(pieceLength)
    expect(lines[0]).toContain('the machine went down')
    for (const i of [0, 1]) await store.find(digest)!.write(i, piece(i))
    await store.find(digest)!.finish()
  })

  test('after the machine went down following a clean stop, believes what it recorded', async () => {
    const { dir, digest } = await interrupted()
    await (await openStore(dir, { bootId: 'one' })).close()
    const store = await openStore(dir, { bootId: 'two' })
    expect([...store.find(digest)!.have.indexes()]).toEqual([0, 2])
  })

  /** A store killed with pieces 0 and 2 of 3 recorded, piece 0 spoilt. */
  async function interrupted() {
    const live = newDir()
    const clock = new FakeClock()
    const store = await openStore(live, { clock })
    const made = sample(3 * pieceLength)
    const blob = store.create({ digest: made.digest, size: made.size, kind: 'blob' })
    blob.learn(made.segment())
    for (const i of [0, 2]) await blob.write(i, made.piece(i))
    clock.advance(commitEvery)
    const dir = killedNow(live)
    await overwrite(blob.path.replace(live, dir), 500)
    return { ...made, dir }
  }

  test('written by a newer version is refused with the remedy', async () => {
    const dir = newDir()
    await (await openStore(dir)).close()
    expect(readdirSync(dir).sort()).toEqual(['blobs', 'shoal.db', 'shoal.lock', 'shoal.spare'])
    const db = new Database(join(dir, 'shoal.db'))
    db.exec('PRAGMA user_version = 99')
    db.close()
    const message = await messageOf(DiskStore.open({ dir, clock: new FakeClock(), log: silentLog }))
    expect(message).toContain('was written by a newer shoal (schema 99')
    expect(message).toContain('--data-dir')
  })

  test('when damaged is moved aside and rebuilt from whole files', async () => {
    const dir = newDir()
    const first = await openStore(dir)
    const [blob, part] = [sample(3 * pieceLength, 1), sample(3 * pieceLength, 2)]
    const manifest = new TextEncoder().encode(
      JSON.stringify({ schemaVersion: 2, config: { digest: blob.digest, size: 1, mediaType: 'application/c' } }),
    )
    const name = digestOf(manifest)
    await first.put({ digest: blob.digest, kind: 'blob' }, blob.bytes)
    await first.put({ digest: name, kind: 'manifest', mediaType: 'application/m' }, manifest)
    const partial = first.create({ digest: part.digest, size: part.size, kind: 'blob' })
    await partial.write(2, part.piece(2))
    await first.close()
    writeFileSync(join(dir, 'shoal.db'), 'not a database, whatever it was before'.repeat(100))
    const { log, lines } = notingLog()
    const second = await openStore(dir, { log })
    expect(lines[0]).toContain('damaged; it was moved aside')
    expect(readdirSync(dir).filter((file) => file.startsWith('shoal.db.damaged-'))).toHaveLength(1)
    expect(second.usage()).toMatchObject({ bytes: blob.size + manifest.length, complete: 2, partial: 0 })
    expect(second.find(name)).toMatchObject({ kind: 'manifest', complete: true })
    expect(second.find(blob.digest)).toMatchObject({ kind: 'blob', complete: true })
    expect(existsSync(partial.path)).toBe(false)
    expect(lines[1]).toStartWith('pins and bans were lost with the catalog')
  })

  test('when damaged gives its pins and bans to the one that takes its place, as far as they can be read', async () => {
    const dir = newDir()
    const first = await openStore(dir)
    const { digest, bytes } = sample(1000)
    await first.put({ digest, kind: 'blob' }, bytes)
    const pins = [
      { digest, reason: 'an image' },
      { digest, reason: 'a preheat', until: 9e15 },
    ] as const
    for (const pin of pins) first.pin(pin)
    first.pin({ digest, reason: 'over', until: 1 })
    first.ban('node', 'lied', 9e15)
    await first.close()
    await spoilTable(join(dir, 'shoal.db'), 'segments_by_digest')
    const { log, lines } = notingLog()
    const second = await openStore(dir, { log })
    expect(lines.slice(0, 2).map((line) => line.split(';')[0])).toEqual([
      'the catalog is damaged',
      'pins and bans were found in the damaged catalog {"pins":3,"bans":1}',
    ])
    expect(new Set(second.pins(digest))).toEqual(new Set(pins))
    expect([...second.bans()]).toEqual([{ node: 'node', reason: 'lied', until: 9e15 }])
    await second.close()
    expect((await openStore(dir)).pins(digest)).toHaveLength(2)
  })

  test('when damaged where the pins are says that they are lost, and keeps the rest', async () => {
    const dir = newDir()
    const first = await openStore(dir)
    const { digest, bytes } = sample(1000)
    await first.put({ digest, kind: 'blob' }, bytes)
    first.pin({ digest, reason: 'an image' })
    await first.close()
    await spoilTable(join(dir, 'shoal.db'), 'pins')
    const { log, lines } = notingLog()
    const second = await openStore(dir, { log })
    expect(lines[1]).toStartWith('pins and bans were lost with the catalog')
    expect([second.pins(), second.find(digest)?.complete]).toEqual([[], true])
  })

  test('that is being rebuilt when the process is killed goes on with the next start, and no file goes meanwhile', async () => {
    const { dir: live, whole } = await fourBlobs()
    writeFileSync(join(live, 'shoal.db'), 'not a database')
    const clock = new FakeClock()
    let [reads, dir] = [0, '']
    const read: typeof readAt = (...piece) => {
      clock.advance(commitEvery)
      if (++reads === 3) dir = killedNow(live)
      return readAt(...piece)
    }
    expect((await openStore(live, { clock, read })).usage().complete).toBe(4)
    const { log, lines } = notingLog()
    const again: typeof readAt = (...piece) => {
      reads++
      return readAt(...piece)
    }
    const store = await openStore(dir, { log, read: again, bootId: 'two' })
    expect(new Set([...store.all()].map((blob) => blob.digest))).toEqual(new Set(whole))
    // Two were recorded before.
    expect(reads).toBe(4 + 2)
    expect(lines.filter((line) => line.startsWith('catalog rebuilt'))).toEqual([
      'catalog rebuilt {"blobs":2,"of":2,"bytes":2000}',
    ])
    // From then on a file without a row is one that was about to be removed.
    await store.close()
    writeFileSync(store.find(whole[0]!)!.path.replace(/.{8}$/, '00000000'), 'x')
    const { log: later, lines: said } = notingLog()
    await openStore(dir, { log: later })
    expect(said).toEqual(['deleted files that the catalog does not know {"files":1}'])
  })

  test('that is being rebuilt when the process is told to end keeps what was read, and the store is free', async () => {
    const { dir } = await fourBlobs()
    rmSync(join(dir, 'shoal.db'))
    const ending = new AbortController()
    let reads = 0
    const read: typeof readAt = (...piece) => {
      if (++reads === 3) ending.abort(new Failure('unavailable', 'told to end'))
      return readAt(...piece)
    }
    expect(await messageOf(openStore(dir, { read, ending: ending.signal }))).toBe('told to end')
    const { log, lines } = notingLog()
    expect((await openStore(dir, { log })).usage().complete).toBe(4)
    expect(lines.at(-1)).toBe('catalog rebuilt {"blobs":1,"of":1,"bytes":1000}')
  })

  test('that was made a moment before the process was killed is rebuilt all the same', async () => {
    const { dir, whole } = await fourBlobs()
    rmSync(join(dir, 'shoal.db'))
    const spare = new Spare(join(dir, 'shoal.spare'))
    new Catalog(join(dir, 'shoal.db'), spare, new FakeClock(), silentLog).close(false)
    expect((await openStore(dir)).usage().complete).toBe(whole.length)
  })

  test('when it is gone is rebuilt from whole files', async () => {
    const { dir, whole } = await fourBlobs()
    rmSync(join(dir, 'shoal.db'))
    const { log, lines } = notingLog()
    const store = await openStore(dir, { log })
    expect(lines.map((line) => line.split(',')[0])).toEqual([
      'reading files that the catalog does not know',
      'catalog rebuilt {"blobs":4',
    ])
    expect(new Set([...store.all()].map((blob) => blob.digest))).toEqual(new Set(whole))
  })

  /** A closed store. */
  async function fourBlobs(): Promise<{ dir: string; whole: Digest[] }> {
    const dir = newDir()
    const store = await openStore(dir)
    const samples = [1, 2, 3, 4].map((seed) => sample(1000, seed))
    for (const { digest, bytes } of samples) await store.put({ digest, kind: 'blob' }, bytes)
    await store.close()
    return { dir, whole: samples.map(({ digest }) => digest) }
  }

  /** Garbage over the first page of a table or an index. */
  async function spoilTable(path: string, name: string): Promise<void> {
    const db = new Database(path)
    const facts = 'SELECT rootpage AS page, (SELECT page_size FROM pragma_page_size) AS size FROM sqlite_master'
    const { page, size } = db.query<{ page: number; size: number }, [string]>(`${facts} WHERE name = ?`).get(name)!
    db.close()
    await using file = await open(path, 'r+')
    await file.write(new Uint8Array(size).fill(0xa5), 0, size, (page - 1) * size)
  }
})

describe('the data directory', () => {
  test('has its files for this user alone, also those of an older version; that it is open itself is told', async () => {
    const dir = newDir()
    await (await openStore(dir)).close()
    for (const name of ['shoal.db', 'blobs', '.']) chmodSync(join(dir, name), 0o755)
    symlinkSync('/etc/passwd', join(dir, 'shoal.link'))
    const passwd = statSync('/etc/passwd').mode
    const { log, lines } = notingLog()
    await openStore(dir, { log })
    for (const name of ['shoal.db', 'blobs']) expect(statSync(join(dir, name)).mode & 0o077).toBe(0)
    expect(statSync('/etc/passwd').mode).toBe(passwd)
    expect(lines.find((line) => line.startsWith('others than its user'))).toContain(`chmod go= ${dir}`)
  })

  test('is used by one store at a time', async () => {
    const dir = newDir()
    const first = await openStore(dir)
    const message = await messageOf(DiskStore.open({ dir, clock: new FakeClock(), log: silentLog }))
    expect(message).toBe(`another shoal (pid ${process.pid}) uses ${dir}; stop it or choose another --data-dir`)
    await first.close()
    await openStore(dir)
  })

  test('that cannot be one is named, with the user and the remedy', async () => {
    const dir = join(newDir(), 'file')
    writeFileSync(dir, '')
    const message = await messageOf(DiskStore.open({ dir, clock: new FakeClock(), log: silentLog }))
    expect(message).toStartWith(`cannot use ${dir} for data as `)
    // The runtime does not know every user's name; it must not be told as if "unknown" were one.
    expect(message).toMatch(/ as (?:user (?!unknown)\S+ \(uid [0-9]+\)|uid [0-9]+): /)
    expect(message).toContain('choose another --data-dir')
  })

  test.skipIf(process.geteuid!() !== 0).each([
    ['blobs', ['.', 'shoal.lock']],
    ['shoal.lock', ['.', 'blobs', 'blobs/.trash']],
  ])('that is its own, but for %s of another user, is told by that', async (name, own) => {
    const dir = newDir()
    mkdirSync(join(dir, 'blobs/.trash'), { recursive: true })
    chmodSync(join(dir, 'blobs'), 0o700)
    writeFileSync(join(dir, 'shoal.lock'), '', { mode: 0o600 })
    for (const path of own) chownSync(join(dir, path), nobody.uid, nobody.uid)
    expect(await refusalOf(dir)).toEndWith(
      `; ${dir}/${name} is another user's: chown -R ${nobody.uid}: ${dir}, or choose another --data-dir`,
    )
  })

  test.skipIf(process.geteuid!() !== 0)('below a folder that is shut to its user is told by that folder', async () => {
    const dir = newDir()
    mkdirSync(join(dir, 'shut/data'), { recursive: true })
    chmodSync(dir, 0o755)
    chmodSync(join(dir, 'shut'), 0o700)
    chownSync(join(dir, 'shut/data'), nobody.uid, nobody.uid)
    const message = await refusalOf(join(dir, 'shut/data'))
    expect(message).toEndWith(`; let this user enter ${dir}/shut, or choose another --data-dir`)
  })
})

describe.skipIf(notRoot)('below a directory of its own', () => {
  test('a folder that a node of root has made, and this user may not read, is named with how to have it again', async () => {
    const dir = newDir()
    const store = await openStore(dir)
    const { path } = await store.put({ digest: sample(1000).digest, kind: 'blob' }, sample(1000).bytes)
    await store.close()
    const shut = dirname(path)
    Bun.spawnSync(['chown', '-R', String(nobody.uid), dir])
    chownSync(shut, 0, 0)
    chmodSync(shut, 0o700)
    process.seteuid!(nobody.uid)
    try {
      const message = await messageOf(DiskStore.open({ dir, clock: new FakeClock(), log: silentLog }))
      expect(message).toStartWith(`cannot use ${dir} for data as `)
      expect(message).toEndWith(
        `; ${shut} is another user's: chown -R ${nobody.uid}: ${dir}, or choose another --data-dir`,
      )
    } finally {
      process.seteuid!(0)
    }
  })
})

/** What a node of the user `nobody` is told there. */
function refusalOf(dir: string): Promise<string> {
  process.seteuid!(nobody.uid)
  try {
    // The folder is opened at once.
    return messageOf(DiskStore.open({ dir, clock: new FakeClock(), log: silentLog }))
  } finally {
    process.seteuid!(0)
  }
}
