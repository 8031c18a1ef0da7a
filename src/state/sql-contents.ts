/** What repositories of the cluster's own contain. */
import type { Digest } from '../oci/digest.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import type { BlobKind } from '../store/blob-store.ts'
import { numberIn, optionalText, type Row, type Sql, textIn, type Value } from './sql.ts'
import { repositoryIn } from './sql-tags.ts'
import type { Content, ContentIndex, Page } from './state.ts'

const columns = 'digest, kind, media_type, size, at, subject, artifact_type, annotations, parts'

export class SqlContents implements ContentIndex {
  readonly #sql: Sql

  constructor(sql: Sql) {
    this.#sql = sql
  }

  async find(repository: Repository, digest: Digest): Promise<Content | undefined> {
    return (await this.#those('repository = $1 AND digest = $2', [formatRepository(repository), digest]))[0]
  }

  async add(repository: Repository, content: Content): Promise<void> {
    const { digest, kind, mediaType, size, at, subject, artifactType, annotations, parts } = content
    await this.#sql.rows(
      `INSERT INTO contents (repository, ${columns}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
       ON CONFLICT (repository, digest) DO UPDATE SET kind = excluded.kind, media_type = excluded.media_type,
         size = excluded.size, at = excluded.at, subject = excluded.subject, artifact_type = excluded.artifact_type,
         annotations = excluded.annotations, parts = excluded.parts`,
      [
        formatRepository(repository),
        digest,
        kind,
        mediaType,
        size,
        at,
        subject ?? null,
        artifactType ?? null,
        annotations ? JSON.stringify(annotations) : null,
        parts ? JSON.stringify(parts) : null,
      ],
    )
  }

  async remove(repository: Repository, digest: Digest): Promise<boolean> {
    const rows = await this.#sql.rows('DELETE FROM contents WHERE repository = $1 AND digest = $2 RETURNING digest', [
      formatRepository(repository),
      digest,
    ])
    return rows.length > 0
  }

  list(repository: Repository, { after, limit }: Page<Digest>, kind?: BlobKind): Promise<Content[]> {
    const values = [formatRepository(repository), after ?? '', limit]
    return this.#those(
      `repository = $1 AND digest > $2 ${kind === undefined ? '' : 'AND kind = $4'} ORDER BY digest LIMIT $3`,
      kind === undefined ? values : [...values, kind],
    )
  }

  referrers(repository: Repository, subject: Digest): Promise<Content[]> {
    return this.#those('repository = $1 AND subject = $2 ORDER BY digest', [formatRepository(repository), subject])
  }

  async repositoriesOf(digest: Digest): Promise<Repository[]> {
    const rows = await this.#sql.rows('SELECT repository FROM contents WHERE digest = $1 ORDER BY repository', [digest])
    return rows.map(repositoryIn)
  }

  async #those(where: string, values: readonly Value[]): Promise<Content[]> {
    return (await this.#sql.rows(`SELECT ${columns} FROM contents WHERE ${where}`, values)).map(contentOf)
  }
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
