import { Database } from 'bun:sqlite'
import { afterEach, describe, expect, test } from 'bun:test'
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeClock } from '../test/fakes/clock.ts'
import { nobody } from '../test/fakes/stranger.ts'
import { seededRandom } from './clock.ts'
import { type Sync, WriteAheadLog } from './write-ahead.ts'

const dirs: string[] = []
afterEach(() => {
  for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true })
})

function newPath(): string {
  const dir = mkdtempSync(join(tmpdir(), 'shoal-ahead-'))
  dirs.push(dir)
  return join(dir, 'x.db')
}

const slots = 60
/** Commits write to one after the other, so that each has pages that those around it have not. */
const slotOf = (n: number) => (n * 37) % slots

/** Two tables to which every commit adds the same number, and slots of which it takes one. */
function opened(path: string, sync?: Sync) {
  const db = new Database(path, { create: true, strict: true })
  db.exec('PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL')
  db.exec('CREATE TABLE a (n INTEGER PRIMARY KEY, text TEXT); CREATE TABLE b (n INTEGER PRIMARY KEY, text TEXT)')
  db.exec('CREATE TABLE slots (slot INTEGER PRIMARY KEY, n INTEGER, text TEXT)')
  for (let slot = 0; slot < slots; slot++) db.exec(`INSERT INTO slots VALUES (${slot}, 0, '${'x'.repeat(3000)}')`)
  db.exec('CREATE TABLE total (a INTEGER, b INTEGER); INSERT INTO total VALUES (0, 0)')
  const log = new WriteAheadLog(db, { longest: 0, clock: new FakeClock(), failed: () => {}, sync })
  log.mergeNow()
  const add = (n: number) => {
    db.exec('BEGIN')
    for (const table of ['a', 'b']) {
      db.exec(
        `INSERT INTO ${table} VALUES (${n}, '${`${n}`.repeat(200)}'); UPDATE total SET ${table} = ${table} + ${n}`,
      )
    }
    db.exec(`UPDATE slots SET n = ${n} WHERE slot = ${slotOf(n)}`)
    db.exec('COMMIT')
    log.wrote()
  }
  return { db, log, add }
}

/** The numbers that are in both tables. @throws when the file is not what commits can have left */
function numbersIn(path: string): number[] {
  using db = new Database(path, { strict: true })
  expect(db.query('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' })
  const [a, b] = ['a', 'b'].map((table) => db.query<{ n: number }, []>(`SELECT n FROM ${table} ORDER BY n`).all())
  const sum = a!.reduce((sum, { n }) => sum + n, 0)
  expect(b).toEqual(a!)
  expect(db.query('SELECT a, b FROM total').get()).toEqual({ a: sum, b: sum })
  const numbers = a!.map(({ n }) => n)
  const taken = new Array<number>(slots).fill(0)
  for (const n of numbers) taken[slotOf(n)] = n
  expect(db.query<{ n: number }, []>('SELECT n FROM slots ORDER BY slot').all()).toEqual(taken.map((n) => ({ n })))
  return numbers
}

const atOnce = (work: () => void) => work()

/** 0: SQLite waits for the disk nowhere; 1: before it changes the database, and before it cuts the log or begins it anew. */
function synchronous(db: Database): number | undefined {
  return db.query<{ synchronous: number }, []>('PRAGMA synchronous').get()?.synchronous
}

/** `seen` is to run the checkpoint itself. */
function onCheckpoint(db: Database, how: 'PASSIVE' | 'TRUNCATE', seen: (run: () => void) => void): void {
  const query = db.query.bind(db)
  db.query = ((text: string) => {
    const statement = query(text)
    if (!text.includes(how)) return statement
    const get = () => {
      let result: unknown
      seen(() => {
        result = statement.get()
      })
      return result
    }
    return { get }
  }) as typeof db.query
}

