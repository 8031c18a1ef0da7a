/** The catalog's tables, as steps from one version to the next. Released steps are never edited: add one below. */
import type { Database } from 'bun:sqlite'
import { Failure } from '../failure.ts'

const steps: readonly string[] = [
  `CREATE TABLE blobs (
     digest     TEXT PRIMARY KEY,
     size       INTEGER NOT NULL,
     kind       TEXT NOT NULL,
     media_type TEXT,
     state      TEXT NOT NULL CHECK (state IN ('partial', 'complete')),
     bitmap     BLOB,              -- pieces that are there; NULL once complete
     mtime      INTEGER,           -- of the file when it was completed, ms: a later one means somebody touched it
     used_at    INTEGER NOT NULL,  -- wall ms
     added_at   INTEGER NOT NULL
   ) WITHOUT ROWID;
   CREATE TABLE segments (
     digest    TEXT NOT NULL,
     first     INTEGER NOT NULL,
     digests   BLOB NOT NULL,
     signer    TEXT NOT NULL,
     signature BLOB NOT NULL
   );
   CREATE INDEX segments_by_digest ON segments (digest);
   CREATE TABLE tags (
     registry    TEXT NOT NULL,
     repository  TEXT NOT NULL,
     tag         TEXT NOT NULL,
     digest      TEXT NOT NULL,
     media_type  TEXT NOT NULL,
     size        INTEGER NOT NULL,
     resolved_at INTEGER NOT NULL,
     PRIMARY KEY (registry, repository, tag)
   ) WITHOUT ROWID;
   CREATE TABLE seen_in (
     digest     TEXT NOT NULL,
     registry   TEXT NOT NULL,
     repository TEXT NOT NULL,
     seen_at    INTEGER NOT NULL,
     PRIMARY KEY (digest, registry, repository)
   ) WITHOUT ROWID;
   CREATE TABLE bans (
     node   TEXT PRIMARY KEY,
     reason TEXT NOT NULL,
     until  INTEGER NOT NULL       -- wall ms
   ) WITHOUT ROWID;
   CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;`,
  // Wall ms at which all of it was last seen to be right.
  'ALTER TABLE blobs ADD COLUMN verified_at INTEGER NOT NULL DEFAULT 0',
  // Until here a blob counted as seen where somebody asked for it, from now on where it is known to be.
  `DELETE FROM seen_in;
   CREATE TABLE grants (
     registry   TEXT NOT NULL,
     repository TEXT NOT NULL,
     holder     TEXT NOT NULL,
     at         INTEGER NOT NULL,      -- wall ms
     PRIMARY KEY (registry, repository, holder)
   ) WITHOUT ROWID;`,
  `CREATE TABLE pins (
     digest TEXT NOT NULL,
     reason TEXT NOT NULL,
     until  INTEGER,                   -- wall ms; NULL: until it is unpinned
     PRIMARY KEY (digest, reason)
   ) WITHOUT ROWID;`,
  // A file of another program that the blob is read from; NULL: the store has a file of its own.
  'ALTER TABLE blobs ADD COLUMN borrowed TEXT',
]

export const schemaVersion = steps.length

/**
 * Brings the tables up to date, each step in a transaction of its own.
 * @throws {Failure} `internal` when a newer shoal wrote them
 */
export function migrate(db: Database, path: string): void {
  const found = db.query<{ user_version: number }, []>('PRAGMA user_version').get()?.user_version ?? 0
  if (found > schemaVersion) {
    throw new Failure(
      'internal',
      `${path} was written by a newer shoal (schema ${found}, this one knows ${schemaVersion}): ` +
        'start that version again, or choose another --data-dir',
    )
  }
  for (let version = found; version < schemaVersion; version++) {
    db.transaction(() => {
      db.exec(steps[version]!)
      db.exec(`PRAGMA user_version = ${version + 1}`)
    })()
  }
}
