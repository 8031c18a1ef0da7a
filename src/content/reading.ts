/** One client's reading of a blob: from the store where it is here, else as it arrives, and if need be without keeping it. */
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import type { Bitmap } from '../piece/bitmap.ts'
import { pieceAt } from '../piece/layout.ts'
import { unlessAborted } from '../source/retry.ts'
import type { Location, Source } from '../source/source.ts'
import type { Blob, BlobStore, Span } from '../store/blob-store.ts'
import type { Run } from '../swarm/download/aims.ts'
import type { Passage } from '../swarm/passage.ts'
import { type Aim, type Arrival, piecesOf, readArriving, readChecked } from '../swarm/reader.ts'
import type { BlobReader, Provenance, Wanted, WholeFile } from './content.ts'
import { through } from './through.ts'

/** Where bytes come from that are not here. */
export interface Origins {
  readonly store: Pick<BlobStore, 'remove'>
  readonly swarm: {
    fetch(location: Location, size?: number, part?: boolean): Arrival
    passage?(location: Location, size: number): Pick<Passage, 'read' | 'doubt'>
  }
  readonly source: Pick<Source, 'open'>
}

export const octets = 'application/octet-stream'
/** So much of what follows a part is fetched for who may go on. */
const aheadBytes = 8 * 1024 * 1024

/**
 * What lay on the disk for long is looked at before it is sent, and what is not right any more comes anew, also when all of
 * the file is gone. What there is no room for comes from other nodes or the source, and is not kept; a part of it only to
 * who goes on to its end.
 */
export class Reading implements BlobReader {
  readonly digest: Digest
  readonly size: number
  readonly mediaType = octets
  readonly file?: WholeFile
  readonly #o: Origins
  readonly #location: Location
  readonly #wanted: Wanted | undefined
  #blob: Blob
  #letGo: () => void
  /** The transfer to read from next, where that is known. */
  #arrival: Arrival | undefined
  #taken: Taken
  /** What came of transfers before, and past the store. */
  readonly #before = { store: 0, swarm: 0, source: 0 }
  readonly #expected: (() => void)[] = []
  #closed = false

  /** `arrival` brings what is not whole. */
  constructor(origins: Origins, repository: Repository, blob: Blob, wanted: Wanted | undefined, arrival?: Arrival) {
    this.digest = blob.digest
    this.size = blob.size
    if (blob.complete && blob.sound()) this.file = fileOf(blob)
    this.#o = origins
    this.#location = { repository, kind: blob.kind, digest: blob.digest }
    this.#wanted = wanted
    this.#blob = blob
    this.#letGo = blob.hold()
    this.#arrival = arrival
    this.#taken = new Taken(blob, arrival)
  }