describe('a merge', () => {
  test('brings the log to the disk, then into the database, then that to the disk, then cuts the log', async () => {
    const path = newPath()
    const seen: object[] = []
    const sizeOf = (end: string) => statSync(path + end).size
    const { log, add } = opened(path, async () => {
      seen.push({ log: sizeOf('-wal') > 0, database: sizeOf('') })
    })
    const before = sizeOf('')
    for (let n = 1; n <= 50; n++) add(n)
    await log.merge(atOnce)
    expect(seen).toEqual([
      { log: true, database: before },
      { log: true, database: sizeOf('') },
    ])
    expect(sizeOf('')).toBeGreaterThan(before)
    expect(log.bytes).toBe(0)
    log.close()
  })

  test('of which a step fails leaves the log as it was, and the next one does it', async () => {
    const path = newPath()
    let broken = true
    const { log, add } = opened(path, async () => {
      if (broken) throw new Error('EIO')
    })
    add(1)
    const { bytes } = log
    await expect(log.merge(atOnce)).rejects.toThrow('EIO')
    expect([log.bytes, log.merging]).toEqual([bytes, false])
    broken = false
    await log.merge(atOnce)
    expect(log.bytes).toBe(0)
    log.close()
    expect(numbersIn(path)).toEqual([1])
  })

  test('beside another program that reads leaves the log long, and the disk is waited for until it can be cut', async () => {
    const path = newPath()
    const { db, log, add } = opened(path)
    add(1)
    const other = new Database(path, { readonly: true })
    other.exec('BEGIN')
    other.query('SELECT * FROM a').all()
    add(2)
    await log.merge(atOnce)
    expect(log.bytes).toBeGreaterThan(0)
    expect(synchronous(db)).toBe(1)
    other.close()
    await log.merge(atOnce)
    expect([log.bytes, synchronous(db)]).toEqual([0, 0])
    log.close()
  })

  test('beside another program that stops reading meanwhile has SQLite wait for what is brought in last', async () => {
    const path = newPath()
    let other: Database | undefined
    const { db, log, add } = opened(path, async (fd) => {
      if (readlinkSync(`/proc/self/fd/${fd}`) === path) other?.exec('ROLLBACK')
    })
    const waits: (number | undefined)[] = []
    onCheckpoint(db, 'TRUNCATE', (truncate) => {
      const before = statSync(path).size
      truncate()
      expect(statSync(path).size).toBeGreaterThan(before)
      waits.push(synchronous(db))
    })
    add(1)
    other = new Database(path, { readonly: true })
    other.exec('BEGIN')
    other.query('SELECT * FROM a').all()
    for (let n = 2; n <= 50; n++) add(n)
    await log.merge(atOnce)
    expect([waits, log.bytes, synchronous(db)]).toEqual([[1], 0, 0])
    other.close()
    log.close()
  })

  test('that the disk fails after the log was brought in holds commits back until one succeeds', async () => {
    const path = newPath()
    let syncs = 0
    const { log, add } = opened(path, async () => {
      if (++syncs === 2) throw new Error('EIO')
    })
    add(1)
    const { bytes } = log
    await expect(log.merge(atOnce)).rejects.toThrow('EIO')
    expect([log.bytes, log.merging, log.held]).toEqual([bytes, false, true])
    await log.merge(atOnce)
    expect([log.bytes, log.held]).toEqual([0, false])
    add(2)
    log.close()
    expect(numbersIn(path)).toEqual([1, 2])
  })

  test('for which the database has no room holds nothing back', async () => {
    const path = newPath()
    const { db, log, add } = opened(path)
    let full = true
    onCheckpoint(db, 'PASSIVE', (run) => {
      if (full) throw new Error('SQLITE_FULL: database or disk is full')
      run()
    })
    add(1)
    await expect(log.merge(atOnce)).rejects.toThrow('SQLITE_FULL')
    expect(log.held).toBe(false)
    add(2)
    full = false
    await log.merge(atOnce)
    expect(log.bytes).toBe(0)
    log.close()
    expect(numbersIn(path)).toEqual([1, 2])
  })

  test('that takes long is done at once by who cannot wait, and does nothing more when it goes on', async () => {
    const path = newPath()
    const slow = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    let syncs = 0
    const { log, add } = opened(path, () => slow[syncs++]!.promise)
    add(1)
    const merge = log.merge(atOnce)
    expect(log.merging).toBe(true)
    log.mergeNow()
    expect([log.merging, log.bytes]).toEqual([false, 0])
    add(2)
    const { bytes } = log
    slow[0]!.resolve()
    await merge
    expect([syncs, log.bytes]).toEqual([1, bytes])
    log.close()
    expect(numbersIn(path)).toEqual([1, 2])
  })

  test('may be under way when the database is closed', async () => {
    const path = newPath()
    const slow = Promise.withResolvers<void>()
    const { log, add } = opened(path, () => slow.promise)
    add(1)
    const merge = log.merge(atOnce)
    log.close()
    slow.reject(new Error('EBADF'))
    await merge
    expect(existsSync(`${path}-wal`)).toBe(false)
    expect(numbersIn(path)).toEqual([1])
  })
})

test('who waits for the disk waits for what was written before, and shares that with others', async () => {
  const path = newPath()
  const syncs: PromiseWithResolvers<void>[] = []
  const { log, add } = opened(path, () => {
    syncs.push(Promise.withResolvers())
    return syncs.at(-1)!.promise
  })
  await log.sync()
  expect(syncs).toHaveLength(0)
  const done: string[] = []
  add(1)
  const first = log.sync().then(() => done.push('first'))
  add(2)
  const second = log.sync().then(() => done.push('second'))
  const third = log.sync().then(() => done.push('third'))
  expect(syncs).toHaveLength(1)
  syncs[0]!.resolve()
  await first
  await Bun.sleep(0)
  expect(done).toEqual(['first'])
  expect(syncs).toHaveLength(2)
  syncs[1]!.resolve()
  await Promise.all([second, third])
  expect(syncs).toHaveLength(2)
  log.close()
})

test('who waits when the database is closed has it on the disk', async () => {
  const path = newPath()
  const slow = Promise.withResolvers<void>()
  const { log, add } = opened(path, () => slow.promise)
  add(1)
  const waiting = log.sync()
  log.close()
  slow.reject(new Error('EBADF'))
  await waiting
  expect(log.bytes).toBe(0)
  expect(numbersIn(path)).toEqual([1])
})

