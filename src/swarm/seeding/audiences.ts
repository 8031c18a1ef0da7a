/**
 * Who is told what: the sessions that want a blob hear what is held of it, the digests before the pieces, in batches as
 * pieces arrive. A blob may have more statements than a session takes at once: they are told in portions.
 */
import type { Failure } from '../../failure.ts'
import type { Digest } from '../../oci/digest.ts'
import type { Repository } from '../../oci/reference.ts'
import type { Segment } from '../../piece/metainfo.ts'
import type { Blob, BlobStore } from '../../store/blob-store.ts'
import { type FrameOf, mostPrivate } from '../../wire/messages.ts'
import type { Session } from '../../wire/wire.ts'

interface Audience {
  readonly sessions: Set<Session>
  /** Pieces that came since the last batch. */
  fresh: number[]
  readonly told: Map<Session, Told>
}

interface Told {
  /** How many of the blob's segments it has been sent. */
  segments: number
  /** It has been sent all of them, then what is held; since then, what came. */
  current: boolean
}

export interface AudiencesOptions {
  readonly store: Pick<BlobStore, 'find'>
  /** It comes to others through this node. */
  readonly feeding: (digest: Digest) => boolean
  /** It comes through this node as far as others say they need it. */
  readonly part?: (digest: Digest) => boolean
  /** Private repositories that have it. */
  readonly owners?: (digest: Digest) => readonly Repository[]
}

const mostWantsPerSession = 4096
/** Bytes of statements with which a session may be behind; a fraction of those at which it is given up. */
const portion = 1024 * 1024

export class Audiences {
  readonly #store: Pick<BlobStore, 'find'>
  readonly #feeding: (digest: Digest) => boolean
  readonly #part: (digest: Digest) => boolean
  readonly #owners: (digest: Digest) => readonly Repository[]
  readonly #audiences = new Map<Digest, Audience>()
  readonly #wants = new Map<Session, Set<Digest>>()
  readonly #news = new Set<Digest>()

  constructor({ store, feeding, part = () => false, owners = () => [] }: AudiencesOptions) {
    this.#store = store
    this.#feeding = feeding
    this.#part = part
    this.#owners = owners
  }

  /** There is something to publish. */
  get news(): boolean {
    return this.#news.size > 0
  }

  /** Sessions that want the blob. */
  of(digest: Digest): ReadonlySet<Session> {
    return this.#audiences.get(digest)?.sessions ?? new Set()
  }

  want(session: Session, digest: Digest): void {
    let wants = this.#wants.get(session)
    if (!wants) {
      wants = new Set()
      this.#wants.set(session, wants)
    }
    if (wants.size >= mostWantsPerSession) return session.close('asked for too many blobs at once')
    wants.add(digest)
    let audience = this.#audiences.get(digest)
    if (!audience) {
      audience = { sessions: new Set(), fresh: [], told: new Map() }
      this.#audiences.set(digest, audience)
    }
    audience.sessions.add(session)
    const blob = this.#store.find(digest)
    if (blob) this.#introduce(blob, audience, [session])
  }

  unwant(session: Session, digest: Digest): void {
    this.#wants.get(session)?.delete(digest)
    this.#leaveAudience(session, digest)
  }

