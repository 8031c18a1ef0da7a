/**
 * Which snapshots there are, in SQLite: what a call has returned for is on the disk. A snapshot keeps its number for
 * life, also when a commit gives it another name; its folder is named after the number.
 */
import { Database } from 'bun:sqlite'
import { z } from 'zod'
import { digestSchema as digest } from '../oci/schemas.ts'
import { type Info, type Kind, type Labels, ownLabels, Refusal, refLabel, type Usage } from './snapshot.ts'

/** What the mounter has to be told of a layer, so that it mounts it. */
export const layerSchema = z.object({
  /** `docker.io/library/debian` */
  repository: z.string(),
  digest,
  mediaType: z.string(),
  /** Of the compressed blob. */
  size: z.number(),
  diffId: digest,
})
export type Layer = z.infer<typeof layerSchema>

export interface Snapshot extends Info {
  readonly id: number
  readonly parentId: number | null
  /** Of a committed one. */
  readonly usage: Usage
  /** Of one that the mounter mounts. */
  readonly lazy?: Lazy
}

export interface Lazy {
  readonly layer: Layer
  /** What the mounter calls it. */
  readonly layerId: string
  /** What the mounter knows this snapshot's need of it by. */
  readonly holder: string
}

interface NewLazy extends Lazy {
  readonly name: string
  readonly parent: string
  readonly labels: Labels
  readonly now: number
}

/** A mount of the mounter's that nobody needs any more, and that it may not have been told of. */
export interface Release {
  readonly layerId: string
  readonly holder: string
}

const rowSchema = z.object({
  id: z.number(),
  name: z.string(),
  parent: z.number().nullable(),
  parent_name: z.string().nullable(),
  kind: z.enum(['view', 'active', 'committed']),
  created: z.number(),
  updated: z.number(),
  labels: z.string(),
  size: z.number(),
  inodes: z.number(),
  unpacked: z.string().nullable(),
  layer: z.string().nullable(),
  layer_id: z.string().nullable(),
  holder: z.string().nullable(),
})
const labelsSchema = z.record(z.string(), z.string())
const releaseSchema = z.array(z.object({ layerId: z.string(), holder: z.string() }))

const schema = `
  CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    parent INTEGER REFERENCES snapshots (id),
    kind TEXT NOT NULL,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    labels TEXT NOT NULL,
    size INTEGER NOT NULL DEFAULT 0,
    inodes INTEGER NOT NULL DEFAULT 0,
    unpacked TEXT,
    layer TEXT,
    layer_id TEXT,
    holder TEXT
  );
  CREATE INDEX snapshots_parent ON snapshots (parent);
  CREATE TABLE releases (layer_id TEXT NOT NULL, holder TEXT NOT NULL, PRIMARY KEY (layer_id, holder));
  CREATE TABLE store (key TEXT PRIMARY KEY, value TEXT NOT NULL);
`
const version = 1
const select = 'SELECT s.*, p.name AS parent_name FROM snapshots s LEFT JOIN snapshots p ON p.id = s.parent'

export class Catalog {
  readonly #db: Database