test('the log of a database that is found by a link is the one beside the database', async () => {
  const [path, link] = [newPath(), newPath()]
  symlinkSync(path, link)
  const { log, add } = opened(link)
  add(1)
  expect(log.bytes).toBeGreaterThan(0)
  expect(log.bytes).toBe(statSync(`${path}-wal`).size)
  await log.merge(atOnce)
  expect(log.bytes).toBe(0)
  log.close()
  expect(numbersIn(path)).toEqual([1])
})

const asRoot = test.skipIf(process.geteuid!() !== 0)

asRoot('a database whose files cannot be opened is left to SQLite, which waits for the disk as it closes that', () => {
  using db = new Database(newPath(), { create: true, strict: true })
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE a (n INTEGER)')
  process.seteuid!(nobody.uid)
  try {
    expect(() => new WriteAheadLog(db, { longest: 0, clock: new FakeClock(), failed: () => {} })).toThrow('EACCES')
  } finally {
    process.seteuid!(0)
  }
  expect(synchronous(db)).toBe(2)
})

test('a database in memory has nothing to bring anywhere', async () => {
  const { log, add } = opened(':memory:', () => Promise.reject(new Error('not asked for')))
  add(1)
  await log.sync()
  await log.merge(atOnce)
  log.mergeNow()
  expect([log.bytes, log.merging]).toEqual([0, false])
  log.close()
})

const pageBytes = 4096

/** A file as a power cut may leave it: of each page what was last brought to the disk, or what was written since. */
class Cut {
  readonly #path: string
  #onDisk: Buffer

  constructor(path: string) {
    this.#path = path
    this.#onDisk = this.now()
  }

  now(): Buffer {
    return existsSync(this.#path) ? readFileSync(this.#path) : Buffer.alloc(0)
  }

  synced(): void {
    this.#onDisk = this.now()
  }

  /**
   * A file that became shorter since is the old one, or the new one: its blocks are not given to others before that is on
   * the disk. What a file grew by may be zeros.
   */
  leave(random: () => number, cutSince: boolean): Buffer {
    const now = this.now()
    const before = cutSince ? Buffer.alloc(0) : this.#onDisk
    if (cutSince && random() < 0.5) return this.#onDisk
    const part = random()
    const left = Buffer.alloc(now.length)
    for (let at = 0; at < now.length; at += pageBytes) {
      const from = random() < part ? now : before
      if (at < from.length) from.copy(left, at, at, Math.min(at + pageBytes, from.length))
    }
    return left
  }
}

test('whenever the power is cut, the database is whole and has all that the disk was waited for', async () => {
  const random = seededRandom(7)
  const path = newPath()
  const [database, log] = [new Cut(path), new Cut(`${path}-wal`)]
  let safe = 0
  let cutSince = false
  let cuts = 0
  const powerCut = (last: number) => {
    const copy = newPath()
    writeFileSync(copy, database.leave(random, false))
    writeFileSync(`${copy}-wal`, log.leave(random, cutSince))
    const numbers = numbersIn(copy)
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, i) => i + 1))
    expect(numbers.length).toBeWithin(safe, last + 1)
    cuts++
  }
  let last = 0
  let merges = 0
  let others = 0
  const ends = (chance: number) => {
    if (other === undefined || random() >= chance) return
    other.close()
    other = undefined
  }
  let other: Database | undefined
  let broken = 0
  const {
    db,
    log: ahead,
    add,
  } = opened(path, async (fd) => {
    powerCut(last)
    if (random() < 0.1) {
      broken++
      throw new Error('EIO')
    }
    if (readlinkSync(`/proc/self/fd/${fd}`) === path) database.synced()
    else {
      log.synced()
      cutSince = false
    }
    ends(0.3)
    powerCut(last)
  })
  onCheckpoint(db, 'TRUNCATE', (truncate) => {
    const before = database.now()
    truncate()
    // What SQLite brings in itself it brings to the disk before it cuts the log, if it is to wait at all.
    if (synchronous(db) === 1 && !database.now().equals(before)) database.synced()
  })
  database.synced()
  log.synced()
  const tried = (work: Promise<void>) =>
    work.then(
      () => true,
      () => false,
    )
  while (last < 200) {
    ends(0.1)
    if (other === undefined && random() < 0.1) {
      other = new Database(path, { readonly: true })
      other.exec('BEGIN')
      other.query('SELECT * FROM a').all()
      others++
    }
    add(++last)
    powerCut(last)
    if (random() < 0.2) {
      const upTo = last
      if (await tried(ahead.sync())) safe = upTo
      powerCut(last)
    }
    if (last % 9 === 0) {
      let merged = await tried(ahead.merge(atOnce))
      while (!merged && ahead.held) merged = await tried(ahead.merge(atOnce))
      if (merged) {
        cutSince = ahead.bytes === 0
        safe = last
        merges++
      }
      powerCut(last)
    }
  }
  other?.close()
  ahead.close()
  expect(Math.min(others, broken)).toBeGreaterThan(5)
  expect(merges).toBeGreaterThan(10)
  expect(cuts).toBeGreaterThan(200)
}, 60_000)
