/**
 * What the store remembers, in SQLite. Every change happens inside one open transaction that is committed at most
 * every {@link commitEvery} ms: reads on this connection see it at once, a SIGKILL loses at most that much. Bitmaps are
 * taken at the moment of the commit, and a bit is set only after its bytes are in the file, so that no commit ever
 * claims a piece that is not there.
 *
 * Longer than most files, for all of it is written by that one transaction: blobs, pins, tags, bans, who was given what.
 */
import { Database, SQLiteError } from 'bun:sqlite'
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import type { Segment } from '../piece/metainfo.ts'
import type { Log } from '../telemetry/log.ts'
import { type Sync, WriteAheadLog } from '../write-ahead.ts'
import type { Ban, BlobKind, GrantHolder, TagRecord } from './blob-store.ts'
import type { Pin } from './pins.ts'
import { migrate } from './schema.ts'
import type { Spare } from './spare.ts'

export const commitEvery = 75
/** After a commit that failed, in ms. */
const retryEvery = 5000
/** More are not kept for another try. */
const mostChanges = 2000
/** How long it is remembered where a blob was seen that is not here (any more), or which tag was its, in ms. */
const keepSightings = 30 * 24 * 3600_000

export interface BlobRow {
  readonly digest: Digest
  readonly size: number
  readonly kind: BlobKind
  readonly mediaType: string | null
  readonly state: 'partial' | 'complete'
  readonly bitmap: Uint8Array | null
  readonly mtime: number | null
  readonly usedAt: number
  readonly addedAt: number
  /** Wall ms at which all of it was last seen to be right; 0 for never. */
  readonly verifiedAt?: number
  /** The file of another program that it is read from; `mtime` is that file's then. */
  readonly borrowed?: string | null
}

type PinRow = Pick<Pin, 'digest' | 'reason'> & { readonly until: number | null }

/** Something that has a row, as it is at the moment of a commit. */
export interface Recorded {
  readonly digest: Digest
  /** A commit is about to take the row: what else it should record of the blob has to be here now. */
  recording?(): void
  row(): BlobRow
}

/**
 * Bytes after which the log is brought into the catalog. It counts for the store's limit: in a small store a long one would
 * leave no room for blobs.
 */
function longestLog(limitBytes: number): number {
  return Math.max(256 * 1024, Math.min(16 * 1024 * 1024, limitBytes / 16))
}

export class Catalog {
  readonly #db: Database
  readonly #ahead: WriteAheadLog
  readonly #spare: Spare
  readonly #clock: Clock
  readonly #log: Log
  readonly #sql: ReturnType<typeof statements>
  readonly #dirty = new Set<Recorded>()
  /** Forgotten, but not committed yet. */
  readonly #owed = new Set<Digest>()
  /** Made in the open transaction; made again after one that failed. */
  readonly #changes: (() => void)[] = []
  #cancel: (() => void) | undefined
  #closed = false

