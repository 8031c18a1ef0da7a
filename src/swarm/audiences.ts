/**
 * Who is told what: the sessions that want a blob hear what is held of it, the digests before the pieces, in batches as
 * pieces arrive.
 */
import type { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import type { Segment } from '../piece/metainfo.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import { type FrameOf, mostPrivate } from '../wire/messages.ts'
import type { Session } from '../wire/wire.ts'

interface Audience {
  readonly sessions: Set<Session>
  /** Pieces that came since the last batch. */
  fresh: number[]
  /** How many of the blob's segments each session has been sent. */
  readonly told: Map<Session, number>
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
    if (blob) this.#introduce(blob, audience, session)
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
    for (const session of audience.sessions) this.#introduce(blob, audience, session)
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

  /** Sends the news that came since the last time. */
  publish(): void {
    for (const digest of this.#news) {
      const audience = this.#audiences.get(digest)
      const blob = this.#store.find(digest)
      if (!audience || !blob) continue
      const pieces = audience.fresh
      audience.fresh = []
      const have: FrameOf<'have'> = { t: 'have', digest, pieces }
      const known = [...audience.sessions].filter((session) => audience.told.has(session))
      for (const session of audience.sessions) {
        if (!audience.told.has(session)) this.#introduce(blob, audience, session)
      }
      this.#teach(blob, audience, known)
      // The same object for all: it is put into words once.
      if (pieces.length > 0) for (const session of known) session.send(have)
    }
    this.#news.clear()
  }

  #introduce(blob: Blob, audience: Audience, session: Session): void {
    this.#teach(blob, audience, [session])
    const { digest } = blob
    session.send(stateFrame(blob, this.#feeding(digest), this.#part(digest), this.#owners(digest)))
  }

  /** Sends the segments that these sessions have not been sent; always before the pieces they describe. */
  #teach(blob: Blob, audience: Audience, sessions: readonly Session[]): void {
    const { segments } = blob.metainfo
    const before = sessions.map((session) => audience.told.get(session) ?? 0)
    // First: who does not take what it is sent is closed meanwhile, and must not be remembered after that.
    for (const session of sessions) audience.told.set(session, segments.length)
    for (let i = Math.min(...before); i < segments.length; i++) {
      const frame = metaFrame(blob, segments[i]!)
      for (const [k, session] of sessions.entries()) if (before[k]! <= i) session.send(frame)
    }
  }

  #leaveAudience(session: Session, digest: Digest): void {
    const audience = this.#audiences.get(digest)
    if (!audience) return
    audience.sessions.delete(session)
    audience.told.delete(session)
    if (audience.sessions.size === 0) this.#audiences.delete(digest)
  }
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
