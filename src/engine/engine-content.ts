/**
 * What the engine on this host holds already. An image that was pulled through this node lies on the host twice, here and
 * in the engine's content store; a blob whose file there has the same bytes is read from that file, and the one here goes.
 * The file stays the engine's: when it removes it, the blob is gone from this node at once, and others are told. It is not a
 * hard link, which would keep what the engine removes on the disk, wants one file system for both, and is not for a user
 * who does not own the file. What is pinned has a file of its own here, and is on the host twice.
 *
 * Whose content it is matters more than where it lies. A blob that came through this node is known by where it came from,
 * and stays as private as it was. Of one that the engine had from elsewhere nothing is known but what manifests say that
 * this node has served, and anybody can write a manifest: such a blob is used only once a registry that is said to have it
 * has shown bytes of it from a place that it could not know beforehand (`proof.ts`).
 */
import { type Clock, pause } from '../clock.ts'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Blob, BlobKind, BlobStore } from '../store/blob-store.ts'
import type { Borrower } from '../store/borrowed.ts'
import { type Signer, signedSegments } from '../swarm/statements.ts'
import type { Log } from '../telemetry/log.ts'
import { ContentFolder } from './folder.ts'
import { type Found, judge } from './judge.ts'
import { type Surveyed, survey } from './survey.ts'

export interface EngineContentOptions {
  readonly store: BlobStore & Borrower
  /** Folders to look into, as they are now. */
  readonly folders: () => readonly string[]
  readonly signer: Signer
  /** Pulls go first. */
  readonly busy: () => boolean
  /** Whether a registry that is said to have it has shown that it has what is in the file; see `proof.ts`. */
  readonly prove: (digest: Digest, path: string, size: number) => Promise<boolean>
  /** The blob is here now, and was not before. */
  readonly came: (blob: Blob) => void
  readonly clock: Clock
  readonly log: Log
  /** How often it is looked at what is there, although nothing was told, in ms. */
  readonly everyMs?: number
}

type Candidate = Found & { readonly folder: ContentFolder; readonly digest: Digest; readonly path: string }

const usualMs = 60_000
/** While there is no folder to be told about: an engine makes it with its first blob. */
const waitMs = 2000
/** News are gathered for so long: an image is many files. */
const gatherMs = 100
/** A twentieth of a core, and what a slow disk reads beside other work. */
const bytesPerSecond = 32 * 1024 * 1024
const busyMs = 1000
/** Files are looked at in turns of so many: a content store may have thousands. */
const turn = 100
/** After a try that came to nothing, in ms. */
const laterMs = 10 * 60_000
/** How often it is tried to take the place of a file that is in use, and how many times. */
const idleMs = 200
const idleTries = 150
/** News beyond that are found by looking. */
const mostDue = 10_000

export class EngineContent {
  readonly #o: EngineContentOptions
  readonly #abort = new AbortController()
  readonly #folders = new Map<string, ContentFolder>()
  /** `changedAt` of files that are not to be used as they are. */
  readonly #refused = new Map<Digest, number>()
  /** `changedAt` of files that blobs are read from. */
  readonly #borrowed = new Map<Digest, number>()
  /** Clock time until which another try makes no sense: nobody showed it, it was always in use, or could not be copied. */
  readonly #later = new Map<Digest, number>()
  /** What is to be looked at before all is, by path; `at` is clock time. */
  readonly #due = new Map<string, { readonly folder: ContentFolder; readonly digest: Digest; readonly at: number }>()
  readonly #trouble = new Map<string, string>()
  #giving = false
  #wake: (() => void) | undefined