  /** @throws {Failure} for a newer schema; an SQLite error that {@link isDamage} knows for a file that is no catalog */
  constructor(
    path: string,
    spare: Spare,
    clock: Clock,
    log: Log,
    { limitBytes = Number.POSITIVE_INFINITY, sync }: { readonly limitBytes?: number; readonly sync?: Sync } = {},
  ) {
    this.#spare = spare
    this.#db = new Database(path, { create: true, strict: true })
    this.#clock = clock
    this.#log = log
    try {
      this.#db.exec('PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
      const check = this.#db.query<{ quick_check: string }, []>('PRAGMA quick_check(1)').get()
      if (check?.quick_check !== 'ok') throw new DamagedCatalog(check?.quick_check ?? 'unreadable')
      migrate(this.#db, path)
      this.#sql = statements(this.#db)
      this.#ahead = new WriteAheadLog(this.#db, {
        longest: longestLog(limitBytes),
        clock,
        failed: (error) => this.#longer(error),
        sync,
      })
    } catch (error) {
      this.#db.close()
      throw error
    }
  }

  /** True if nothing that is on the disk can be missing there: the last run closed the catalog, or this is its boot. */
  begin(bootId: string): boolean {
    const clean = this.#sql.getMeta.get('closed')?.value === 'yes'
    const sameBoot = bootId !== '' && this.#sql.getMeta.get('boot')?.value === bootId
    const fresh = this.#sql.getMeta.get('boot') === null
    // Before the boot: whenever this process is killed, the next one sees either that it is new or that it is incomplete.
    if (fresh) this.#sql.setMeta.run('incomplete', 'yes')
    this.#sql.setMeta.run('closed', 'no')
    this.#sql.setMeta.run('boot', bootId)
    this.#prune()
    // To the disk at once: a "closed" that survives a power cut would vouch for bytes that did not.
    this.#ahead.mergeNow()
    return clean || sameBoot || fresh
  }

  /** It was made anew, and has not got a row for every file yet: a file without one is no rubbish. */
  get incomplete(): boolean {
    return this.#sql.getMeta.get('incomplete') !== null
  }

  /** Every file that is a blob has a row, also those that follow with the next commit. */
  completed(): void {
    this.#change(() => this.#sql.dropMeta.run('incomplete'))
    this.commit()
  }

  rows(): BlobRow[] {
    return this.#sql.blobs.all()
  }

  segments(digest: Digest): Segment[] {
    return this.#sql.segments.all(digest)
  }

  /** The row follows with the next commit; after {@link close}, none does. */
  mark(blob: Recorded): void {
    if (this.#closed) return
    this.#dirty.add(blob)
    this.#arm()
  }

  addSegment(digest: Digest, segment: Segment): void {
    const { first, digests, signer, signature } = segment
    this.#change(() => this.#sql.addSegment.run(digest, first, digests, signer, signature))
  }

  /**
   * Committed on return, so that the file may go. Where that is impossible (a full disk, which removing files is to
   * mend; a log that is being brought in) the rows are stale until a commit succeeds: harmless while there is no file, see
   * {@link owes}.
   */
  forget(digests: Iterable<Digest>): void {
    for (const digest of digests) this.#owed.add(digest)
    for (const blob of this.#dirty) if (this.#owed.has(blob.digest)) this.#dirty.delete(blob)
    this.commit()
  }

  /** True while a stale row may speak of `digest`: no new file may take the place of the old one now. */
  owes(digest: Digest): boolean {
    if (this.#owed.has(digest)) this.#commitNow()
    return this.#owed.has(digest)
  }

  seenIn(digest: Digest, { registry, name }: Repository): void {
    this.#change(() => this.#sql.see.run(digest, registry, name, this.#clock.wall()))
  }

  repositoriesOf(digest: Digest): Repository[] {
    return this.#sql.sightings.all(digest)
  }

  seenWhere(text: string): ReadonlySet<Digest> {
    return new Set(this.#sql.seenWhere.all(text).map(({ digest }) => digest))
  }

  wasSeenIn(digest: Digest, { registry, name }: Repository): boolean {
    return this.#sql.sighting.get(digest, registry, name) !== null
  }

  granted({ registry, name }: Repository, holder: GrantHolder): number | undefined {
    return this.#sql.getGrant.get(registry, name, holder)?.at
  }

  setGranted({ registry, name }: Repository, holder: GrantHolder, at: number | undefined): void {
    this.#change(() => {
      if (at === undefined) this.#sql.dropGrant.run(registry, name, holder)
      else this.#sql.setGrant.run(registry, name, holder, at)
    })
  }

  tag(repository: Repository, tag: Tag): TagRecord | undefined {
    return this.#sql.getTag.get(repository.registry, repository.name, tag) ?? undefined
  }

  setTag({ registry, name }: Repository, tag: Tag, { digest, mediaType, size, resolvedAt }: TagRecord): void {
    this.#change(() => this.#sql.setTag.run(registry, name, tag, digest, mediaType, size, resolvedAt))
  }

  pins(): Pin[] {
    return this.#sql.pins.all().map(({ until, ...pin }) => (until === null ? pin : { ...pin, until }))
  }

  pin({ digest, reason, until }: Pin): void {
    this.#change(() => this.#sql.pin.run(digest, reason, until ?? null))
  }

  unpin(digest: Digest, reason: string): void {
    this.#change(() => this.#sql.unpin.run(digest, reason))
  }

  /** Forgets pins that are over. */
  prunePins(): void {
    this.#change(() => this.#sql.prunePins.run(this.#clock.wall()))
  }

  /** Forgets all that is over, or too old to mean anything. */
  prune(): void {
    this.#change(() => this.#prune())
  }

  bans(): Ban[] {
    return this.#sql.bans.all(this.#clock.wall())
  }

  ban(node: string, reason: string, until: number): void {
    this.#change(() => this.#sql.ban.run(node, reason, until))
  }

  unban(node: string): void {
    this.#change(() => this.#sql.unban.run(node))
  }

  /**
   * Commits what is open, or as soon as the log has been brought in. Failing (a full disk), it says so and tries again later;
   * nothing is claimed meanwhile.
   */
  commit(): void {
    this.#cancel?.()
    this.#cancel = undefined
    if (this.#ahead.held) this.#arm()
    else this.#tryCommit()
    this.#ahead.shorten(() => this.#ahead.merge((work) => this.#apart(work)))
  }

  /**
   * All that was recorded so far outlives the machine, not just this process: a file without a row is taken for rubbish at
   * the next start. @throws {Failure} `no-disk`
   */
  async settle(): Promise<void> {
    await this.#ahead.shortened
    this.commit()
    try {
      if (this.#dirty.size + this.#changes.length > 0) throw new Error('what is to be recorded waits')
      await this.#ahead.sync()
    } catch (error) {
      const path = `${this.#db.filename}-wal`
      throw new Failure('no-disk', `cannot bring ${path} to the disk: ${(error as Error).message}`, { cause: error })
    }
  }

  /** `clean`: everything recorded is on the disk, whatever happens to the machine. */
  close(clean: boolean): void {
    this.#commitNow()
    this.#closed = true
    this.#cancel?.()
    try {
      if (clean && !this.#db.inTransaction && !this.#ahead.held) this.#sql.setMeta.run('closed', 'yes')
    } catch (error) {
      this.#trouble(error)
    }
    this.#ahead.close()
  }

  /** Also while the log is being brought in: the rest of that is done here, which may take as long as the disk does. */
  #commitNow(): void {
    if (this.#ahead.held) {
      try {
        this.#apart(() => this.#ahead.mergeNow())
      } catch (error) {
        this.#trouble(error)
      }
    }
    this.commit()
  }

  #longer(error: unknown): void {
    if (isFull(error)) this.#spare.giveUp()
    this.#log.error('could not bring the log of the catalog into it; it grows until that works', {
      file: this.#db.filename,
      error: error instanceof Error ? error.message : String(error),
    })
  }

  /** Runs what must not run inside the open transaction, which is made again after it. */
  #apart(work: () => void): void {
    if (this.#db.inTransaction) this.#db.exec('ROLLBACK')
    try {
      work()
    } finally {
      try {
        if (this.#changes.length > 0) this.#begin()
      } catch (error) {
        this.#trouble(error)
      }
    }
  }

  #tryCommit(): void {
    try {
      this.#commit()
    } catch (error) {
      this.#trouble(error)
      if (isFull(error) && this.#spare.giveUp()) this.#tryCommit()
      else this.#arm(retryEvery)
    }
  }

  #commit(): void {
    for (const blob of [...this.#dirty]) blob.recording?.()
    if (this.#dirty.size + this.#owed.size + this.#changes.length > 0) this.#begin()
    for (const digest of this.#owed) {
      this.#sql.forgetBlob.run(digest)
      this.#sql.forgetSegments.run(digest)
    }
    for (const blob of this.#dirty) {
      const {
        digest,
        size,
        kind,
        mediaType,
        state,
        bitmap,
        mtime,
        usedAt,
        addedAt,
        verifiedAt = 0,
        borrowed = null,
      } = blob.row()
      this.#sql.save.run(digest, size, kind, mediaType, state, bitmap, mtime, usedAt, addedAt, verifiedAt, borrowed)
    }
    if (this.#db.inTransaction) {
      this.#db.exec('COMMIT')
      this.#ahead.wrote()
    }
    this.#changes.length = 0
    this.#owed.clear()
    this.#dirty.clear()
  }

  #prune(): void {
    const now = this.#clock.wall()
    this.#sql.pruneBans.run(now)
    this.#sql.prunePins.run(now)
    this.#sql.pruneSightings.run(now - keepSightings)
    this.#sql.pruneTags.run(now - keepSightings)
    this.#sql.pruneGrants.run(now - keepSightings)
  }

  #begin(): void {
    if (this.#db.inTransaction) return
    this.#db.exec('BEGIN IMMEDIATE')
    for (const again of this.#changes) again()
  }

  #change(run: () => void): void {
    try {
      this.#begin()
      run()
      this.#changes.push(run)
    } catch (error) {
      this.#trouble(error)
      if (isPassing(error)) this.#changes.push(run)
    }
    if (this.#changes.length > mostChanges && !this.#ahead.merging) this.#changes.shift()
    this.#arm()
  }

  #trouble(error: unknown): void {
    this.#log.error('could not write the catalog; pieces that arrive now may be fetched again after a restart', {
      file: this.#db.filename,
      error: error instanceof Error ? error.message : String(error),
    })
    if (this.#db.inTransaction) this.#db.exec('ROLLBACK')
  }

  #arm(ms = commitEvery): void {
    this.#cancel ??= this.#clock.after(ms, () => this.commit())
  }
}

