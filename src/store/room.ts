/** Keeps a store within its limits: the shell that carries out what `eviction.ts` decides. */
import type { Clock } from '../clock.ts'
import { Failure } from '../failure.ts'
import { type Digest, shortDigest } from '../oci/digest.ts'
import type { Log } from '../telemetry/log.ts'
import type { DiskBlob } from './disk-blob.ts'
import { type Limits, type Plan, planEviction } from './eviction.ts'
import type { FreeSpace } from './free-space.ts'

export interface RoomLimits {
  readonly limitBytes?: number
  readonly ttlMs?: number
  /** Absent: the disk may become full. */
  readonly space?: FreeSpace | undefined
  readonly clock: Clock
  readonly log: Log
}

/** The store that is kept within limits. */
export interface Housed {
  readonly blobs: ReadonlyMap<Digest, DiskBlob>
  /** Bytes of pieces that are there. */
  bytes(): number
  /** They are gone on return; resolves when their space is free. */
  drop(blobs: readonly DiskBlob[], reason: string): Promise<void>
}

/** Room is made for this much at a time, so that a full store does not plan anew for every piece. */
const step = 64 * 1024 * 1024

export class Room {
  readonly #limits: RoomLimits
  readonly #house: Housed
  #reserved = 0
  #relief: Promise<void> | undefined

  constructor(limits: RoomLimits, house: Housed) {
    this.#limits = limits
    this.#house = house
  }

  /** Sets `bytes` aside; the result gives them back. @throws {Failure} `no-space` */
  reserve(blob: DiskBlob, bytes: number): () => void {
    const { limitBytes } = this.#limits
    if (limitBytes !== undefined) this.#make(blob, bytes, limitBytes)
    this.#spare(blob, bytes)
    this.#reserved += bytes
    this.#limits.space?.changed(-bytes)
    return () => {
      this.#reserved -= bytes
    }
  }

  /** What would go if the store were to hold no more than `bytes`; `carryOut` makes it so. */
  plan(bytes: number | undefined): Plan {
    return planEviction(this.#house.blobs.values(), this.#bounds(bytes, 0))
  }

  carryOut(plan: Plan): Promise<void> {
    return this.#remove(plan).done
  }

  /** The disk is full, whatever the limit says: frees at least `bytes` if it can. Callers at once share one relief. */
  relieve(bytes: number): Promise<void> {
    this.#relief ??= this.#evict(this.#house.bytes(), Math.max(bytes, step)).done.finally(() => {
      this.#relief = undefined
    })
    return this.#relief
  }

  /** Removes what was not used for too long. */
  expire(): void {
    this.#evict(undefined, 0)
  }

  #make(blob: DiskBlob, bytes: number, limit: number): void {
    const name = shortDigest(blob.digest)
    // Before everything else has gone for a blob that cannot become whole here.
    if (blob.size > limit) {
      throw new Failure(
        'no-space',
        `${name} has ${blob.size} bytes, more than the whole store may hold (${limit}); raise --cache-size`,
      )
    }
    const used = this.#house.bytes() + this.#reserved
    if (used + bytes <= limit) return
    const ahead = Math.min(step, limit / 16, blob.size - blob.bytes)
    const { freed } = this.#evict(limit - this.#reserved, Math.max(bytes, ahead))
    if (used + bytes - freed <= limit) return
    throw new Failure(
      'no-space',
      `no room for ${name}: the store may hold ${limit} bytes and what it holds is in use; raise --cache-size`,
    )
  }

  /** Others fill the disk as well: what is to stay free is theirs, and the blobs here are what can be spared. */
  #spare(blob: DiskBlob, bytes: number): void {
    const { space } = this.#limits
    if (!space || space.room >= bytes) return
    this.#evict(this.#house.bytes(), Math.max(bytes - space.room, Math.min(step, blob.size - blob.bytes)))
    if (space.room >= bytes) return
    throw new Failure(
      'no-space',
      `no room for ${shortDigest(blob.digest)}: the disk has ${Math.max(0, bytes - space.room)} bytes less than ` +
        'are to stay free, and no blob can go; free some space there, or lower --keep-free',
    )
  }

  #bounds(limit: number | undefined, wanted: number): Limits {
    const { ttlMs, clock } = this.#limits
    return {
      now: clock.wall(),
      wanted,
      ...(limit === undefined ? {} : { bytes: limit }),
      ...(ttlMs === undefined ? {} : { ttlMs }),
    }
  }

  #evict(limit: number | undefined, wanted: number): { freed: number; done: Promise<void> } {
    return this.#remove(planEviction(this.#house.blobs.values(), this.#bounds(limit, wanted)))
  }

  #remove({ remove, reasons }: Plan): { freed: number; done: Promise<void> } {
    if (remove.length === 0) return { freed: 0, done: Promise.resolve() }
    const freed = remove.reduce((sum, holding) => sum + holding.bytes, 0)
    const because = [...new Set(remove.map((holding) => reasons.get(holding.digest)))].join(', ')
    this.#limits.log.info('evicted blobs', { blobs: remove.length, bytes: freed, reason: because })
    const blobs = remove.map((holding) => this.#house.blobs.get(holding.digest)).filter((blob) => blob !== undefined)
    this.#limits.space?.changed(freed)
    return { freed, done: this.#house.drop(blobs, because) }
  }
}
