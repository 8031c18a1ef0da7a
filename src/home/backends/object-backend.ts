/** Repositories in a store of objects, as `layout.ts` lays them out. */
import pLimit from 'p-limit'
import { Failure } from '../../failure.ts'
import { digestOf, isDigest, shortDigest } from '../../oci/digest.ts'
import { maxManifestBytes } from '../../oci/media.ts'
import { formatRepository, isTag, type Repository, type Tag } from '../../oci/reference.ts'
import type { Location, OpenBody, Passed, Resolved, Stat } from '../../source/source.ts'
import type { Backend, BackendWrites } from './backend.ts'
import {
  bytesPath,
  linkPath,
  linkText,
  manifestsFolder,
  mostDocumentBytes,
  parseLink,
  parseTagDocument,
  referrerPath,
  referrersFolder,
  type TagDocument,
  tagPath,
  tagsFolder,
  tagText,
} from './layout.ts'
import { mostListed, referrersPage, tagsAsked, tagsPage } from './listing.ts'
import { collected, type ObjectLists, type Objects, type ObjectWrites, readObject, writtenBytes } from './objects.ts'
import { parseReferrer, type ReferrerDescriptor, referrerOf } from './referrer.ts'

/** Documents that are read at a time for one answer. */
const readAtOnce = 16

export class ObjectBackend implements Backend {
  readonly name: string
  readonly writes?: BackendWrites
  readonly #objects: Objects

  constructor(objects: Objects) {
    this.name = objects.name
    this.#objects = objects
    if (objects.writes) this.writes = this.#writing(objects.writes)
  }

