/**
 * What a node knows of the indexes of layers, across restarts: who says which blob is whose index, which layers have none
 * and why, and what starts read first. All of it can be asked for or made again, so a file that is damaged is begun anew.
 */
import { Database, SQLiteError } from 'bun:sqlite'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Log } from '../telemetry/log.ts'
import { type KnownReads, noReads } from './reads.ts'
import type { IndexStatement } from './statement.ts'

export interface Indexed {
  readonly statement: IndexStatement
  /** Wall time in ms at which it was found to be what the whole layer gives; undefined while nobody here has looked. */
  readonly checkedAt: number | undefined
  readonly at: number
}

export interface Unindexed {
  readonly reason: string
  readonly at: number
}

interface Row {
  readonly layer: Digest
  readonly index_digest: Digest
  readonly size: number
  readonly diff_id: Digest
  readonly signer: string
  readonly signature: Uint8Array
  readonly checked_at: number | null
  readonly at: number
}

const tables = `
  CREATE TABLE IF NOT EXISTS indexes (
    layer TEXT PRIMARY KEY, index_digest TEXT NOT NULL, size INTEGER NOT NULL, diff_id TEXT NOT NULL,
    signer TEXT NOT NULL, signature BLOB NOT NULL, checked_at INTEGER, at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS unindexed (layer TEXT PRIMARY KEY, reason TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS reads (layer TEXT PRIMARY KEY, known TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
`

const version = 1

const count = z.number().int().min(0)
const readsSchema = z.object({ starts: count, chunks: z.array(z.tuple([count, count, z.number().min(0)])) })

/** What starts have read is kept of so many layers; others ask who told of it first. */
const mostReadLayers = 1024

export class Ledger {
  readonly #db: Database

  /** That of a node. Counted with its store, for it lies where that keeps its own files. */
  static in(dataDir: string, log: Pick<Log, 'warn'>): Ledger {
    return new Ledger(join(dataDir, 'shoal.layers.db'), log)
  }

  /** `path` may be `:memory:`. */
  constructor(path: string, log: Pick<Log, 'warn'>) {
    this.#db = open(path, log)
  }

  indexed(layer: Digest): Indexed | undefined {
    const row = this.#db.query<Row, [string]>('SELECT * FROM indexes WHERE layer = ?').get(layer)
    return row ? indexedOf(row) : undefined
  }

  /** Latest first. */
  allIndexed(): Indexed[] {
    return this.#db.query<Row, []>('SELECT * FROM indexes ORDER BY at DESC, layer').all().map(indexedOf)
  }

  /** Those that nobody here has checked. */
  unchecked(): Indexed[] {
    return this.#db.query<Row, []>('SELECT * FROM indexes WHERE checked_at IS NULL').all().map(indexedOf)
  }

  /** Whether a blob is an index. */
  isIndex(digest: Digest): boolean {
    return this.#db.query('SELECT 1 FROM indexes WHERE index_digest = ? LIMIT 1').get(digest) !== null
  }

