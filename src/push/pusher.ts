/**
 * What becomes of what clients push: blobs and manifests go into the store, pinned; then the cluster's state says that the
 * repository has them; then whoever keeps copies is told; and only then the client hears that it is done. In this order a
 * node that is killed at any step has forgotten nothing that it acknowledged, and claims nothing that it does not have.
 */
import { Failure } from '../failure.ts'
import { algorithmOf, type Digest, digestOf, isDigest } from '../oci/digest.ts'
import { maxManifestBytes } from '../oci/media.ts'
import { formatReference, formatRepository, type Repository, type Tag } from '../oci/reference.ts'
import type { Location, Stat } from '../source/source.ts'
import type { Content, State, TagEntry } from '../state/state.ts'
import type { BlobStore, Spool } from '../store/blob-store.ts'
import { type Signer, statementsOf } from '../swarm/statements.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { Turns } from '../turns.ts'
import { manifestFacts, type Part } from './manifest.ts'
import type { Upload } from './upload.ts'
import type { Uploads } from './uploads.ts'

/** What a repository of the cluster's own has from now on, or not any more. */
export type PushEvent =
  | { readonly kind: 'content'; readonly repository: Repository; readonly content: Content }
  | { readonly kind: 'tag'; readonly repository: Repository; readonly tag: Tag; readonly entry: TagEntry }
  | { readonly kind: 'removed'; readonly repository: Repository; readonly content: Content }

/** The client waits for it, and hears why it failed. */
export type PushListener = (event: PushEvent) => Promise<void>

export interface PusherOptions {
  readonly store: Pick<BlobStore, 'settled' | 'spool' | 'pin' | 'unpin' | 'seenIn'>
  readonly state: State
  readonly uploads: Uploads
  readonly signer: Signer
  /**
   * Whether the bytes of what the state tells of can still be had, here or elsewhere; absent: this store is all there is.
   * @throws {Failure}
   */
  readonly held?: (location: Location) => Promise<boolean>
  /** What the backend of the repository has, also of what the state does not tell of; absent: none. @throws {Failure} */
  readonly kept?: (location: Location) => Promise<Stat>
  /** A blob has become whole here: others are told. */
  readonly stored: (digest: Digest) => void
  /** Wall time in ms. */
  readonly wall: () => number
  readonly log: Log
  readonly metrics: Pick<Metrics, 'pushedBytes'>
}

/** Of blobs that a repository of the cluster's own has. */
export const homePin = 'home'
const octets = 'application/octet-stream'
const mostTagsOfManifest = 1000

export class Pusher {
  readonly uploads: Uploads
  readonly #o: PusherOptions
  readonly #listeners: PushListener[] = []
  /** By repository: what is checked is still so when it is written. */
  readonly #turns = new Turns()

  constructor(options: PusherOptions) {
    this.#o = options
    this.uploads = options.uploads
  }

  onPushed(listener: PushListener): void {
    this.#listeners.push(listener)
  }

  /** @throws {Failure} `bad-digest`, and then the upload is over; `try-later`, and it is over once its bytes are kept */
  async finish(upload: Upload, digest: Digest): Promise<void> {
    await upload.alone(async () => {
      try {
        await upload.verify(digest)
      } catch (error) {
        await this.uploads.end(upload)
        throw error
      }
      await this.#keep(upload.spool, { digest, kind: 'blob' })
      const size = upload.length
      try {
        await this.#contains(upload.repository, { digest, kind: 'blob', mediaType: octets, size, at: this.#o.wall() })
      } finally {
        // The store has its bytes: whoever comes again begins anew.
        await this.uploads.end(upload)
      }
    })
    const { log, metrics } = this.#o
    metrics.pushedBytes.inc(upload.length)
    log.debug('blob pushed', { repository: formatRepository(upload.repository), digest, bytes: upload.length })
  }

