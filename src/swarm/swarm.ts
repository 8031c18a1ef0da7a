/**
 * All downloads and uploads of a node. Everything that other nodes say over sessions arrives here and goes to the seeder
 * (what they want from us) or to the transfer of the blob (what they have for us).
 */

import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import type { Digest } from '../oci/digest.ts'
import type { Location } from '../source/source.ts'
import type { Frame } from '../wire/messages.ts'
import type { Directory, Session, SessionHandler } from '../wire/wire.ts'
import { Link } from './download/link.ts'
import { Passage } from './passage.ts'
import type { Seeder } from './seeding/seeder.ts'
import { Transfer, type TransferDeps, type TransferEvents } from './transfer.ts'

const mostUnpublished = 64
/** A scheduler hears so often how far those are through whom a blob comes to others, or it would take them for stuck. */
export const leadMs = 1000

export interface SwarmOptions extends Omit<TransferDeps, 'coming' | 'awaited' | 'wanted' | 'relays' | 'link'> {
  readonly seeder: Seeder
  readonly directory: Directory
  /** A node says that a piece came wrong from here. */
  readonly complaint?: (digest: Digest, piece: number) => void
  /** Has `begin` make and start a transfer within a span. */
  readonly traced?: (location: Location, begin: () => Transfer) => Transfer
  /** What this node holds of a blob changed; `soon` where the owner of the digest should not wait for a heartbeat. */
  changed(digest: Digest, soon: boolean): void
}

export class Swarm implements SessionHandler {
  readonly #o: SwarmOptions
  readonly #deps: TransferDeps
  readonly #transfers = new Map<Digest, Transfer>()
  /** Blobs that are read through this node without being kept. */
  readonly #passages = new Map<Digest, Set<Passage>>()
  readonly #events: TransferEvents
  /** Complete blobs of which there is no provider record yet. */
  readonly #unpublished = new Set<Digest>()
  /** When the scheduler was last told how far the blobs are that come to others through this node. */
  readonly #toldAt = new Map<Digest, number>()
  /** Where others had said another one; what they say now is not asked for. */
  readonly #sizes = lru<Digest, number>(1024)
  #closed = false