  /** `path` may be `:memory:`. @throws when a newer shoal wrote it */
  constructor(path: string) {
    this.#db = new Database(path, { create: true, strict: true })
    this.#db.exec('PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
    this.#db.exec('PRAGMA foreign_keys = ON')
    const found = z.object({ user_version: z.number() }).parse(this.#db.query('PRAGMA user_version').get())
    if (found.user_version > version)
      throw new Error(`${path} was written by a newer shoal (schema ${found.user_version}); upgrade this one`)
    if (found.user_version === 0) this.atOnce(() => this.#db.exec(`${schema} PRAGMA user_version = ${version};`))
  }

  /** A name of this catalog that no other has. */
  get store(): string {
    this.#db.query("INSERT OR IGNORE INTO store VALUES ('name', ?)").run(crypto.randomUUID())
    const row = this.#db.query("SELECT value FROM store WHERE key = 'name'").get()
    return z.object({ value: z.string() }).parse(row).value
  }

  /** All that `change` does, or nothing of it. */
  atOnce<T>(change: () => T): T {
    return this.#db.transaction(change).immediate()
  }

  find(name: string): Snapshot | undefined {
    return this.#one(`${select} WHERE s.name = ?`, name)
  }

  /** @throws {Refusal} `not-found` */
  get(name: string): Snapshot {
    const found = this.find(name)
    if (found) return found
    throw new Refusal('not-found', `there is no snapshot ${name}`)
  }

  all(): Snapshot[] {
    return this.#db.query(`${select} ORDER BY s.id`).all().map(snapshotOf)
  }

  ids(): Set<number> {
    return new Set(
      z
        .array(z.object({ id: z.number() }))
        .parse(this.#db.query('SELECT id FROM snapshots').all())
        .map(({ id }) => id),
    )
  }

  /** What a snapshot stands on, the nearest first. */
  chain({ parentId }: Pick<Snapshot, 'parentId'>): Snapshot[] {
    const chain: Snapshot[] = []
    for (let id = parentId; id !== null; ) {
      const parent = this.#one(`${select} WHERE s.id = ?`, id)
      if (!parent) throw new Error(`snapshot ${id}, on which others stand, is not in the catalog`)
      chain.push(parent)
      id = parent.parentId
    }
    return chain
  }

  /** The committed one that the mounter mounts for this chain ID, on that parent. */
  lazyOf(ref: string, parent: string): Snapshot | undefined {
    const rows = this.#db.query(`${select} WHERE s.layer IS NOT NULL AND json_extract(s.labels, ?) = ?`)
    return rows
      .all(`$."${refLabel}"`, ref)
      .map(snapshotOf)
      .find((snapshot) => snapshot.parent === parent)
  }

  /** @throws {Refusal} */
  create(kind: 'view' | 'active', name: string, parent: string, labels: Labels, now: number): Snapshot {
    const parentId = this.#parentOf(parent)
    this.#refuseKnown(name)
    const sql = 'INSERT INTO snapshots (name, parent, kind, created, updated, labels) VALUES (?, ?, ?, ?, ?, ?)'
    this.#db.query(sql).run(name, parentId, kind, now, now, JSON.stringify(kept(labels)))
    return this.get(name)
  }

  /** A committed one whose files the mounter has. @throws {Refusal} */
  createLazy({ name, parent, labels, layer, layerId, holder, now }: NewLazy): Snapshot {
    const parentId = this.#parentOf(parent)
    this.#refuseKnown(name)
    const sql = `INSERT INTO snapshots (name, parent, kind, created, updated, labels, layer, layer_id, holder)
      VALUES (?, ?, 'committed', ?, ?, ?, ?, ?, ?)`
    const values = [name, parentId, now, now, JSON.stringify(kept(labels)), JSON.stringify(layer), layerId, holder]
    this.#db.query(sql).run(...values)
    return this.get(name)
  }

  /** Why a layer is unpacked rather than mounted. */
  explain(name: string, why: string): void {
    this.#db.query('UPDATE snapshots SET unpacked = ? WHERE name = ?').run(why, name)
  }

  /** Labels are replaced, not added to. One that stands on nothing may be put on a parent. @throws {Refusal} */
  commit(key: string, name: string, usage: Usage, labels: Labels, parent: string, now: number): void {
    const active = this.get(key)
    this.#refuseKnown(name)
    if (active.kind !== 'active') throw new Refusal('failed-precondition', `snapshot ${key} is not active`)
    if (parent !== '' && active.parent !== '' && active.parent !== parent)
      throw new Refusal('invalid', `snapshot ${key} stands on ${active.parent}, and cannot be put on ${parent}`)
    const parentId = active.parentId ?? this.#parentOf(parent)
    const sql = `UPDATE snapshots SET name = ?, kind = 'committed', parent = ?, created = ?, updated = ?, labels = ?,
      size = ?, inodes = ? WHERE id = ?`
    const values = [name, parentId, now, now, JSON.stringify(kept(labels)), usage.size, usage.inodes, active.id]
    this.#db.query(sql).run(...values)
  }

  /** `paths`: `labels`, `labels.<key>`; none means all that can be changed. @throws {Refusal} */
  update(name: string, labels: Labels, paths: readonly string[], now: number): Snapshot {
    const { id, labels: before } = this.get(name)
    let after: Record<string, string> = paths.length === 0 ? { ...labels } : { ...before }
    for (const path of paths) {
      if (path === 'labels') after = { ...labels }
      else if (path.startsWith('labels.')) after[path.slice(7)] = labels[path.slice(7)] ?? ''
      else throw new Refusal('invalid', `of a snapshot only labels can be changed, and not ${path}`)
    }
    this.#db
      .query('UPDATE snapshots SET labels = ?, updated = ? WHERE id = ?')
      .run(JSON.stringify(kept(after)), now, id)
    return this.get(name)
  }

  /** The layer that it had mounted is owed to the mounter then. @throws {Refusal} */
  remove(name: string): Snapshot {
    const snapshot = this.get(name)
    const child = this.#db.query('SELECT id FROM snapshots WHERE parent = ? LIMIT 1').get(snapshot.id)
    if (child) throw new Refusal('failed-precondition', `cannot remove snapshot ${name}: another one stands on it`)
    this.#db.query('DELETE FROM snapshots WHERE id = ?').run(snapshot.id)
    if (snapshot.lazy) this.owe(snapshot.lazy)
    return snapshot
  }

  setLayerId(id: number, layerId: string): void {
    this.#db.query('UPDATE snapshots SET layer_id = ? WHERE id = ?').run(layerId, id)
  }

  owe({ layerId, holder }: Release): void {
    this.#db.query('INSERT OR IGNORE INTO releases VALUES (?, ?)').run(layerId, holder)
  }

  owed(): Release[] {
    return releaseSchema.parse(this.#db.query('SELECT layer_id AS layerId, holder FROM releases').all())
  }

  paid({ layerId, holder }: Release): void {
    this.#db.query('DELETE FROM releases WHERE layer_id = ? AND holder = ?').run(layerId, holder)
  }

  close(): void {
    this.#db.close()
  }

  #one(sql: string, value: string | number): Snapshot | undefined {
    const row = this.#db.query(sql).get(value)
    return row === null ? undefined : snapshotOf(row)
  }

  /** @throws {Refusal} */
  #parentOf(name: string): number | null {
    if (name === '') return null
    const parent = this.find(name)
    if (!parent) throw new Refusal('not-found', `there is no snapshot ${name} to stand on`)
    if (parent.kind !== 'committed') throw new Refusal('invalid', `snapshot ${name} is not committed`)
    return parent.id
  }

  #refuseKnown(name: string): void {
    if (name === '') throw new Refusal('invalid', 'a snapshot needs a name')
    if (this.find(name)) throw new Refusal('already-exists', `there is a snapshot ${name} already`)
  }
}

function snapshotOf(row: unknown): Snapshot {
  const { id, name, parent, parent_name, kind, created, updated, labels, size, inodes, ...rest } = rowSchema.parse(row)
  const layer = rest.layer === null ? undefined : layerSchema.parse(JSON.parse(rest.layer))
  return {
    id,
    name,
    parent: parent_name ?? '',
    parentId: parent,
    kind: kind satisfies Kind,
    createdAt: created,
    updatedAt: updated,
    labels: {
      ...labelsSchema.parse(JSON.parse(labels)),
      ...(layer ? { [ownLabels.lazy]: layer.digest } : {}),
      ...(rest.unpacked === null ? {} : { [ownLabels.unpacked]: rest.unpacked }),
    },
    usage: { size, inodes },
    ...(layer ? { lazy: { layer, layerId: rest.layer_id ?? '', holder: rest.holder ?? '' } } : {}),
  }
}

/** Without those that are not the caller's to set; an empty value takes a label away. */
function kept(labels: Labels): Labels {
  const own = new Set<string>(Object.values(ownLabels))
  return Object.fromEntries(Object.entries(labels).filter(([key, value]) => value !== '' && !own.has(key)))
}