  constructor(options: EngineContentOptions) {
    this.#o = options
    options.store.onGone((blob) => this.#gone(blob))
  }

  start(): void {
    void this.#run().catch(() => {})
  }

  close(): void {
    this.#abort.abort()
    for (const folder of this.#folders.values()) folder.close()
    this.#wake?.()
  }

  /** A repository is known to have it now: what the engine had before may be of use. */
  heard(digest: Digest): void {
    if (this.#o.store.find(digest)) return
    for (const folder of this.#folders.values()) if (folder.find(digest)) this.#soon(folder, digest)
  }

  /** Folders that are looked into, and why one cannot be. */
  get folders(): { readonly path: string; readonly trouble?: string }[] {
    return [...this.#folders.keys()].map((path) => {
      const trouble = this.#trouble.get(path)
      return { path, ...(trouble === undefined ? {} : { trouble }) }
    })
  }

  async #run(): Promise<void> {
    const { clock, log, everyMs = usualMs } = this.#o
    const { signal } = this.#abort
    let lookAt = clock.now()
    while (!signal.aborted) {
      const all = clock.now() >= lookAt
      await (all ? this.#look() : this.#catchUp()).catch((error: Error) => {
        if (!signal.aborted) log.warn('could not look at what the engine holds', { error: error.message })
      })
      if (all) lookAt = clock.now() + (this.#watches() ? everyMs : Math.min(waitMs, everyMs))
      const next = Math.min(lookAt, ...[...this.#due.values()].map(({ at }) => at))
      await this.#sleep(Math.max(gatherMs, next - clock.now()))
    }
  }

  /** Resolves when it is time, or something is due sooner. */
  #sleep(ms: number): Promise<void> {
    if (this.#abort.signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const cancel = this.#o.clock.after(ms, () => this.#wake?.())
      this.#wake = () => {
        cancel()
        this.#wake = undefined
        resolve()
      }
    })
  }

  #watches(): boolean {
    return this.#folders.size > 0 && [...this.#folders.values()].every(({ watched }) => watched)
  }

  /** At all that is there: also what nobody told of. */
  async #look(): Promise<void> {
    this.#take(this.#o.folders())
    const here = new Set<string>()
    for (const folder of this.#folders.values()) {
      const digests = await this.#list(folder)
      for (let i = 0; i < digests.length; i++) {
        here.add(folder.pathOf(digests[i]!))
        await this.#consider(folder, digests[i]!)
        if (i % turn === turn - 1) await pause(this.#o.clock, 1, this.#abort.signal)
      }
    }
    for (const blob of [...this.#o.store.all()]) {
      if (blob.borrowed && !here.has(blob.path)) this.#giveBack(blob.digest, 'the engine has removed it')
    }
    this.#forget()
  }

  /** At what is due alone. */
  async #catchUp(): Promise<void> {
    const now = this.#o.clock.now()
    for (const [path, { folder, digest, at }] of [...this.#due]) {
      if (at > now) continue
      this.#due.delete(path)
      await this.#consider(folder, digest)
    }
  }

  #dueIn(ms: number, folder: ContentFolder, digest: Digest): void {
    this.#due.set(folder.pathOf(digest), { folder, digest, at: this.#o.clock.now() + ms })
  }

  #take(paths: readonly string[]): void {
    for (const [path, folder] of this.#folders) {
      if (paths.includes(path)) continue
      folder.close()
      for (const [file, due] of this.#due) if (due.folder === folder) this.#due.delete(file)
      this.#folders.delete(path)
      this.#trouble.delete(path)
    }
    for (const path of paths) {
      if (this.#folders.has(path)) continue
      const folder: ContentFolder = new ContentFolder(path, (digest) => this.#changed(folder, digest))
      this.#folders.set(path, folder)
    }
  }

  async #list(folder: ContentFolder): Promise<Digest[]> {
    try {
      const digests = await folder.list()
      this.#trouble.delete(folder.path)
      return digests
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      if (this.#trouble.get(folder.path) !== message) {
        this.#o.log.info('what the engine holds cannot be read; this node keeps copies of its own', { error: message })
      }
      this.#trouble.set(folder.path, message)
      return []
    }
  }

  /** What went is not here any more from this moment on; what came has time. */
  #changed(folder: ContentFolder, digest: Digest): void {
    const blob = this.#o.store.find(digest)
    if (blob?.borrowed && blob.path === folder.pathOf(digest) && !folder.find(digest)) {
      this.#giveBack(digest, 'the engine has removed it')
    }
    this.#soon(folder, digest)
  }

  #soon(folder: ContentFolder, digest: Digest): void {
    if (this.#due.size >= mostDue) return
    this.#dueIn(gatherMs, folder, digest)
    this.#wake?.()
  }

