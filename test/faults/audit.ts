/**
 * What a node's data directory claims, against what the blobs really are: read from copies of its files, with none of the
 * product's own recovery, while the node runs or after it was killed.
 */
import { Database } from 'bun:sqlite'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { digestOf, hexOf, isDigest } from '../../src/oci/digest.ts'
import { Bitmap } from '../../src/piece/bitmap.ts'
import { layoutOf, pieceBytes, pieceStart } from '../../src/piece/layout.ts'
import { must } from './fault.ts'

export interface Audit {
  readonly whole: number
  readonly partial: number
  /** Of blobs that are not whole. */
  readonly pieces: number
}

interface Row {
  readonly digest: string
  readonly size: number
  readonly state: 'partial' | 'complete'
  readonly bitmap: Uint8Array | null
}

/**
 * The same while the node runs: files change while they are copied, and what is claimed at one moment may be dropped in
 * the next, so only what is wrong each time counts.
 */
export async function auditLive(
  dataDir: string,
  scratch: string,
  truth: ReadonlyMap<string, Uint8Array>,
): Promise<Audit> {
  for (let left = 3; ; left--) {
    try {
      return audit(dataDir, scratch, truth)
    } catch (error) {
      if (left === 0) throw error
      await Bun.sleep(300)
    }
  }
}

/**
 * @param truth true bytes by digest, for blobs that are not whole
 * @throws when the database is not sound, or a claim of it is not true
 */
export function audit(dataDir: string, scratch: string, truth: ReadonlyMap<string, Uint8Array>): Audit {
  const rows = rowsOf(dataDir, scratch)
  let pieces = 0
  for (const { digest, size, state, bitmap } of rows) {
    if (!isDigest(digest)) throw new Error(`the database names a blob "${digest}"`)
    const file = join(dataDir, 'blobs', 'sha256', hexOf(digest).slice(0, 2), hexOf(digest))
    const bytes = existsSync(file) ? readFileSync(file) : new Uint8Array()
    if (state === 'complete') {
      must(digestOf(bytes) === digest, `${digest} is called whole and its file has ${bytes.length} other bytes`)
      continue
    }
    const right = truth.get(digest)
    // What a registry said to have another size can never be whole; its pieces are those of nothing.
    if (!right || right.length !== size || bitmap === null) continue
    const layout = layoutOf(size)
    for (const piece of new Bitmap(layout.count, bitmap).indexes()) {
      const start = pieceStart(layout, piece)
      const end = start + pieceBytes(layout, piece)
      const same = Buffer.compare(bytes.subarray(start, end), right.subarray(start, end)) === 0
      must(same, `piece ${piece} of ${digest} is claimed and not in the file`)
      pieces++
    }
  }
  const whole = rows.filter(({ state }) => state === 'complete').length
  return { whole, partial: rows.length - whole, pieces }
}

/** From a copy, so that looking at it mends nothing. */
function rowsOf(dataDir: string, scratch: string): Row[] {
  const copy = mkdtempSync(join(scratch, 'audit-'))
  try {
    for (const name of ['shoal.db', 'shoal.db-wal']) {
      if (existsSync(join(dataDir, name))) copyFileSync(join(dataDir, name), join(copy, name))
    }
    using db = new Database(join(copy, 'shoal.db'))
    const found = db.query<{ integrity_check: string }, []>('PRAGMA integrity_check').get()?.integrity_check
    must(found === 'ok', `the database is not sound: ${found}`)
    return db.query<Row, []>('SELECT digest, size, state, bitmap FROM blobs').all()
  } finally {
    rmSync(copy, { recursive: true })
  }
}