  set({ layer, index, size, diffId, signer, signature }: IndexStatement, at: number, checkedAt?: number): void {
    this.#write(() => {
      this.#db
        .query('INSERT OR REPLACE INTO indexes VALUES (?, ?, ?, ?, ?, ?, ?, ?)')
        .run(layer, index, size, diffId, signer, signature, checkedAt ?? null, at)
      this.#db.query('DELETE FROM unindexed WHERE layer = ?').run(layer)
    })
  }

  /** There is nothing to be known of the index any more. */
  forget(layer: Digest): void {
    this.#write(() => this.#db.query('DELETE FROM indexes WHERE layer = ?').run(layer))
  }

  unindexed(layer: Digest): Unindexed | undefined {
    return (
      this.#db.query<Unindexed, [string]>('SELECT reason, at FROM unindexed WHERE layer = ?').get(layer) ?? undefined
    )
  }

  allUnindexed(): (Unindexed & { readonly layer: Digest })[] {
    return this.#db
      .query<Unindexed & { layer: Digest }, []>('SELECT layer, reason, at FROM unindexed ORDER BY at DESC, layer')
      .all()
  }

  setUnindexed(layer: Digest, reason: string, at: number): void {
    this.#write(() => this.#db.query('INSERT OR REPLACE INTO unindexed VALUES (?, ?, ?)').run(layer, reason, at))
  }

  forgetUnindexed(layer: Digest): void {
    this.#write(() => this.#db.query('DELETE FROM unindexed WHERE layer = ?').run(layer))
  }

  reads(layer: Digest): KnownReads {
    const row = this.#db.query<{ known: string }, [string]>('SELECT known FROM reads WHERE layer = ?').get(layer)
    const known = row ? readsSchema.safeParse(JSON.parse(row.known)).data : undefined
    if (!known) return noReads
    return {
      starts: known.starts,
      chunks: new Map(known.chunks.map(([chunk, starts, place]) => [chunk, { starts, place }])),
    }
  }

  setReads(layer: Digest, { starts, chunks }: KnownReads, at: number): void {
    const known = { starts, chunks: [...chunks].map(([chunk, read]) => [chunk, read.starts, read.place]) }
    this.#write(() => {
      this.#db.query('INSERT OR REPLACE INTO reads VALUES (?, ?, ?)').run(layer, JSON.stringify(known), at)
      this.#db
        .query('DELETE FROM reads WHERE layer NOT IN (SELECT layer FROM reads ORDER BY at DESC LIMIT ?)')
        .run(mostReadLayers)
    })
  }

  close(): void {
    this.#db.close()
  }

  /** @throws {Failure} `no-disk` */
  #write(work: () => void): void {
    try {
      this.#db.transaction(work)()
    } catch (error) {
      if (!(error instanceof SQLiteError)) throw error
      throw new Failure('no-disk', `what is known of layers cannot be written: ${error.message}`, { cause: error })
    }
  }
}

function indexedOf({ layer, index_digest, size, diff_id, signer, signature, checked_at, at }: Row): Indexed {
  const statement = { layer, index: index_digest, size, diffId: diff_id, signer, signature: new Uint8Array(signature) }
  return { statement, checkedAt: checked_at ?? undefined, at }
}

class OfAnother extends Error {}

function open(path: string, log: Pick<Log, 'warn'>): Database {
  try {
    return opened(path)
  } catch (error) {
    if (!(error instanceof SQLiteError || error instanceof OfAnother) || path === ':memory:') throw error
    if (error instanceof SQLiteError && !broken.has(error.code ?? '')) return inMemory(path, error, log)
    log.warn('what was known of the indexes of layers is lost, and will be asked for again', {
      path,
      error: error.message,
    })
  }
  try {
    for (const end of ['', '-wal', '-shm']) rmSync(`${path}${end}`, { force: true })
    return opened(path)
  } catch (error) {
    return inMemory(path, error, log)
  }
}

/** Else the disk is full, or cannot be written: pulls do not wait until it can. */
const broken: ReadonlySet<string> = new Set(['SQLITE_NOTADB', 'SQLITE_CORRUPT', 'SQLITE_ERROR'])

function inMemory(path: string, error: unknown, log: Pick<Log, 'warn'>): Database {
  log.warn('what is known of the indexes of layers is kept in memory alone', { path, error: (error as Error).message })
  return opened(':memory:')
}

function opened(path: string): Database {
  const db = new Database(path, { create: true, strict: true })
  try {
    db.exec('PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
    const found = db.query<{ user_version: number }, []>('PRAGMA user_version').get()?.user_version ?? 0
    if (found > version) throw new OfAnother(`a later shoal wrote it, in form ${found}`)
    db.exec(tables)
    db.exec(`PRAGMA user_version = ${version}`)
    return db
  } catch (error) {
    db.close()
    throw error
  }
}
