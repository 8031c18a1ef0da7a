/**
 * Who was wrong when a blob came out wrong. Piece digests are signed by whoever read the source, and passed on by nodes
 * that cannot know better: those are never to blame. And a signer may have read what a broken source sent; being honest
 * it finds that out itself and takes its word back. So a contradiction only raises a doubt: the signers concerned are
 * not believed about this blob for a while, and when the blob is here, its whole digest verified, what each had signed
 * is held against it. Who stated something else and stood by it is banned. Who took it back, or was too far away for us
 * to hear whether it did, is excused, but not often.
 *
 * The same goes for bytes: who sends other ones than those that somebody else has stated, and has passed on no statement
 * about them, may know better, or wants not to be held to anything. When the blob is here, it is seen who was right.
 */

import { equals } from 'uint8arrays/equals'
import type { Clock } from '../clock.ts'
import type { NodeId } from '../cluster/node-info.ts'
import { lru } from '../lru.ts'
import type { Digest } from '../oci/digest.ts'
import type { Metainfo } from '../piece/metainfo.ts'

/** For how long a signer is not believed about a blob of which nobody has found the truth, in ms. */
const doubtMs = 10 * 60_000
/** Blobs of which wrong statements were excused within this time, in ms, and how many of them a signer may have. */
const excuseMs = 60 * 60_000
const mostExcused = 3
/** What was said of a blob in so many failed attempts is kept. */
const mostAttempts = 4

interface Doubt {
  readonly until: number
  readonly suspects: ReadonlySet<NodeId>
  /** Suspects that we were linked to: we would have heard them take it back. */
  readonly near: ReadonlySet<NodeId>
  readonly said: Metainfo[]
}

/** Bytes of a piece that did not have the digest `believed`. */
interface Accusation {
  readonly node: NodeId
  readonly piece: number
  readonly believed: Uint8Array
}

/** A download leaves a parent after one wrong piece: so many parents of a blob are remembered. */
const mostAccused = 64

export interface DoubtsOptions {
  readonly clock: Clock
  ban(node: NodeId, reason: string): void
}

export class Doubts {
  readonly #o: DoubtsOptions
  readonly #doubts = lru<Digest, Doubt>(64)
  readonly #accusations = lru<Digest, Accusation[]>(256)
  readonly #retracted = lru<string, true>(4096)
  readonly #excused = lru<NodeId, Map<Digest, number>>(1024)

  constructor(options: DoubtsOptions) {
    this.#o = options
  }

  /** What was said of a blob cannot all be true; `suspects` signed some of it, and to those `near` we are linked. */
  raise(said: Metainfo, suspects: readonly NodeId[], near: (node: NodeId) => boolean): void {
    const before = this.#doubts.peek(said.digest)
    this.#doubts.set(said.digest, {
      until: this.#o.clock.now() + doubtMs,
      suspects: new Set([...(before?.suspects ?? []), ...suspects]),
      near: new Set([...(before?.near ?? []), ...suspects.filter(near)]),
      said: [...(before?.said ?? []), said].slice(-mostAttempts),
    })
  }

  /** `node` sent other bytes than those that are believed to be the piece, and did not say what it holds to be true. */
  accuse(node: NodeId, digest: Digest, piece: number, believed: Uint8Array): void {
    const before = this.#accusations.get(digest) ?? []
    this.#accusations.set(digest, [...before, { node, piece, believed: believed.slice() }].slice(-mostAccused))
  }

  /** `node` says itself that what it had of the blob was wrong. */
  retract(node: NodeId, digest: Digest): void {
    this.#retracted.set(`${node} ${digest}`, true)
  }

  /** Nothing that `node` says of the blob is believed for now. */
  distrusts(node: NodeId, digest: Digest): boolean {
    const doubt = this.#doubts.get(digest)
    return doubt !== undefined && doubt.until > this.#o.clock.now() && doubt.suspects.has(node)
  }

  /** The blob is here and verified as a whole; `truth` states all of its pieces. */
  settle(truth: Metainfo, self: NodeId): void {
    const { digest } = truth
    for (const { node, piece, believed } of this.#accusations.get(digest) ?? []) {
      const right = truth.digestOf(piece)
      if (right && equals(right, believed)) this.#o.ban(node, `sent wrong bytes for piece ${piece} of ${digest}`)
    }
    this.#accusations.delete(digest)
    const doubt = this.#doubts.get(digest)
    if (!doubt) return
    this.#doubts.delete(digest)
    const liars = new Set<NodeId>()
    for (const said of doubt.said) {
      const same = said.layout.size === truth.layout.size
      for (const segment of said.segments) if (!same || !truth.agrees(segment)) liars.add(segment.signer)
    }
    liars.delete(self)
    for (const liar of liars) this.#judge(liar, digest, doubt.near.has(liar))
  }

  #judge(node: NodeId, digest: Digest, near: boolean): void {
    const retracted = this.#retracted.delete(`${node} ${digest}`)
    if (near && !retracted) return this.#o.ban(node, `stated wrong piece digests for ${digest}`)
    const now = this.#o.clock.now()
    const excused = this.#excused.get(node) ?? new Map<Digest, number>()
    for (const [blob, at] of excused) if (now - at > excuseMs) excused.delete(blob)
    excused.set(digest, now)
    this.#excused.set(node, excused)
    if (excused.size > mostExcused) this.#o.ban(node, `stated wrong piece digests for ${excused.size} blobs in an hour`)
  }
}