/** The file is an SQLite database no more, or not a sound one. */
export class DamagedCatalog extends Error {}

export function isDamage(error: unknown): boolean {
  if (error instanceof DamagedCatalog) return true
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB'
}

/** True for what the state of the disk brings about, not the change itself: trying it again makes sense. */
function isPassing(error: unknown): boolean {
  return error instanceof SQLiteError && /^SQLITE_(?:FULL|IOERR|BUSY)/.test(error.code ?? '')
}

export function isFull(error: unknown): boolean {
  return error instanceof SQLiteError && error.code === 'SQLITE_FULL'
}

/** Turns what SQLite says at open, or the system of these files, into what a person can act on. */
export function catalogFailure(error: unknown, path: string): Failure {
  const isOurs =
    error instanceof SQLiteError ||
    (error instanceof Error && 'path' in error && [path, `${path}-wal`].includes(String(error.path)))
  if (!isOurs) return Failure.from(error)
  return new Failure('internal', `cannot open ${path}: ${error.message}; check its owner and the free space there`, {
    cause: error,
  })
}

/** Made with `query`: Bun finalizes those at close, others keep the file open and its WAL behind. */
function statements(db: Database) {
  const blob = `digest, size, kind, media_type AS mediaType, state, bitmap, mtime, used_at AS usedAt, added_at AS addedAt,
    verified_at AS verifiedAt, borrowed`
  return {
    blobs: db.query<BlobRow, []>(`SELECT ${blob} FROM blobs`),
    save: db.query(
      `INSERT INTO blobs (digest, size, kind, media_type, state, bitmap, mtime, used_at, added_at, verified_at,
         borrowed)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (digest) DO UPDATE SET
         size = excluded.size, kind = excluded.kind, media_type = excluded.media_type, state = excluded.state,
         bitmap = excluded.bitmap, mtime = excluded.mtime, used_at = excluded.used_at,
         verified_at = excluded.verified_at, borrowed = excluded.borrowed`,
    ),
    forgetBlob: db.query('DELETE FROM blobs WHERE digest = ?'),
    segments: db.query<Segment, [string]>(
      'SELECT first, digests, signer, signature FROM segments WHERE digest = ? ORDER BY rowid',
    ),
    addSegment: db.query('INSERT INTO segments (digest, first, digests, signer, signature) VALUES (?, ?, ?, ?, ?)'),
    forgetSegments: db.query('DELETE FROM segments WHERE digest = ?'),
    getTag: db.query<TagRecord, [string, string, string]>(
      `SELECT digest, media_type AS mediaType, size, resolved_at AS resolvedAt FROM tags
       WHERE registry = ? AND repository = ? AND tag = ?`,
    ),
    setTag: db.query(
      `INSERT OR REPLACE INTO tags (registry, repository, tag, digest, media_type, size, resolved_at)
       VALUES (?, ?, ?, ?, ?, ?, ?)`,
    ),
    // While the source is out of reach tags grow old, and those of what is here are still good.
    pruneTags: db.query('DELETE FROM tags WHERE resolved_at < ? AND digest NOT IN (SELECT digest FROM blobs)'),
    see: db.query('INSERT OR REPLACE INTO seen_in (digest, registry, repository, seen_at) VALUES (?, ?, ?, ?)'),
    sightings: db.query<Repository, [string]>(
      'SELECT registry, repository AS name FROM seen_in WHERE digest = ? ORDER BY seen_at DESC, registry, repository',
    ),
    seenWhere: db.query<{ digest: Digest }, [string]>(
      "SELECT DISTINCT digest FROM seen_in WHERE instr(lower(registry || '/' || repository), ?) > 0",
    ),
    sighting: db.query<{ seen: 1 }, [string, string, string]>(
      'SELECT 1 AS seen FROM seen_in WHERE digest = ? AND registry = ? AND repository = ?',
    ),
    pruneSightings: db.query('DELETE FROM seen_in WHERE seen_at < ? AND digest NOT IN (SELECT digest FROM blobs)'),
    getGrant: db.query<{ at: number }, [string, string, string]>(
      'SELECT at FROM grants WHERE registry = ? AND repository = ? AND holder = ?',
    ),
    setGrant: db.query('INSERT OR REPLACE INTO grants (registry, repository, holder, at) VALUES (?, ?, ?, ?)'),
    dropGrant: db.query('DELETE FROM grants WHERE registry = ? AND repository = ? AND holder = ?'),
    pruneGrants: db.query('DELETE FROM grants WHERE at < ?'),
    pins: db.query<PinRow, []>('SELECT digest, reason, until FROM pins'),
    pin: db.query('INSERT OR REPLACE INTO pins (digest, reason, until) VALUES (?, ?, ?)'),
    unpin: db.query('DELETE FROM pins WHERE digest = ? AND reason = ?'),
    prunePins: db.query('DELETE FROM pins WHERE until <= ?'),
    bans: db.query<Ban, [number]>('SELECT node, reason, until FROM bans WHERE until > ?'),
    ban: db.query('INSERT OR REPLACE INTO bans (node, reason, until) VALUES (?, ?, ?)'),
    unban: db.query('DELETE FROM bans WHERE node = ?'),
    pruneBans: db.query('DELETE FROM bans WHERE until <= ?'),
    getMeta: db.query<{ value: string }, [string]>('SELECT value FROM meta WHERE key = ?'),
    setMeta: db.query('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)'),
    dropMeta: db.query('DELETE FROM meta WHERE key = ?'),
  }
}
