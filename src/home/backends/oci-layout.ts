/**
 * Repositories as OCI image layouts, which other tools read and write: each in a folder of its own,
 * `<dir>/<registry>/<name>`, so that `skopeo copy oci:<dir>/apps.corp/team/app:v1 ...` means what it says. A tag is an
 * entry of `index.json` with that name; a manifest without a tag is an entry without a name. One process may write.
 */
import { join } from 'node:path'
import pLimit from 'p-limit'
import { z } from 'zod'
import type { Clock } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { parseJson } from '../../json.ts'
import { algorithmOf, type Digest, hexOf, isDigest, shortDigest } from '../../oci/digest.ts'
import { maxManifestBytes, mediaTypeOf } from '../../oci/media.ts'
import { formatRepository, isTag, type Repository, type Tag } from '../../oci/reference.ts'
import type { Location, OpenBody, Passed, Resolved, Stat } from '../../source/source.ts'
import type { Backend, BackendWrites } from './backend.ts'
import { FolderObjects } from './folder-objects.ts'
import { referrersPage, tagsAsked, tagsPage } from './listing.ts'
import { readObject, writtenBytes } from './objects.ts'
import { referrerOf } from './referrer.ts'

/** Twenty thousand entries: more are not written. What others wrote can be longer, and be shortened. */
const mostIndexBytes = 8 * 1024 * 1024
const mostReadBytes = 64 * 1024 * 1024
const refName = 'org.opencontainers.image.ref.name'
/** When a tag came to point there, wall ms. */
const taggedAt = 'shoal.tagged-at'
const octets = 'application/octet-stream'
/** Manifests that are read at a time for one answer. */
const readAtOnce = 16
/** What a layout has in its folder: a repository of that name would lie in the layout of another. */
const taken = new Set(['blobs', 'index.json', 'oci-layout'])

const entrySchema = z.looseObject({
  mediaType: z.string().max(255),
  digest: z.string().refine(isDigest),
  size: z.int().min(0),
  annotations: z.record(z.string(), z.string()).optional(),
})
type Entry = z.infer<typeof entrySchema>
const indexSchema = z.looseObject({ manifests: z.array(entrySchema) })

export class OciLayouts implements Backend {
  readonly name: string
  readonly writes?: BackendWrites
  readonly #files: FolderObjects
  /** Of an index: read, changed and written by one at a time. */
  readonly #line = pLimit(1)

  constructor(dir: string, clock: Clock, writable: boolean) {
    this.name = `oci://${dir}`
    this.#files = new FolderObjects(dir, clock, writable)
    if (writable) this.writes = this.#writing()
  }

