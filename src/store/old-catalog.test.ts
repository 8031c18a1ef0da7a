/**
 * `test/fakes/catalogs/first.db.gz` is what a node of the first day (commit 22eab07a3164) left behind that had pulled an image of
 * two layers, {@link noise} of 3,000 and of 600,000 bytes, and ended.
 */
import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { diskStores } from '../../test/fakes/disk-stores.ts'
import { noise } from '../../test/fakes/registry.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { parseTag, repositoryOf } from '../oci/reference.ts'
import { migrate, schemaVersion } from './schema.ts'

const { newDir, openStore } = diskStores()
const first = join(import.meta.dir, '..', '..', 'test', 'fakes', 'catalogs', 'first.db.gz')
const repository = repositoryOf('docker.io', 'team/app')
const manifest = 'sha256:aef3f7feac8b8743664e82b86dd4aac218fa190a58ed19bea617ee8d8203cb63' as Digest
const liar = '12D3KooWHq3GEEyXMArTeAPhxecspd2Fbuy8YGPNqZDZEXKf8Rf3'

/** A data directory of that day, with the files of its layers. */
function oldDirectory(): { dir: string; catalog: string; layers: Uint8Array[] } {
  const dir = newDir()
  const catalog = join(dir, 'shoal.db')
  writeFileSync(catalog, gunzipSync(readFileSync(first)))
  const db = new Database(catalog)
  db.run('INSERT INTO bans (node, reason, until) VALUES (?, ?, ?)', [liar, 'it lied', Date.UTC(2100, 0, 1)])
  db.close()
  const layers = [noise(3000, 1), noise(600_000, 2)]
  for (const bytes of layers) {
    const hex = digestOf(bytes).slice('sha256:'.length)
    const path = join(dir, 'blobs', 'sha256', hex.slice(0, 2), hex)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, bytes)
  }
  return { dir, catalog, layers }
}

function versionOf(catalog: string): number | undefined {
  const db = new Database(catalog)
  try {
    return db.query<{ user_version: number }, []>('PRAGMA user_version').get()?.user_version
  } finally {
    db.close()
  }
}

test('what a node of the first day had stored is there after the upgrade: blobs, piece digests, tags and bans', async () => {
  const { dir, catalog, layers } = oldDirectory()
  expect(versionOf(catalog)).toBe(1)
  // The second start finds what the first one made of it.
  for (const start of ['first', 'second']) {
    const store = await openStore(dir)
    for (const bytes of layers) {
      const blob = store.find(digestOf(bytes))
      expect([start, blob?.complete, blob?.size]).toEqual([start, true, bytes.length])
      expect(await blob!.read({ start: 0, end: bytes.length })).toEqual(bytes)
    }
    expect(store.tag(repository, parseTag('v1'))).toMatchObject({ digest: manifest, size: 549 })
    expect([...store.bans()]).toMatchObject([{ node: liar, reason: 'it lied' }])
    // What the seed had signed still says what pieces are.
    expect(store.find(digestOf(layers[1]!))!.metainfo.known.complete).toBe(true)
    await store.close()
    expect(versionOf(catalog)).toBe(schemaVersion)
  }
})

test('an upgrade that is broken off in the middle goes on where it was', () => {
  const { catalog } = oldDirectory()
  const db = new Database(catalog)
  try {
    // As if the process had ended after the first step of them.
    db.exec('ALTER TABLE blobs ADD COLUMN verified_at INTEGER NOT NULL DEFAULT 0; PRAGMA user_version = 2')
    migrate(db, catalog)
    expect(db.query('SELECT verified_at FROM blobs').all()).toHaveLength(4)
    expect(db.query('SELECT * FROM grants').all()).toEqual([])
  } finally {
    db.close()
  }
  expect(versionOf(catalog)).toBe(schemaVersion)
})
