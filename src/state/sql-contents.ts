/** What repositories of the cluster's own contain; of what was removed a line stays, for copies to hear of. */
import type { Digest } from '../oci/digest.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import type { BlobKind } from '../store/blob-store.ts'
import { numberIn, optionalText, type Row, type Sql, textIn, type Value } from './sql.ts'
import type { Repositories } from './sql-repositories.ts'
import type { Content, ContentChange, ContentIndex, Lasting, Page } from './state.ts'

const facts = 'kind, media_type, size, at, subject, artifact_type, annotations, parts'
const columns = `repository, digest, ${facts}, removed, said_at, number`

/** What came within so many ms is not written again because somebody relies on it: nobody takes it away. */
const freshMs = 30_000

export class SqlContents implements ContentIndex {
  readonly #sql: Sql
  readonly #repositories: Repositories

  constructor(sql: Sql, repositories: Repositories) {
    this.#sql = sql
    this.#repositories = repositories
  }

  async find(repository: Repository, digest: Digest): Promise<Content | undefined> {
    return (await this.#those('repository = $1 AND digest = $2', [formatRepository(repository), digest]))[0]
  }

  async add(repository: Repository, content: Content): Promise<void> {
    const name = formatRepository(repository)
    await this.#sql.transaction(async (sql) => {
      const known = await rowOf(sql, name, content.digest)
      await write(sql, name, content, Math.max(content.at, known ? numberIn(known, 'said_at') + 1 : 0), false)
    })
  }

  remove(repository: Repository, digest: Digest, seen?: Pick<Content, 'at'>): Promise<boolean> {
    const name = formatRepository(repository)
    return this.#sql.transaction(async (sql) => {
      const known = await rowOf(sql, name, digest)
      if (!known || numberIn(known, 'removed') === 1 || (seen && numberIn(known, 'at') > seen.at)) return false
      await write(sql, name, contentOf(known), numberIn(known, 'said_at') + 1, true)
      return true
    })
  }

  async touch(repository: Repository, digest: Digest, at: number): Promise<boolean> {
    const name = formatRepository(repository)
    const seen = await this.find(repository, digest)
    if (!seen) return false
    // Anybody may ask for it as often as they like: nothing is written for that.
    if (seen.at > at - freshMs) return true
    return this.#sql.transaction(async (sql) => {
      const known = await rowOf(sql, name, digest)
      if (!known || numberIn(known, 'removed') === 1) return false
      const content = contentOf(known)
      if (content.at > at - freshMs) return true
      await write(sql, name, { ...content, at }, Math.max(at, numberIn(known, 'said_at') + 1), false)
      return true
    })
  }

  list(repository: Repository, { after, limit }: Page<Digest>, kind?: BlobKind): Promise<Content[]> {
    const values = [formatRepository(repository), after ?? '', limit]
    return this.#those(
      `repository = $1 AND digest > $2 ${kind === undefined ? '' : 'AND kind = $4'}`,
      kind === undefined ? values : [...values, kind],
      'ORDER BY digest LIMIT $3',
    )
  }

  referrers(repository: Repository, subject: Digest): Promise<Content[]> {
    return this.#those('repository = $1 AND subject = $2', [formatRepository(repository), subject], 'ORDER BY digest')
  }

  async repositoriesOf(digest: Digest): Promise<Repository[]> {
    const rows = await this.#sql.rows(
      'SELECT repository FROM contents WHERE digest = $1 AND removed = 0 ORDER BY repository',
      [digest],
    )
    return rows.map((row) => this.#repositories.in(row)).filter((repository) => repository !== undefined)
  }

  changes(after: number, limit: number): Promise<ContentChange[]> {
    return this.#repositories.page(
      limit,
      (last, limit) =>
        this.#sql.rows(`SELECT ${columns} FROM contents WHERE number > $1 ORDER BY number LIMIT $2`, [
          last ? numberIn(last, 'number') : after,
          limit,
        ]),
      (repository, row) => ({
        repository,
        digest: textIn(row, 'digest') as Digest,
        ...(numberIn(row, 'removed') === 1 ? {} : { content: contentOf(row) }),
        saidAt: numberIn(row, 'said_at'),
        number: numberIn(row, 'number'),
      }),
    )
  }

  async lastChange(): Promise<number> {
    const [row] = await this.#sql.rows('SELECT COALESCE(MAX(number), 0) AS number FROM contents')
    return numberIn(row!, 'number')
  }

  async learn({ repository, digest, content, saidAt }: Omit<ContentChange, 'number'>): Promise<void> {
    const name = formatRepository(repository)
    await this.#sql.transaction(async (sql) => {
      const known = await rowOf(sql, name, digest)
      if (known && numberIn(known, 'said_at') >= saidAt) return
      const last = known ? contentOf(known) : { digest, kind: 'blob' as const, mediaType: '', size: 0, at: saidAt }
      await write(sql, name, content ?? last, saidAt, content === undefined)
    })
  }

  async removed(repository: Repository, digest: Digest): Promise<boolean> {
    const rows = await this.#sql.rows('SELECT 1 FROM contents WHERE repository = $1 AND digest = $2 AND removed = 1', [
      formatRepository(repository),
      digest,
    ])
    return rows.length > 0
  }

  async forget(before: number, lasting: (repository: Repository) => Lasting): Promise<void> {
    const old = 'removed = 1 AND said_at < $1'
    const rows = await this.#sql.rows(`SELECT DISTINCT repository FROM contents WHERE ${old}`, [before])
    for (const [name] of this.#repositories.passing(rows, lasting)) {
      await this.#sql.rows(`DELETE FROM contents WHERE ${old} AND repository = $2`, [before, name])
    }
  }

  async #those(where: string, values: readonly Value[], order = ''): Promise<Content[]> {
    const rows = await this.#sql.rows(`SELECT ${columns} FROM contents WHERE ${where} AND removed = 0 ${order}`, values)
    return rows.map(contentOf)
  }
}