  async resolve(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<Resolved> {
    const entry = (await this.#entries(repository, signal))?.find((each) => nameOf(each) === tag)
    if (entry) return { digest: entry.digest, size: entry.size, mediaType: entry.mediaType }
    throw new Failure('no-manifest', `${this.name} has no tag ${tag} of ${formatRepository(repository)}`)
  }

  async stat(location: Location, signal?: AbortSignal): Promise<Stat> {
    const { repository, kind, digest } = location
    const path = blobPath(repository, digest)
    const size = await this.#files.size(path, signal)
    if (size === undefined) throw this.#missing(location)
    if (kind === 'blob') return { size, mediaType: octets }
    const entry = (await this.#entries(repository, signal))?.find((each) => each.digest === digest)
    if (entry) return { size, mediaType: entry.mediaType }
    const bytes = await readObject(this.#files, path, maxManifestBytes, signal)
    return { size, mediaType: bytes ? mediaTypeOf(bytes) : octets }
  }

  async open(location: Location, start: number, signal?: AbortSignal): Promise<OpenBody> {
    const stat = await this.stat(location, signal)
    if (start > stat.size) {
      const about = `${location.kind} ${shortDigest(location.digest)} of ${formatRepository(location.repository)}`
      throw new Failure('bad-range', `${about} has ${stat.size} bytes; there is nothing from byte ${start} on`)
    }
    const opened = await this.#files.open(blobPath(location.repository, location.digest), start, signal)
    if (!opened) throw this.#missing(location)
    return { ...stat, body: opened.body }
  }

  async pass(
    repository: Repository,
    path: string,
    search: string,
    _accept: string | undefined,
    signal?: AbortSignal,
  ): Promise<Passed> {
    const subject = /^referrers\/(.+)$/.exec(path)?.[1] ?? ''
    const entries = await this.#entries(repository, signal)
    if (isDigest(subject)) {
      const digests = [...new Map(entries?.map((entry) => [entry.digest, entry])).values()]
      const limit = pLimit(readAtOnce)
      const read = digests.map(({ digest, mediaType, size }) =>
        limit(async () => {
          if (size > maxManifestBytes) return undefined
          const bytes = await readObject(this.#files, blobPath(repository, digest), maxManifestBytes, signal)
          const referrer = bytes && referrerOf(bytes, mediaType)
          return referrer?.subject === subject ? { ...referrer.descriptor, digest } : undefined
        }),
      )
      return referrersPage(
        search,
        (await Promise.all(read)).filter((one) => one !== undefined),
      )
    }
    if (path !== 'tags/list') throw new Failure('unsupported', `${this.name} has no answer to ${path.slice(0, 80)}`)
    if (!entries) throw new Failure('no-name', `${this.name} has nothing of ${formatRepository(repository)}`)
    const { after, limit } = tagsAsked(search)
    const tags = entries.map(nameOf).filter((name) => name !== undefined && isTag(name) && name > after)
    const some = [...new Set(tags as Tag[])].sort()
    return tagsPage(repository, some.slice(0, limit), limit, some.length > limit)
  }

  #writing(): BackendWrites {
    const files = this.#files
    return {
      put: async (location, content, signal) => {
        const { repository, kind, digest } = location
        checkName(repository)
        const path = blobPath(repository, digest)
        if ((await files.size(path, signal)) !== content.size) await files.put(path, content, signal)
        if (kind === 'blob') return
        await this.#change(repository, signal, (entries) => {
          if (entries.some((entry) => entry.digest === digest && entry.mediaType === content.mediaType)) return entries
          return [...entries, { mediaType: content.mediaType, digest, size: content.size }]
        })
      },
      remove: async ({ repository, kind, digest }, signal) => {
        if (kind === 'manifest') {
          await this.#change(repository, signal, (entries) => entries.filter((entry) => entry.digest !== digest))
        }
        await files.remove(blobPath(repository, digest), signal)
      },
      setTag: (repository, tag, { digest, mediaType, size }, at, signal) =>
        this.#change(repository, signal, (entries) => {
          const known = entries.find((entry) => nameOf(entry) === tag)
          if (known && Number(known.annotations?.[taggedAt] ?? 0) > at) return entries
          const annotations = { [refName]: tag, [taggedAt]: String(at) }
          const others = entries.filter((entry) => entry !== known)
          // What has a name needs no entry without one; what loses its name keeps one.
          const left = others.filter((entry) => entry.digest !== digest || nameOf(entry) !== undefined)
          const lost = known && known.digest !== digest && !left.some((entry) => entry.digest === known.digest)
          const nameless = lost ? [{ mediaType: known.mediaType, digest: known.digest, size: known.size }] : []
          return [...left, ...nameless, { mediaType, digest, size, annotations }]
        }),
      removeTag: (repository, tag, signal) =>
        this.#change(repository, signal, (entries) => {
          const known = entries.find((entry) => nameOf(entry) === tag)
          if (!known) return entries
          const others = entries.filter((entry) => entry !== known)
          if (others.some((entry) => entry.digest === known.digest)) return others
          return [...others, { mediaType: known.mediaType, digest: known.digest, size: known.size }]
        }),
    }
  }

  /** One at a time. @throws {Failure} `no-space` where the index would be too long */
  #change(
    repository: Repository,
    signal: AbortSignal | undefined,
    change: (entries: readonly Entry[]) => readonly Entry[],
  ): Promise<void> {
    return this.#line(async () => {
      const known = await this.#entries(repository, signal)
      const entries = change(known ?? [])
      if (entries === known || (known === undefined && entries.length === 0)) return
      const folder = formatRepository(repository)
      const index = indexOf(entries)
      if (index.length > mostIndexBytes && index.length > indexOf(known ?? []).length) {
        const remedy = 'let a rule take old tags away (--keep), delete some, or give the repository another backend'
        throw new Failure('no-space', `${this.name}: no more fit into the index.json of ${folder}: ${remedy}`)
      }
      const version = writtenBytes(Buffer.from(JSON.stringify({ imageLayoutVersion: '1.0.0' })))
      if (known === undefined) await this.#files.put(join(folder, 'oci-layout'), version, signal)
      await this.#files.put(join(folder, 'index.json'), writtenBytes(index), signal)
    })
  }

  /** Undefined where there is no such layout. @throws {Failure} `corrupt` */
  async #entries(repository: Repository, signal: AbortSignal | undefined): Promise<Entry[] | undefined> {
    const path = join(formatRepository(repository), 'index.json')
    const bytes = await readObject(this.#files, path, mostReadBytes, signal)
    if (!bytes) return undefined
    try {
      return indexSchema.parse(parseJson(new TextDecoder().decode(bytes))).manifests
    } catch {
      throw new Failure('corrupt', `${this.name}: ${path} is not the index of an OCI image layout`)
    }
  }

  #missing({ repository, kind, digest }: Location): Failure {
    const code = kind === 'manifest' ? 'no-manifest' : 'no-blob'
    return new Failure(
      code,
      `${this.name} does not have ${kind} ${shortDigest(digest)} of ${formatRepository(repository)}`,
    )
  }
}

/** @throws {Failure} `bad-name` */
function checkName(repository: Repository): void {
  const component = repository.name.split('/').find((each) => taken.has(each))
  if (component === undefined) return
  const message = `${formatRepository(repository)} cannot be kept as an OCI image layout: "${component}" is part of one; give it another name`
  throw new Failure('bad-name', message)
}

function nameOf({ annotations }: Entry): string | undefined {
  return annotations?.[refName]
}

function indexOf(entries: readonly Entry[]): Uint8Array {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: entries }))
}

function blobPath(repository: Repository, digest: Digest): string {
  return join(formatRepository(repository), 'blobs', algorithmOf(digest), hexOf(digest))
}