  async *read(span: Span, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    let broken = false
    for (let at = span.start; at < span.end; ) {
      if (this.#blob.gone && !broken) {
        broken = true
        await this.#renew(signal)
      }
      const blob = this.#blob
      const left = { start: at, end: span.end }
      const here = blob.complete || isHere(blob, this.size, { ...this.#wanted, ...left })
      const transfer = here ? undefined : this.#arriving()
      const doubts = transfer?.doubts.length
      const bodies = transfer
        ? readArriving(transfer, blob, left, signal, aimOf(this.#wanted, left, this.size))
        : readChecked(blob, left)
      try {
        for await (const bytes of bodies) {
          this.#taken.add(at, bytes.length)
          at += bytes.length
          yield bytes
          // What is read from now on is looked at, and mended. A doubt is for who has read what it is about.
          if (transfer && blob.complete && transfer.doubts.length === doubts) break
        }
      } catch (error) {
        if (!transfer && blob.gone && !broken) continue
        const passable = span.end === this.size && (span.start === 0 || goesOn(this.#wanted))
        if (!transfer || !passable || !Failure.from(error).unkept) throw error
        yield* this.#past(transfer, { from: span.start, given: at }, signal)
        return
      }
    }
  }

  expect(spans: readonly Span[]): void {
    if (!this.#blob.complete) this.#expected.push(expecting(this.#arriving(), this.#blob, spans, this.#wanted))
  }

  provenance(): Provenance {
    return add({ ...this.#before }, this.#taken.provenance())
  }

  close(): void {
    this.#closed = true
    for (const end of this.#expected) end()
    this.#letGo()
  }

  /** The transfer that brings what is missing: at first the one it was opened with, and another when that is over. */
  #arriving(): Arrival {
    const transfer = this.#arrival ?? this.#fetch()
    this.#arrival = undefined
    if (transfer !== this.#taken.transfer) this.#turnTo(transfer)
    return transfer
  }

  /** Its file was found to be broken, by who reads here or by somebody else. */
  async #renew(signal: AbortSignal): Promise<void> {
    const transfer = this.#fetch()
    const renewed = await unlessAborted(transfer.begun, signal)
    if (this.#closed || renewed.size !== this.size) throw new Failure('corrupt', `${this.digest} is not what it was`)
    this.#letGo()
    this.#letGo = renewed.hold()
    this.#blob = renewed
    this.#turnTo(transfer)
    this.#arrival = transfer
  }

  #turnTo(transfer: Arrival): void {
    add(this.#before, this.#taken.provenance())
    this.#taken = new Taken(this.#blob, transfer)
  }

  #fetch(): Arrival {
    return this.#o.swarm.fetch(this.#location, this.size, inParts(this.#wanted))
  }

  /** There is no room for it: the rest comes past the store. */
  async *#past(
    { doubts }: Arrival,
    where: { readonly from: number; readonly given: number },
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const { store, swarm, source } = this.#o
    const [blob, location, size] = [this.#blob, this.#location, this.size]
    const passage = swarm.passage?.(location, size)
    const gave = (from: keyof Provenance, bytes: number) => {
      this.#before[from] += bytes
    }
    try {
      yield* through({ source, location, size, signal, gave, blob, doubts, ...where, ...(passage ? { passage } : {}) })
    } catch (wrong) {
      // Some of it may lie here, and nobody can say which part is wrong.
      if (Failure.from(wrong).code === 'corrupt' && !blob.complete) await store.remove(this.digest)
      throw wrong
    }
  }
}

/**
 * Whether a client asks for all from some byte on. Engines do when an answer broke off; who asks for parts wants many of
 * them, and each would be a whole blob for its registry to send.
 */
function goesOn(wanted: Wanted | undefined): boolean {
  return wanted !== undefined && wanted.end === undefined && !wanted.part
}

/** Nothing else of the blob is to be brought than what is read of it. */
export function inParts(wanted: Wanted | undefined): boolean {
  return wanted?.prefetch !== undefined && wanted.prefetch !== 'whole'
}

/** All that the client wants of a blob that is here in part is here: nobody has to be asked for anything. */
export function isHere(
  { gone, have, layout, size }: Blob,
  known: number | undefined,
  wanted: Wanted | undefined,
): boolean {
  if (gone || wanted?.prefetch !== 'none' || wanted.start === undefined || wanted.end === undefined) return false
  const { start, end } = wanted
  if (size !== (known ?? size) || start >= Math.min(end, size)) return false
  // The piece that ends it says nothing of whether all of it is right.
  const { from, to } = piecesOf(layout, { start, end: Math.min(end, size) })
  return have.nextMissing(from) >= to && (wanted.part === true || to < layout.count)
}

/** What a reader of a part waits for; undefined for one that reads in order. */
function aimOf(wanted: Wanted | undefined, span: Span, size: number): Aim | undefined {
  const part = wanted?.part === true && span.end - span.start < size
  if (!part && !inParts(wanted)) return undefined
  return { part, ahead: wanted?.prefetch === 'none' ? 0 : aheadBytes, patient: wanted?.patient ?? false }
}

/** All of the spans are waited for until the result is called. */
function expecting(transfer: Arrival, blob: Blob, spans: readonly Span[], wanted: Wanted | undefined): () => void {
  const reader = transfer.reader()
  const runs = spans.map((span): Run => {
    const { from, to } = piecesOf(blob.layout, span)
    return [from, to]
  })
  if (wanted?.part || inParts(wanted)) transfer.aim(reader, runs, { patient: wanted?.patient ?? false })
  return () => transfer.readerLeft(reader)
}

function fileOf(blob: Blob): WholeFile {
  return { path: blob.path, sound: (at) => blob.complete && blob.sound(pieceAt(blob.layout, at)) }
}

/**
 * Where the bytes came from that a reader was given. Pieces that come while the blob is open count as fetched, whoever else
 * reads them too. Where a transfer is fed by both, swarm and source get their shares of what was read as they have them of
 * the transfer.
 */
class Taken {
  readonly transfer: Arrival | undefined
  readonly #blob: Blob
  readonly #here: Bitmap
  readonly #before: { readonly swarm: number; readonly source: number }
  #held = 0
  #fetched = 0

  constructor(blob: Blob, transfer: Arrival | undefined) {
    this.transfer = transfer
    this.#blob = blob
    this.#here = blob.have.copy()
    this.#before = { swarm: 0, source: 0, ...transfer?.bytes }
  }

  add(at: number, bytes: number): void {
    if (this.#here.has(pieceAt(this.#blob.layout, at))) this.#held += bytes
    else this.#fetched += bytes
  }

  provenance(): Provenance {
    const { swarm, source } = this.transfer?.bytes ?? this.#before
    const bySwarm = swarm - this.#before.swarm
    const bySource = source - this.#before.source
    const fetched = this.#fetched
    // What was read although nothing has been stored meanwhile is the beginning of what the source is sending.
    const fromSource = bySwarm + bySource > 0 ? Math.round((fetched * bySource) / (bySwarm + bySource)) : fetched
    return { store: this.#held, swarm: fetched - fromSource, source: fromSource }
  }
}

function add(sum: Provenance, more: Provenance): Provenance {
  sum.store += more.store
  sum.swarm += more.swarm
  sum.source += more.source
  return sum
}