async function rowOf(sql: Sql, repository: string, digest: Digest): Promise<Row | undefined> {
  // The number first: whoever writes the same content meanwhile has to wait.
  await sql.rows('UPDATE content_number SET last = last + 1')
  const rows = await sql.rows(`SELECT ${columns} FROM contents WHERE repository = $1 AND digest = $2`, [
    repository,
    digest,
  ])
  return rows[0]
}

/** Of what is removed nobody asks what was in it: a line may stay for good. */
async function write(sql: Sql, repository: string, content: Content, saidAt: number, removed: boolean): Promise<void> {
  const { digest, kind, mediaType, size, at, subject, artifactType } = content
  const { annotations, parts } = removed ? {} : content
  await sql.rows(
    `INSERT INTO contents (${columns})
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, (SELECT last FROM content_number))
     ON CONFLICT (repository, digest) DO UPDATE SET kind = excluded.kind, media_type = excluded.media_type,
       size = excluded.size, at = excluded.at, subject = excluded.subject, artifact_type = excluded.artifact_type,
       annotations = excluded.annotations, parts = excluded.parts, removed = excluded.removed,
       said_at = excluded.said_at, number = excluded.number`,
    [
      repository,
      digest,
      kind,
      mediaType,
      size,
      at,
      subject ?? null,
      artifactType ?? null,
      annotations ? JSON.stringify(annotations) : null,
      parts ? JSON.stringify(parts) : null,
      removed ? 1 : 0,
      saidAt,
    ],
  )
}

function contentOf(row: Row): Content {
  const [subject, artifactType] = [optionalText(row, 'subject'), optionalText(row, 'artifact_type')]
  const [annotations, parts] = [optionalText(row, 'annotations'), optionalText(row, 'parts')]
  return {
    digest: textIn(row, 'digest') as Digest,
    kind: textIn(row, 'kind') as BlobKind,
    mediaType: textIn(row, 'media_type'),
    size: numberIn(row, 'size'),
    at: numberIn(row, 'at'),
    ...(subject === undefined ? {} : { subject: subject as Digest }),
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations: JSON.parse(annotations) as Record<string, string> }),
    ...(parts === undefined ? {} : { parts: JSON.parse(parts) as Digest[] }),
  }
}
