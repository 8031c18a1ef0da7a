/** Opening a store: lock, catalog, then every record against the file it speaks of, and every file against the records. */
import { existsSync, readFileSync, renameSync } from 'node:fs'
import type { Clock } from '../clock.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import { Bitmap } from '../piece/bitmap.ts'
import { type Layout, layoutOf } from '../piece/layout.ts'
import { Metainfo } from '../piece/metainfo.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Sync } from '../write-ahead.ts'
import { BlobTree, type FoundFile } from './blob-tree.ts'
import { isUnchanged } from './borrowed.ts'
import { type BlobRow, Catalog, catalogFailure, isDamage, isFull } from './catalog.ts'
import { type DataDir, isRefusal, openDataDir, unusable } from './data-dir.ts'
import { DiskBlob } from './disk-blob.ts'
import type { Idle } from './eviction.ts'
import type { Disk, Share } from './free-space.ts'
import type { Keeper } from './keeper.ts'
import { readAt } from './open-files.ts'
import { judge } from './recovery.ts'
import { dropWrongPieces, type Reading, sniff, wholeSince } from './rehash.ts'
import { salvage } from './salvage.ts'
import { Spare } from './spare.ts'
import { emptySpools } from './spool.ts'
import { damageIn } from './unreadable.ts'

export interface DiskStoreOptions {
  readonly dir: string
  /** What the store may take of the disk; unlimited if absent. */
  readonly limitBytes?: number
  /** What it takes beside the files of blobs; found out by default. */
  readonly beside?: () => number
  /** A blob unused for longer than this is removed; never if absent. */
  readonly ttlMs?: number
  /** Where rules say otherwise of what is known to be of these repositories: asked again when that changes. */
  readonly idle?: (repositories: readonly Repository[]) => Idle | undefined
  /** What is to stay free on the disk; absent: nothing. */
  readonly keepFree?: Share
  /** The disk; found out by default. */
  readonly disk?: () => Disk
  readonly clock: Clock
  readonly log: Log
  readonly metrics?: Pick<Metrics, 'blobs' | 'storeBytes' | 'storeDiskBytes' | 'evictedBytes'>
  /** Reads a file, and says whether the disk as a whole takes anything; both the real ones by default. */
  readonly read?: typeof readAt
  readonly answers?: () => Promise<boolean>
  /** Brings the catalog's files to the disk; fdatasync(2) by default. */
  readonly sync?: Sync
  /** The process is to end: opening, which may have to read all files, rejects with its reason. */
  readonly ending?: AbortSignal
  /** Changes when the machine starts anew; the kernel's by default. */
  readonly bootId?: string
}

/** What a store is made of; `release` gives the data directory free. */
export interface Parts {
  readonly tree: BlobTree
  readonly catalog: Catalog
  readonly spare: Spare
  readonly blobs: (keeper: Keeper) => DiskBlob[]
  release(): void
}

/** @throws {Failure} `internal`; the reason of `ending` */
export async function openStore(options: DiskStoreOptions): Promise<Parts> {
  const dir = openDataDir(options.dir, options.log)
  const spare = new Spare(dir.spare)
  try {
    return await openParts(options, dir, spare).catch((error: unknown) => {
      if (isFull(error) && spare.giveUp()) return openParts(options, dir, spare)
      throw error
    })
  } catch (error) {
    dir.unlock()
    // What a node of another user has left below is found when it is read.
    if (isRefusal(error)) throw unusable(options.dir, error)
    throw catalogFailure(error, dir.catalog)
  }
}