  async resolve(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<Resolved> {
    const { digest, size, mediaType } =
      (await this.#tag(repository, tag, signal)) ??
      fail('no-manifest', `${this.name} has no tag ${tag} of ${formatRepository(repository)}`)
    return { digest, size, mediaType }
  }

  async stat(location: Location, signal?: AbortSignal): Promise<Stat> {
    return (await this.#link(location, signal)) ?? this.#missing(location)
  }

  async open(location: Location, start: number, signal?: AbortSignal, end?: number): Promise<OpenBody> {
    const stat = await this.stat(location, signal)
    if (start > stat.size) {
      fail('bad-range', `${aboutOf(location)} has ${stat.size} bytes; there is nothing from byte ${start} on`)
    }
    if (start === stat.size) return { ...stat, body: nothing() }
    const opened = (await this.#objects.open(bytesPath(location.digest), start, signal, end)) ?? this.#missing(location)
    if (opened.size === stat.size) return { ...stat, body: opened.body }
    return fail(
      'corrupt',
      `${aboutOf(location)} has ${opened.size} bytes at ${this.name}, and should have ${stat.size}`,
    )
  }

  async pass(
    repository: Repository,
    path: string,
    search: string,
    _accept: string | undefined,
    signal?: AbortSignal,
  ): Promise<Passed> {
    const { lists } = this.#objects
    if (!lists) fail('unsupported', `${this.name} cannot tell what it has`)
    if (path === 'tags/list') return this.#tags(lists, repository, search, signal)
    const subject = /^referrers\/(.+)$/.exec(path)?.[1] ?? ''
    if (isDigest(subject)) {
      const folder = referrersFolder(repository, subject)
      const names = await lists.list(folder, '', mostListed, signal)
      const limit = pLimit(readAtOnce)
      const documents = names.map((name) =>
        limit(async () => {
          const bytes = await readObject(this.#objects, folder + name, mostDocumentBytes, signal)
          return bytes && parseReferrer(bytes)
        }),
      )
      return referrersPage(
        search,
        (await Promise.all(documents)).filter((one) => one !== undefined),
      )
    }
    return fail('unsupported', `${this.name} has no answer to ${path.slice(0, 80)}`)
  }

  async #tags(lists: ObjectLists, repository: Repository, search: string, signal?: AbortSignal): Promise<Passed> {
    const { after, limit } = tagsAsked(search)
    const names = await lists.list(tagsFolder(repository), after, limit + 1, signal)
    if (names.length === 0) {
      const some = await lists.list(manifestsFolder(repository), '', 1, signal)
      if (some.length === 0) fail('no-name', `${this.name} has nothing of ${formatRepository(repository)}`)
    }
    return tagsPage(repository, names.slice(0, limit).filter(isTag), limit, names.length > limit)
  }

  async #tag(repository: Repository, tag: Tag, signal: AbortSignal | undefined): Promise<TagDocument | undefined> {
    const path = tagPath(repository, tag)
    const bytes = await readObject(this.#objects, path, mostDocumentBytes, signal)
    return bytes && parseTagDocument(bytes, `${this.name}: ${path}`)
  }

  async #link(location: Location, signal: AbortSignal | undefined): Promise<Stat | undefined> {
    const path = linkPath(location)
    const bytes = await readObject(this.#objects, path, mostDocumentBytes, signal)
    return bytes && parseLink(bytes, `${this.name}: ${path}`)
  }

  #missing(location: Location): never {
    const code = location.kind === 'manifest' ? 'no-manifest' : 'no-blob'
    return fail(code, `${this.name} does not have ${aboutOf(location)}`)
  }

  #writing(objects: ObjectWrites): BackendWrites {
    const document = (text: string) => writtenBytes(Buffer.from(text))
    return {
      put: async (location, content, signal) => {
        const { repository, kind, digest } = location
        const bytes = bytesPath(digest)
        if ((await this.#objects.size(bytes, signal)) !== content.size) await objects.put(bytes, content, signal)
        if (kind === 'manifest') {
          const manifest = await collected(content.read(0), maxManifestBytes, aboutOf(location))
          if (digestOf(manifest) !== digest && digest.startsWith('sha256:')) {
            fail('corrupt', `${aboutOf(location)} does not have its digest`)
          }
          const referrer = referrerOf(manifest, content.mediaType)
          if (referrer) {
            const path = referrerPath(repository, referrer.subject, digest)
            await objects.put(path, document(referrerText({ ...referrer.descriptor, digest })), signal)
          }
        }
        const known = await this.#link(location, signal)
        if (known?.size === content.size && known.mediaType === content.mediaType) return
        await objects.put(linkPath(location), document(linkText(content)), signal)
      },
      remove: async (location, signal) => {
        const { repository, kind, digest } = location
        const link = await this.#link(location, signal)
        if (!link) return
        if (kind === 'manifest' && link.size <= maxManifestBytes) {
          const manifest = await readObject(this.#objects, bytesPath(digest), maxManifestBytes, signal)
          const referrer = manifest && referrerOf(manifest, link.mediaType)
          if (referrer) await objects.remove(referrerPath(repository, referrer.subject, digest), signal)
        }
        await objects.remove(linkPath(location), signal)
      },
      setTag: async (repository, tag, to, at, signal) => {
        const known = await this.#tag(repository, tag, signal)
        if (known && known.at > at) return
        await objects.put(tagPath(repository, tag), document(tagText({ ...to, at })), signal)
      },
      removeTag: (repository, tag, signal) => objects.remove(tagPath(repository, tag), signal),
    }
  }
}

/** One that nobody can read would spoil the list of all; annotations of any length are in the manifest itself. */
function referrerText(descriptor: ReferrerDescriptor): string {
  const text = JSON.stringify(descriptor)
  if (Buffer.byteLength(text) <= mostDocumentBytes) return text
  const { annotations: _, ...bare } = descriptor
  return JSON.stringify(bare)
}

function aboutOf({ repository, kind, digest }: Location): string {
  return `${kind} ${shortDigest(digest)} of ${formatRepository(repository)}`
}

async function* nothing(): AsyncGenerator<Uint8Array, void, undefined> {}

function fail(code: ConstructorParameters<typeof Failure>[0], message: string): never {
  throw new Failure(code, message)
}