  /**
   * Who pushes is told that it is there, and will not send it: whoever is about to take it away sees that.
   * @throws {Failure} `no-blob` where its bytes are gone, so that it is sent
   */
  async rely(location: Location): Promise<void> {
    const { repository, digest } = location
    await this.#o.state.contents.touch(repository, digest, this.#o.wall())
    if (await this.#held(location)) return
    throw new Failure('no-blob', `no seed has ${formatReference({ ...repository, digest })} any more`)
  }

  /** A repository gets what another one has, `from` or any. False if it has not, or its bytes are gone. */
  async mount(repository: Repository, digest: Digest, from?: Repository): Promise<boolean> {
    const { state, wall } = this.#o
    const [other] = from ? [from] : await state.contents.repositoriesOf(digest)
    const content = other && (await state.contents.find(other, digest))
    if (!other || content?.kind !== 'blob') return false
    if (!(await this.#held({ repository: other, kind: 'blob', digest }))) return false
    await this.#contains(repository, { ...content, at: wall() })
    return true
  }

  /**
   * @param mediaType the Content-Type it came with
   * @throws {Failure} `bad-manifest`, `missing-parts`, `bad-digest`, `too-large`, `try-later`
   */
  async putManifest(
    repository: Repository,
    reference: Tag | Digest,
    pushed: {
      readonly bytes: Uint8Array
      readonly mediaType: string | undefined
      /** Beside `reference`. */
      readonly tags?: readonly Tag[]
      readonly by: string
    },
  ): Promise<Content> {
    const { bytes, by } = pushed
    if (bytes.length > maxManifestBytes) throw new Failure('too-large', `a manifest may have ${maxManifestBytes} bytes`)
    const digest = digestOf(bytes, isDigest(reference) ? algorithmOf(reference) : 'sha256')
    if (isDigest(reference) && reference !== digest) {
      throw new Failure('bad-digest', `the manifest that came has the digest ${digest}, not ${reference}`)
    }
    const { parts, ...facts } = manifestFacts(bytes, pushed.mediaType)
    const { mediaType } = facts
    const { store, state, wall, log } = this.#o
    return this.#alone(repository, async () => {
      await this.#checkParts(repository, parts)
      const spool = store.spool()
      try {
        await this.uploads.withRoom(() => spool.append(bytes))
        await this.#keep(spool, { digest, kind: 'manifest', mediaType })
      } finally {
        await spool.discard()
      }
      const at = wall()
      const content: Content = {
        ...facts,
        digest,
        kind: 'manifest',
        size: bytes.length,
        at,
        parts: [...new Set(parts.map((part) => part.digest))],
      }
      await this.#contains(repository, content)
      const tags = new Set([...(isDigest(reference) ? [] : [reference]), ...(pushed.tags ?? [])])
      for (const tag of tags) {
        const entry = await state.tags.point(repository, tag, { digest, mediaType, size: bytes.length, at, by })
        await this.#tell({ kind: 'tag', repository, tag, entry })
      }
      const name = isDigest(reference) ? { digest: reference } : { tag: reference }
      log.info('image pushed', { image: formatReference({ ...repository, ...name }), digest, by, bytes: bytes.length })
      return content
    })
  }

  /** @throws {Failure} `no-manifest` */
  async deleteTag(repository: Repository, tag: Tag, by: string): Promise<void> {
    const { state, log } = this.#o
    await this.#alone(repository, async () => {
      const known = await state.tags.get(repository, tag)
      const image = formatReference({ ...repository, tag })
      if (!known?.digest) throw new Failure('no-manifest', `there is no ${image}`)
      await this.#dropTag(repository, tag, known, by)
      log.info('tag deleted', { image, digest: known.digest, by })
    })
  }

  /** With the tags that point to it. @throws {Failure} `no-manifest` */
  async deleteManifest(repository: Repository, digest: Digest, by: string): Promise<void> {
    const { state, log } = this.#o
    await this.#alone(repository, async () => {
      const content = await state.contents.find(repository, digest)
      const image = formatReference({ ...repository, digest })
      if (content?.kind !== 'manifest') throw new Failure('no-manifest', `there is no ${image}`)
      for (let after: { readonly after: string } | undefined; ; ) {
        const tags = await state.tags.list(repository, { ...after, limit: mostTagsOfManifest })
        for (const tag of tags) {
          const entry = await state.tags.get(repository, tag)
          if (entry?.digest === digest) await this.#dropTag(repository, tag, entry, by)
        }
        const last = tags.at(-1)
        if (last === undefined || tags.length < mostTagsOfManifest) break
        after = { after: last }
      }
      await this.#remove(repository, content)
      log.info('manifest deleted', { image, by })
    })
  }

  /** @throws {Failure} `no-blob` */
  async deleteBlob(repository: Repository, digest: Digest, by: string): Promise<void> {
    const { state, log } = this.#o
    await this.#alone(repository, async () => {
      const content = await state.contents.find(repository, digest)
      const blob = formatReference({ ...repository, digest })
      if (content?.kind !== 'blob') throw new Failure('no-blob', `there is no ${blob}`)
      await this.#remove(repository, content)
      log.info('blob deleted', { blob, by })
    })
  }

  /** A rule does not keep the tag: it goes, if it still says the same. False if not. */
  async expireTag(repository: Repository, tag: Tag, seen: TagEntry): Promise<boolean> {
    // Whoever sets it from now on is later than this.
    const now = this.#o.wall()
    return this.#alone(repository, async () => {
      const known = await this.#o.state.tags.get(repository, tag)
      const { digest, at, seenAt } = seen
      if (!known?.digest || known.digest !== digest || known.at !== at || known.seenAt !== seenAt) return false
      await this.#dropTag(repository, tag, known, 'a rule', now)
      return true
    })
  }

  /** A rule does not keep it: it goes, if nobody brought it anew or relied on it since. False if somebody did. */
  expireContent(repository: Repository, seen: Content): Promise<boolean> {
    return this.#alone(repository, () => this.#remove(repository, seen, seen))
  }

  async #checkParts(repository: Repository, parts: readonly Part[]): Promise<void> {
    const { state, wall } = this.#o
    const { contents } = state
    for (const { digest, kind, size } of parts) {
      const known = await contents.find(repository, digest)
      // Whoever is about to take it away sees that it is wanted again.
      const touched = known !== undefined && (await contents.touch(repository, digest, wall()))
      const location = { repository, kind, digest }
      const there = touched ? known : await this.#atBackend(location)
      const had = there && (!touched || (await this.#held(location)))
      if (!there || !had || (kind === 'manifest' && there.kind !== 'manifest')) {
        const detail = { digest }
        throw new Failure('missing-parts', `${formatRepository(repository)} does not have ${kind} ${digest}`, {
          detail,
        })
      }
      if (there.size !== size) {
        throw new Failure('bad-manifest', `${digest} has ${there.size} bytes; the manifest says ${size}`)
      }
    }
  }

  async #held(location: Location): Promise<boolean> {
    const { store, held } = this.#o
    return held ? held(location) : store.settled(location.digest)
  }

  /** Who pushes was told that it is there, and sent it not: then it is, also where the state was lost. */
  async #atBackend(location: Location): Promise<Pick<Content, 'kind' | 'size'> | undefined> {
    const { repository, kind, digest } = location
    const { state, kept, wall } = this.#o
    if (!kept) return undefined
    try {
      const { size, mediaType } = await kept(location)
      // Of a manifest the state would have to say what it names, and nobody has read it.
      if (kind === 'blob') await state.contents.add(repository, { kind, digest, size, mediaType, at: wall() })
      return { kind, size }
    } catch (error) {
      const { code } = Failure.from(error)
      if (code === 'no-blob' || code === 'no-manifest') return undefined
      throw error
    }
  }

  /** Whole, on the disk, pinned, its pieces stated, and offered to others. */
  async #keep(spool: Spool, spec: { digest: Digest; kind: 'blob' | 'manifest'; mediaType?: string }): Promise<void> {
    const { store, signer, stored } = this.#o
    store.pin({ digest: spec.digest, reason: homePin })
    await spool.keep(spec, await statementsOf(spool, spec.digest, signer))
    stored(spec.digest)
  }

  async #contains(repository: Repository, content: Content): Promise<void> {
    const { state, store } = this.#o
    const known = await state.contents.find(repository, content.digest)
    store.pin({ digest: content.digest, reason: homePin })
    // What is a manifest here does not become a mere blob because somebody uploads its bytes as well.
    const kept = known?.kind === 'manifest' && content.kind === 'blob' ? known : content
    await state.contents.add(repository, kept)
    // Again: whoever took away the last of it meanwhile has let it go.
    store.pin({ digest: content.digest, reason: homePin })
    store.seenIn(content.digest, repository)
    await this.#tell({ kind: 'content', repository, content: kept })
  }

  async #dropTag(repository: Repository, tag: Tag, known: TagEntry, by: string, ruled?: number): Promise<void> {
    const { state } = this.#o
    const { mediaType, size } = known
    // What a rule says is of the time when it was looked up: whoever sets the tag since is later.
    const asked = { mediaType, size, by, at: ruled === undefined ? this.#o.wall() : Math.max(ruled, known.at + 1) }
    const entry = ruled === undefined ? await state.tags.point(repository, tag, asked) : asked
    if (ruled !== undefined) await state.tags.set(repository, tag, entry)
    await this.#tell({ kind: 'tag', repository, tag, entry })
  }

  /** With `seen`: only if it is still as it was. False if it is not there, or not as it was. */
  async #remove(repository: Repository, content: Content, seen?: Pick<Content, 'at'>): Promise<boolean> {
    const { state } = this.#o
    if (!(await state.contents.remove(repository, content.digest, seen))) return false
    await this.release(content.digest)
    await this.#tell({ kind: 'removed', repository, content })
    return true
  }

  /** What no repository has is as any other content from now on. */
  async release(digest: Digest): Promise<void> {
    const { state, store } = this.#o
    const owned = async () => (await state.contents.repositoriesOf(digest)).length > 0
    if (await owned()) return
    store.unpin(digest, homePin)
    // Somebody may have brought it to one meanwhile.
    if (await owned()) store.pin({ digest, reason: homePin })
  }

  async #tell(event: PushEvent): Promise<void> {
    for (const listener of this.#listeners) await listener(event)
  }

  #alone<T>(repository: Repository, work: () => Promise<T>): Promise<T> {
    return this.#turns.alone(formatRepository(repository), work)
  }
}