async function openParts(options: DiskStoreOptions, dir: DataDir, spare: Spare): Promise<Parts> {
  const { clock, log } = options
  const tree = new BlobTree(dir.blobs, dir.trash, dir.spools)
  const catalog = openCatalog()
  try {
    const trusted = catalog.begin(options.bootId ?? bootId())
    const files = await tree.scan(options.answers ?? (() => tree.answers()))
    const opening = new Opening(options, tree, catalog, files)
    const rows = await opening.check(trusted)
    if (catalog.incomplete) rows.push(...(await opening.rebuild(rows)))
    await opening.sweep(rows)
    await tree.emptyTrash()
    emptySpools(dir.spools)
    const blobs: Parts['blobs'] = (keeper) =>
      rows.map((row) => {
        const disk = row.borrowed ? 0 : files.get(row.digest)?.disk
        return new DiskBlob(keeper, tree.pathOf(row.digest), row, disk)
      })
    log.debug('store opened', { dir: options.dir, blobs: rows.length })
    spare.keep()
    return { tree, catalog, spare, blobs, release: dir.unlock }
  } catch (error) {
    catalog.close(false)
    throw error
  }

  /** A new one where there is none, or none that is sound. */
  function openCatalog(): Catalog {
    const path = dir.catalog
    try {
      return new Catalog(path, spare, clock, log, options)
    } catch (error) {
      if (!isDamage(error)) throw error
      // Before it is moved: what is between a catalog and the next is as short as can be, should the process be killed there.
      const { pins, bans, trouble } = salvage(path)
      const aside = `${path}.damaged-${new Date(clock.wall()).toISOString().replaceAll(':', '')}`
      for (const suffix of ['', '-wal', '-shm']) {
        if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix)
      }
      log.error('the catalog is damaged; it was moved aside and is being rebuilt from the files of whole blobs', {
        file: path,
        movedTo: aside,
        error: error instanceof Error ? error.message : String(error),
      })
      const catalog = new Catalog(path, spare, clock, log, options)
      for (const pin of pins) catalog.pin(pin)
      for (const { node, reason, until } of bans) catalog.ban(node, reason, until)
      catalog.commit()
      const found = { pins: pins.length, bans: bans.length }
      if (trouble === undefined) log.info('pins and bans were found in the damaged catalog', found)
      else {
        log.error(
          'pins and bans were lost with the catalog, but for those that could be read: pin again what is to stay',
          {
            ...found,
            error: trouble,
          },
        )
      }
      return catalog
    }
  }
}

class Opening {
  readonly #options: DiskStoreOptions
  readonly #tree: BlobTree
  readonly #catalog: Catalog
  readonly #files: ReadonlyMap<Digest, FoundFile>
  readonly #disk: Reading
  readonly #forgotten: Digest[] = []