  constructor(options: SwarmOptions) {
    this.#o = options
    const { seeder, changed } = options
    this.#deps = {
      ...options,
      relays: seeder.relays,
      link: new Link(options.clock.now()),
      coming: () => this.#coming(),
      awaited: (digest) => seeder.audience(digest).size > 0,
      wanted: (digest) => seeder.wanted(digest),
    }
    this.#events = {
      begun: (blob) => {
        seeder.begun(blob)
        changed(blob.digest, true)
      },
      stored: (blob, piece) => {
        seeder.stored(blob.digest, piece)
        changed(blob.digest, this.#tells(blob.digest))
      },
      learned: (blob) => seeder.learned(blob.digest),
      sized: (digest, size) => void this.#sizes.set(digest, size),
      ended: (transfer, failure) => this.#ended(transfer, failure),
    }
    options.store.onGone((blob) => {
      this.#unpublished.delete(blob.digest)
      options.directory.withdraw(blob.digest)
      changed(blob.digest, true)
      this.#transfers.get(blob.digest)?.gone(blob)
    })
    options.membership.onJoin((node) => {
      for (const transfer of [...this.#transfers.values()]) transfer.returned(node)
    })
    options.store.onRecording((blob) => this.#transfers.get(blob.digest)?.state())
    options.store.onDamaged((blob, pieces) => this.#transfers.get(blob.digest)?.lost(pieces))
  }

  transfers(): Iterable<Transfer> {
    return this.#transfers.values()
  }

  /** Nothing is on its way to this node. */
  get idle(): boolean {
    return this.#transfers.size === 0
  }

  find(digest: Digest): Transfer | undefined {
    return this.#transfers.get(digest)
  }

  /**
   * The transfer that brings the blob; started if there is none. Not to be called for a complete blob. `part`: only what is
   * read is wanted, as far as this caller goes.
   * @throws {Failure} `unavailable` once it is closed
   */
  fetch(location: Location, size?: number, part = false): Transfer {
    if (this.#closed) throw new Failure('unavailable', 'this node is stopping')
    const running = this.#joined(location)
    if (!part) running?.wantAll()
    if (running) return running
    const begin = () => {
      const made = new Transfer(this.#deps, this.#events, location, part)
      this.#transfers.set(location.digest, made)
      made.start(this.#sizes.get(location.digest) ?? size)
      return made
    }
    const transfer = this.#o.traced ? this.#o.traced(location, begin) : begin()
    for (const session of this.#o.seeder.audience(location.digest)) transfer.meet(session)
    return transfer
  }

  /** For a blob that cannot be stored here: what other nodes have of it. To be read, and once. */
  passage(location: Location, size: number): Passage {
    const passage: Passage = new Passage(this.#deps, location, size, () => this.#reads(location.digest, passage))
    return passage
  }

  /**
   * A scheduler named this node as the one that reads the blob from its source, or as much of it as others need. The source
   * is asked for its size, for the `size` that came with the order may be from a wrong manifest.
   * @throws {Failure} as {@link fetch}
   */
  order(location: Location, part = false, size?: number): void {
    if (this.#o.store.find(location.digest)?.complete) return
    this.fetch(location, undefined, part).fetch(true, size)
  }

  /**
   * Nobody here wants it any more: it stops, unless other nodes wait for what this one reads from the source. Whoever does
   * not read it is a parent among others, and they might wait for each other. True when there is nothing left to stop.
   */
  relinquish(digest: Digest): boolean {
    const transfer = this.#transfers.get(digest)
    if (!transfer?.unwanted) return true
    if (transfer.awaited) return false
    transfer.stop('nobody wants it any more')
    return true
  }

  opened(): void {}

  frame(session: Session, frame: Frame): void {
    if (this.#o.bans.has(session.peer.id)) return session.close('banned for sending wrong bytes')
    switch (frame.t) {
      case 'want': {
        this.#o.seeder.want(session, frame.digest)
        this.#transfers.get(frame.digest)?.meet(session)
        return
      }
      case 'unwant':
        this.#transfers.get(frame.digest)?.unneeded(session.peer.id)
        return this.#o.seeder.unwant(session, frame.digest)
      case 'need':
        return this.#transfers.get(frame.digest)?.needed(session.peer.id, {
          pieces: frame.pieces,
          all: frame.all ?? false,
        })
      case 'got':
        return this.#o.seeder.got(session, frame.digest, frame.piece, frame.dropped)
      case 'gone':
        if (frame.code === 'corrupt') this.#o.bans.doubts.retract(session.peer.id, frame.digest)
        return this.#told(session, frame)
      case 'wrong':
        return this.#o.complaint?.(frame.digest, frame.piece)
      case 'state':
      case 'have':
      case 'meta':
        return this.#told(session, frame)
    }
  }

  closed(session: Session, reason: string): void {
    this.#o.seeder.closed(session)
    for (const transfer of [...this.#transfers.values()]) {
      transfer.unneeded(session.peer.id)
      transfer.sessionClosed(session, reason)
    }
    for (const passages of this.#passages.values()) for (const each of passages) each.sessionClosed(session, reason)
  }

  close(reason: string): void {
    this.#closed = true
    for (const transfer of [...this.#transfers.values()]) transfer.stop(reason)
    this.#o.seeder.close()
  }

  #told(session: Session, frame: Frame & { digest: Digest }): void {
    this.#transfers.get(frame.digest)?.frame(session, frame)
    for (const passage of this.#passages.get(frame.digest) ?? []) passage.frame(session, frame)
  }

  /** What is said of the blob is for that passage too, until the result is called. */
  #reads(digest: Digest, passage: Passage): () => void {
    const passages = this.#passages.get(digest) ?? new Set()
    this.#passages.set(digest, passages.add(passage))
    return () => {
      passages.delete(passage)
      if (passages.size === 0 && this.#passages.get(digest) === passages) this.#passages.delete(digest)
      // Others count on neither: this node has nothing of it, and will not read the source for them.
      this.#o.changed(digest, true)
      this.#others(digest)
    }
  }

  /** One that ends tells its parents that the blob is not wanted; others here may want it. */
  #others(digest: Digest): void {
    this.#transfers.get(digest)?.again()
    for (const passage of this.#passages.get(digest) ?? []) passage.again()
  }

  /** Blobs that something is on its way of. */
  #coming(): number {
    let coming = 0
    for (const transfer of this.#transfers.values()) if (transfer.coming) coming++
    return coming
  }

  /** The transfer that brings it already, from now on also for who asks by this name. */
  #joined(location: Location): Transfer | undefined {
    const running = this.#transfers.get(location.digest)
    running?.also(location)
    return running
  }

  /** It is time to say how far the blob is. */
  #tells(digest: Digest): boolean {
    if (!this.#transfers.get(digest)?.leads) return false
    const now = this.#o.clock.now()
    if (now - (this.#toldAt.get(digest) ?? Number.NEGATIVE_INFINITY) < leadMs) return false
    this.#toldAt.set(digest, now)
    return true
  }

  #ended(transfer: Transfer, failure: Failure | undefined): void {
    const { digest } = transfer.location
    this.#transfers.delete(digest)
    this.#toldAt.delete(digest)
    this.#others(digest)
    const { log, seeder, clock, changed, directory, metrics } = this.#o
    metrics.downloadsEnded.inc({ result: failure?.code ?? 'complete' })
    const fields = {
      digest,
      seconds: Math.round(clock.now() - transfer.startedAt) / 1000,
      fromSwarm: transfer.bytes.swarm,
      fromSource: transfer.bytes.source,
    }
    const left = transfer.part && failure?.code === 'cancelled' ? this.#o.store.find(digest) : undefined
    // What was wanted of it is here, and stays.
    if (left) seeder.begun(left)
    else if (failure) seeder.gone(digest, failure)
    if (failure) {
      log.info('transfer ended without the blob', { ...fields, code: failure.code, error: failure.message })
    } else {
      log.debug('blob complete', { ...fields, size: transfer.blob?.size })
      this.#unpublished.add(digest)
    }
    // Records are for a bad day, and cost as much as many pieces: not while a pull goes on, unless one always does.
    if (this.#transfers.size === 0 || this.#unpublished.size > mostUnpublished) {
      // A manifest is complete before its layers are asked for, so this is looked at once more when it is time.
      for (const complete of this.#unpublished) directory.provide(complete, () => this.#transfers.size === 0)
      this.#unpublished.clear()
    }
    changed(digest, true)
  }
}