  async #consider(folder: ContentFolder, digest: Digest): Promise<void> {
    const { store, clock } = this.#o
    const found = folder.find(digest)
    if (!found) return
    const held = store.find(digest)
    // Another engine has it too.
    if (held?.borrowed && held.path !== found.path) return
    if (held?.borrowed && !this.#borrowed.has(digest)) this.#borrowed.set(digest, found.changedAt)
    const verdict = judge(found, held, {
      now: clock.wall(),
      pinned: store.pins(digest).length > 0,
      known: held !== undefined || store.repositoriesOf(digest).length > 0,
      refused: this.#refused.get(digest),
      borrowedAt: this.#borrowed.get(digest),
    })
    if (verdict.do === 'wait') this.#dueIn(verdict.ms, folder, digest)
    if (verdict.do === 'give back') this.#giveBack(digest, verdict.reason)
    if ((this.#later.get(digest) ?? 0) > clock.now()) return
    if (verdict.do === 'take back') await this.#takeBack(digest)
    if (verdict.do === 'borrow') await this.#borrow({ ...found, folder, digest }, held)
    if (verdict.do === 'prove') await this.#prove({ ...found, folder, digest })
  }

  async #prove(candidate: Candidate): Promise<void> {
    const { clock, prove } = this.#o
    const { digest, path, size } = candidate
    if (await prove(digest, path, size).catch(() => false)) await this.#borrow(candidate, undefined)
    else this.#later.set(digest, clock.now() + laterMs)
  }

  async #borrow(candidate: Candidate, held: Blob | undefined): Promise<void> {
    const { store, log } = this.#o
    const { digest, path, changedAt, size } = candidate
    const found = await this.#survey(candidate, held)
    if (found === undefined) return
    if (found === 'wrong') {
      this.#refused.set(digest, changedAt)
      log.error('a file of the engine is not what its name says; pull the image anew there', { file: path })
      return
    }
    const kind: BlobKind = held?.kind ?? 'blob'
    const blob = await this.#whenIdle(candidate, () => store.borrow({ digest, size, kind }, found.file))
    if (!blob) return
    this.#borrowed.set(digest, found.file.changedAt)
    const { known } = blob.metainfo
    const unstated = found.pieces.filter(({ piece }) => !known.has(piece))
    for (const segment of signedSegments(blob, unstated, this.#o.signer)) blob.learn(segment)
    log.info('a blob is read from where the engine keeps it', {
      digest,
      bytes: size,
      ownFile: held ? 'deleted' : 'none',
    })
    if (!held) this.#o.came(blob)
  }

  /** Somebody may be reading it just now. What was read here is not read again for that, as long as the file is the same. */
  async #whenIdle({ folder, digest, changedAt }: Candidate, take: () => Blob | undefined): Promise<Blob | undefined> {
    for (let tries = 0; tries < idleTries; tries++) {
      if (folder.find(digest)?.changedAt !== changedAt || this.#o.store.pins(digest).length > 0) return undefined
      const blob = take()
      if (blob) return blob
      await pause(this.#o.clock, idleMs, this.#abort.signal)
    }
    this.#later.set(digest, this.#o.clock.now() + laterMs)
    return undefined
  }

  async #survey({ path, digest }: Candidate, held: Blob | undefined): Promise<Surveyed | 'wrong' | undefined> {
    const { clock, busy } = this.#o
    const { signal } = this.#abort
    while (busy()) await pause(clock, busyMs, signal)
    return survey(path, digest, held?.metainfo, (bytes) =>
      pause(clock, Math.max(1, (bytes / bytesPerSecond) * 1000), signal),
    ).catch((error: Error) => {
      if (!signal.aborted) this.#o.log.debug('a file of the engine was not read', { file: path, error: error.message })
      return undefined
    })
  }

  async #takeBack(digest: Digest): Promise<void> {
    const { store, clock, log } = this.#o
    try {
      if (await store.takeBack(digest)) log.info('a pinned blob has a file of its own again', { digest })
    } catch (error) {
      this.#later.set(digest, clock.now() + laterMs)
      const { message } = Failure.from(error)
      log.warn('a pinned blob is only in a file of the engine, and could not be copied', { digest, error: message })
    }
  }

  #giveBack(digest: Digest, reason: string): void {
    this.#giving = true
    const given = this.#o.store.giveBack(digest, reason)
    this.#giving = false
    this.#borrowed.delete(digest)
    if (given) this.#o.log.info('a blob is not here any more', { digest, reason })
  }

  /** Somebody had it removed here, or its file was found wrong: it is left alone until the engine has another one. */
  #gone({ digest, borrowed }: Blob): void {
    const changedAt = this.#borrowed.get(digest)
    this.#borrowed.delete(digest)
    if (borrowed && !this.#giving && changedAt !== undefined) this.#refused.set(digest, changedAt)
  }

  #forget(): void {
    const now = this.#o.clock.now()
    for (const [digest, until] of this.#later) if (until <= now) this.#later.delete(digest)
    for (const digest of this.#refused.keys()) {
      if (![...this.#folders.values()].some((folder) => folder.find(digest))) this.#refused.delete(digest)
    }
  }
}