  constructor(options: DiskStoreOptions, tree: BlobTree, catalog: Catalog, files: ReadonlyMap<Digest, FoundFile>) {
    this.#options = options
    this.#tree = tree
    this.#catalog = catalog
    this.#files = files
    const { ending, read = readAt, answers = () => tree.answers() } = options
    this.#disk = {
      read: (...piece) => {
        ending?.throwIfAborted()
        return read(...piece)
      },
      answers,
    }
  }

  /** The rows that are true, corrected where they were not quite. */
  async check(trusted: boolean): Promise<BlobRow[]> {
    const { log } = this.#options
    const rows: BlobRow[] = []
    if (!trusted) log.info('the machine went down under the node; incomplete blobs are checked piece by piece')
    for (const row of this.#catalog.rows()) {
      const { digest } = row
      if (row.borrowed) {
        if (isUnchanged(row.borrowed, row)) rows.push(row)
        else this.#forget(row, 'the file it was read from is another one now, or gone', false)
        continue
      }
      const verdict = judge(row, this.#files.get(digest), trusted)
      if (verdict.do === 'keep') {
        const claimed = row.state === 'complete' ? row : this.#verifiable(row)
        if (claimed) rows.push(claimed)
      } else if (verdict.do === 'forget') this.#forget(row, verdict.reason, verdict.lost)
      else {
        const read = verdict.do === 'check pieces' ? this.#checkPieces(row) : this.#checkWhole(row, verdict.reason)
        const checked = await read
        if (checked) rows.push(this.#save(checked))
      }
    }
    this.#catalog.forget(this.#forgotten)
    return rows
  }

  /**
   * Rows for the files that are whole blobs although none of `rows` speaks of them, whatever they were recorded as. What
   * was found is recorded as it goes on: killed meanwhile, the next start goes on there.
   */
  async rebuild(rows: readonly BlobRow[]): Promise<BlobRow[]> {
    const { log, clock } = this.#options
    const recorded = new Set(rows.map((row) => row.digest))
    const files = [...this.#files].filter(([digest]) => !recorded.has(digest))
    if (files.length > 0) {
      log.info('reading files that the catalog does not know, for it is a new one', {
        files: files.length,
        known: rows.length,
      })
    }
    const added: BlobRow[] = []
    let bytes = 0
    for (const [digest, { size }] of files) {
      const path = this.#tree.pathOf(digest)
      const found = await this.#look(digest, async () => {
        const mtime = await wholeSince(path, digest, this.#disk)
        return mtime === undefined ? undefined : { mtime, ...(await sniff(path, size)) }
      })
      if (!found) continue
      const { mtime, kind, mediaType = null } = found
      const now = clock.wall()
      const row = { digest, size, kind, mediaType, state: 'complete', bitmap: null, mtime } as const
      // Due to be read again: with the catalog went what its pieces are.
      added.push(this.#save({ ...row, usedAt: now, addedAt: now, verifiedAt: 0 }))
      bytes += size
    }
    this.#catalog.completed()
    if (files.length > 0) log.info('catalog rebuilt', { blobs: added.length, of: files.length, bytes })
    return added
  }

  /** Deletes files that no row speaks of. */
  async sweep(rows: readonly BlobRow[]): Promise<void> {
    const recorded = new Set(rows.filter((row) => !row.borrowed).map((row) => row.digest))
    let swept = 0
    for (const digest of this.#files.keys()) {
      if (recorded.has(digest)) continue
      try {
        await this.#tree.discard(digest)
        swept++
      } catch (error) {
        await damageIn(error, this.#disk.answers)
        this.#options.log.warn('could not delete a file that the disk cannot read', { digest, error: String(error) })
      }
    }
    if (swept > 0) this.#options.log.info('deleted files that the catalog does not know', { files: swept })
  }

  /** Without pieces of which nobody can say whether they are right: nothing is claimed that would be fetched again. */
  #verifiable(row: BlobRow): BlobRow | undefined {
    const { have, metainfo } = this.#recorded(row)
    const unknown = [...have.indexes()].filter((piece) => !metainfo.known.has(piece))
    if (unknown.length === 0) return row
    for (const piece of unknown) have.clear(piece)
    this.#options.log.info('pieces whose digests were not recorded yet will be fetched again', {
      digest: row.digest,
      dropped: unknown.length,
      kept: have.count,
    })
    if (have.count > 0) return this.#save({ ...row, bitmap: have.bytes })
    this.#forget(row, 'the digests of its pieces were not recorded', false)
    return undefined
  }

  #recorded(row: BlobRow): { layout: Layout; have: Bitmap; metainfo: Metainfo } {
    const layout = layoutOf(row.size)
    const have = new Bitmap(layout.count, row.bitmap ?? undefined)
    const metainfo = new Metainfo(row.digest, layout)
    for (const segment of this.#catalog.segments(row.digest)) metainfo.add(segment)
    return { layout, have, metainfo }
  }

  async #checkPieces(row: BlobRow): Promise<BlobRow | undefined> {
    const { layout, have, metainfo } = this.#recorded(row)
    const path = this.#tree.pathOf(row.digest)
    const dropped = await this.#look(row.digest, () => dropWrongPieces(path, layout, have, metainfo, this.#disk))
    if (dropped === undefined) return undefined
    if (dropped > 0) this.#options.log.warn('pieces were lost', { digest: row.digest, dropped, kept: have.count })
    if (have.complete) return this.#checkWhole(row, 'all its pieces are there')
    if (have.count > 0) return { ...row, bitmap: have.bytes }
    this.#forget(row, 'none of its pieces survived', true)
    return undefined
  }

  async #checkWhole(row: BlobRow, reason: string): Promise<BlobRow | undefined> {
    this.#options.log.info('reading a blob again', { digest: row.digest, reason })
    const { digest } = row
    const path = this.#tree.pathOf(digest)
    const found = await this.#look(digest, async () => ({ mtime: await wholeSince(path, digest, this.#disk) }))
    if (!found) return undefined
    const { mtime } = found
    if (mtime !== undefined) return { ...row, state: 'complete', bitmap: null, mtime }
    this.#forget(row, `${reason}, but its bytes have another digest`, true)
    return undefined
  }

  /**
   * What `look` finds out. One file that the disk cannot read is no reason for a node not to start: that blob is forgotten,
   * and undefined is the result. A disk that is gone altogether is one, for all that is on it would be forgotten.
   */
  async #look<T>(digest: Digest, look: () => Promise<T>): Promise<T | undefined> {
    try {
      return await look()
    } catch (error) {
      const { message } = await damageIn(error, this.#disk.answers)
      this.#forget({ digest }, `the disk cannot read its file: ${message}`, true)
      return undefined
    }
  }

  #save(row: BlobRow): BlobRow {
    this.#catalog.mark({ digest: row.digest, row: () => row })
    return row
  }

  #forget(row: Pick<BlobRow, 'digest'>, reason: string, lost: boolean): void {
    if (lost) this.#options.log.warn('forgot a blob; it will be fetched again', { digest: row.digest, reason })
    this.#forgotten.push(row.digest)
  }
}

/** Empty where the kernel does not say: nothing is then taken for the same boot. */
function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}