  closed(session: Session): void {
    for (const digest of this.#wants.get(session) ?? []) this.#leaveAudience(session, digest)
    this.#wants.delete(session)
  }

  /** Whoever waits for it is told what there is to know of it: its size, or whose it is. */
  begun(blob: Blob): void {
    const audience = this.#audiences.get(blob.digest)
    if (!audience) return
    this.#introduce(blob, audience, [...audience.sessions])
  }

  /** A piece was verified and stored. */
  stored(digest: Digest, piece: number): void {
    const audience = this.#audiences.get(digest)
    if (!audience) return
    audience.fresh.push(piece)
    this.#news.add(digest)
  }

  /** New piece digests are known. */
  learned(digest: Digest): void {
    if (this.#audiences.has(digest)) this.#news.add(digest)
  }

  /** The blob is no longer here, or could not be had from its source. */
  gone(digest: Digest, failure?: Failure): void {
    const audience = this.#audiences.get(digest)
    if (!audience) return
    audience.fresh = []
    audience.told.clear()
    for (const session of audience.sessions) {
      session.send({
        t: 'gone',
        digest,
        ...(failure ? { code: failure.code, message: failure.message.slice(0, 500) } : {}),
      })
    }
  }

  /** Sends the news that came since the last time, and more to those who could not be told everything then. */
  publish(): void {
    const news = [...this.#news]
    this.#news.clear()
    for (const digest of news) {
      const audience = this.#audiences.get(digest)
      const blob = this.#store.find(digest)
      if (!audience || !blob) continue
      const pieces = audience.fresh
      audience.fresh = []
      const taught = this.#teach(blob, audience, [...audience.sessions])
      const isCurrent = (session: Session) => audience.told.get(session)?.current === true
      const current = taught.filter(isCurrent)
      const behind = taught.filter((session) => !isCurrent(session))
      this.#state(blob, audience, behind)
      // The same object for all: it is put into words once.
      const have: FrameOf<'have'> = { t: 'have', digest, pieces }
      if (pieces.length > 0) for (const session of current) session.send(have)
    }
  }

  #introduce(blob: Blob, audience: Audience, sessions: readonly Session[]): void {
    this.#state(blob, audience, this.#teach(blob, audience, sessions))
  }

  #state(blob: Blob, audience: Audience, sessions: readonly Session[]): void {
    if (sessions.length === 0) return
    const { digest } = blob
    const state = stateFrame(blob, this.#feeding(digest), this.#part(digest), this.#owners(digest))
    for (const session of sessions) {
      const told = audience.told.get(session)
      if (told) told.current = true
      session.send(state)
    }
  }

  /**
   * Sends the segments that these sessions have not been sent; always before the pieces they describe. Returns those that
   * have been sent all; for the others the blob is news once more, and what came meanwhile is in the state that they get then.
   */
  #teach(blob: Blob, audience: Audience, sessions: readonly Session[]): Session[] {
    const { segments } = blob.metainfo
    const pupils = sessions.map((session) => {
      const told = audience.told.get(session) ?? { segments: 0, current: false }
      const from = told.segments
      const to = portionEnd(segments, from, portion - session.backlog)
      // First: who does not take what it is sent is closed meanwhile, and must not be remembered after that.
      audience.told.set(session, told)
      told.segments = to
      if (to < segments.length) told.current = false
      return { session, from, to }
    })
    const last = Math.max(...pupils.map(({ to }) => to))
    for (let i = Math.min(...pupils.map(({ from }) => from)); i < last; i++) {
      const frame = metaFrame(blob, segments[i]!)
      for (const { session, from, to } of pupils) if (from <= i && i < to) session.send(frame)
    }
    const taught = pupils.filter(({ to }) => to === segments.length)
    if (taught.length < pupils.length) this.#news.add(blob.digest)
    return taught.map(({ session }) => session)
  }

  #leaveAudience(session: Session, digest: Digest): void {
    const audience = this.#audiences.get(digest)
    if (!audience) return
    audience.sessions.delete(session)
    audience.told.delete(session)
    if (audience.sessions.size === 0) this.#audiences.delete(digest)
  }
}

/** Index after that of the last segment, from the one at `from`, that `bytes` have room for. */
function portionEnd(segments: readonly Segment[], from: number, bytes: number): number {
  let room = bytes
  let to = from
  while (to < segments.length && room > 0) room -= metaBytes(segments[to++]!)
  return to
}

function stateFrame(blob: Blob, feeding: boolean, part: boolean, owners: readonly Repository[]): FrameOf<'state'> {
  return {
    t: 'state',
    digest: blob.digest,
    size: blob.size,
    pieceLength: blob.layout.pieceLength,
    kind: blob.kind,
    feeding,
    ...(feeding && part ? { part } : {}),
    ...(blob.mediaType ? { mediaType: blob.mediaType } : {}),
    have: blob.have.bytes.toBase64(),
    ...(owners.length > 0 ? { private: owners.slice(0, mostPrivate) } : {}),
  }
}

/** About what its frame has: base64, and some three hundred of names and a signature. */
function metaBytes({ digests }: Segment): number {
  return (4 / 3) * digests.length + 384
}

function metaFrame(blob: Blob, segment: Segment): FrameOf<'meta'> {
  return {
    t: 'meta',
    digest: blob.digest,
    size: blob.size,
    first: segment.first,
    digests: segment.digests.toBase64(),
    signer: segment.signer,
    signature: segment.signature.toBase64(),
  }
}
