/** Keeps a store within its limits: the shell that carries out what `eviction.ts` decides. */
import type { Clock } from '../clock.ts'
import { Failure, type FailureCode } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { DiskBlob } from './disk-blob.ts'
import { inTheWay, type Limits, type Plan, planEviction } from './eviction.ts'
import type { FreeSpace } from './free-space.ts'

export interface RoomLimits {
  readonly limitBytes?: number
  readonly ttlMs?: number
  readonly idleOf?: Limits['idleOf']
  /** Absent: the disk may become full. */
  readonly space?: FreeSpace | undefined
  readonly clock: Clock
  readonly log: Log
  readonly metrics?: Pick<Metrics, 'evictedBytes'>
}

/** The store that is kept within limits. */
export interface Housed {
  readonly blobs: ReadonlyMap<Digest, DiskBlob>
  /** Bytes of the disk that the files of blobs take. */
  disk(): number
  /** Bytes of the disk that the store's own files take beside those. */
  beside(): number
  /** Bytes of the disk that uploads take which are no blobs yet. */
  uploads(): number
  /** They are gone on return; resolves when their space is free. */
  drop(blobs: readonly DiskBlob[], reason: string): Promise<void>
}

/** Who asks for room. */
export interface Claim {
  readonly name: string
  /** Bytes that it is to have, as far as that is known. */
  readonly size: number
  /** Of these, those that are there. */
  readonly bytes: number
  /** Bytes of the disk that it takes beside those. */
  readonly leftover: number
}

/** Room is made for this much of a blob at a time, so that a full store does not plan anew for every piece. */
const step = 64 * 1024 * 1024
/** For so long a refusal is told as what is wrong with the store, in ms. */
const troubleMs = 60_000

export interface Trouble {
  readonly message: string
  readonly code: Extract<FailureCode, 'no-space' | 'no-disk'>
}

export class Room {
  readonly #limits: RoomLimits
  readonly #house: Housed
  readonly #reserved = new Map<Claim, number>()
  #reservedBytes = 0
  #relief: Promise<void> | undefined
  #refused: (Trouble & { readonly at: number }) | undefined

  constructor(limits: RoomLimits, house: Housed) {
    this.#limits = limits
    this.#house = house
  }

  /**
   * Sets `bytes` aside; the result gives them back.
   * @throws {Failure} `no-space`, with `mostBytes` for what will never fit: what a blob may have at most
   */
  reserve(claim: Claim, bytes: number): () => void {
    const { limitBytes } = this.#limits
    if (limitBytes !== undefined) this.#make(claim, bytes, limitBytes)
    this.#spare(claim, bytes)
    this.#reserve(claim, bytes)
    this.#limits.space?.wrote(bytes)
    return () => this.#reserve(claim, -bytes)
  }

  /** What would go if blobs were to take no more than `bytes`, by default than the limit of the store leaves them. */
  plan(bytes?: number): Plan {
    const { limitBytes } = this.#limits
    const own = limitBytes === undefined ? undefined : Math.max(0, limitBytes - this.#aside)
    return this.#plan(bytes ?? own, 0)
  }

  carryOut(plan: Plan): Promise<void> {
    return this.#remove(plan)
  }

  /**
   * The disk is full, whatever the limit says: frees at least `bytes` if it can, and if the rest of the blob fits then.
   * Callers at once share one relief.
   */
  relieve(claim: Claim, bytes: number): Promise<void> {
    if (this.#relief) return this.#relief
    const plan = this.#plan(this.#house.disk(), this.#rest(claim), Math.max(bytes, step))
    if (plan.missing > 0) {
      this.#limits.log.debug('nothing is evicted for a blob that would not fit even so', { name: claim.name })
      this.troubled(`the disk is full, and what blobs can go would not make room for ${claim.name}`, 'no-space')
      return Promise.resolve()
    }
    this.#relief = this.#remove(plan).finally(() => {
      this.#relief = undefined
    })
    return this.#relief
  }

  /** Keeps to the limits while nothing is written: time goes by, others fill the disk, the operator set a lower limit. */
  tend(): void {
    const { limitBytes, ttlMs, idleOf, space } = this.#limits
    if (ttlMs !== undefined || idleOf) this.#evict(undefined, 0)
    if (limitBytes !== undefined) {
      const allowed = limitBytes - this.#aside - this.#reservedBytes
      if (this.#house.disk() > allowed) this.#evict(allowed, 0)
    }
    if (space && space.room < 0) this.#evict(this.#house.disk(), -space.room)
  }

  /** So much was given up that is no blob. */
  freed(bytes: number): void {
    this.#limits.space?.freed(bytes)
  }

  /** Something keeps it from taking more: want of room, or the disk itself. */
  troubled(message: string, code: Trouble['code']): void {
    this.#refused = { message, code, at: this.#limits.clock.now() }
  }

  /** Why something was refused lately; undefined when nothing was. */
  get trouble(): Trouble | undefined {
    const now = this.#limits.clock.now()
    return this.#refused && now - this.#refused.at < troubleMs ? this.#refused : undefined
  }

  #make(claim: Claim, bytes: number, limit: number): void {
    const { name } = claim
    const beside = this.#house.beside()
    if (claim.size + beside > limit) {
      const own = beside > 0 ? `, ${beside} of them for its catalog` : ''
      throw this.#refusal(
        `${name} has ${claim.size} bytes, more than fit into the whole store (${limit} bytes${own}); raise --cache-size`,
        { mostBytes: Math.max(0, limit - beside) },
      )
    }
    const used = this.#house.disk() + this.#aside + this.#reservedBytes
    if (used + bytes <= limit) return
    const allowed = limit - this.#aside - this.#reservedBytes
    const rest = this.#rest(claim)
    const plan = this.#plan(allowed, rest, Math.max(bytes, Math.min(step, limit / 16, rest)))
    // Nothing goes for a blob that would not become whole even so.
    if (plan.missing > 0) {
      const uploads = this.#house.uploads()
      const taken = uploads > 0 ? `, uploads under way have ${uploads} of them` : ''
      throw this.#refusal(
        `no room for ${name}: the store may take ${limit} bytes${taken}, ${why(plan)}; raise --cache-size`,
      )
    }
    this.#remove(plan)
  }

  /** Others fill the disk as well: what is to stay free is theirs, and the blobs here are what can be spared. */
  #spare(claim: Claim, bytes: number): void {
    const { space } = this.#limits
    if (!space || space.room >= bytes) return
    const rest = this.#rest(claim)
    const now = Math.max(bytes - space.room, Math.min(step, rest))
    const plan = this.#plan(this.#house.disk(), rest - space.room, now)
    if (plan.missing === 0) {
      this.#remove(plan)
      if (space.room >= bytes) return
    }
    throw this.#refusal(
      `no room for ${claim.name}: the disk has ${Math.max(0, Math.ceil(rest - space.room))} bytes less ` +
        `than it takes beside what is to stay free, ${why(plan)}; free some space there, or lower --keep-free`,
    )
  }

  /** Bytes of the disk that the blob takes neither now nor of what is set aside. */
  #rest(claim: Claim): number {
    return Math.max(0, claim.size - claim.bytes - claim.leftover - (this.#reserved.get(claim) ?? 0))
  }

  #reserve(claim: Claim, bytes: number): void {
    const reserved = (this.#reserved.get(claim) ?? 0) + bytes
    if (reserved > 0) this.#reserved.set(claim, reserved)
    else this.#reserved.delete(claim)
    this.#reservedBytes += bytes
  }

  /** Bytes of the disk that are not of blobs. */
  get #aside(): number {
    return this.#house.beside() + this.#house.uploads()
  }

  #refusal(message: string, detail?: { readonly mostBytes: number }): Failure {
    this.troubled(message, 'no-space')
    return new Failure('no-space', message, detail && { detail })
  }

  /** `atOnce`: of what is wanted, in bytes, by somebody who will come again; absent: all, and nobody will. */
  #plan(limit: number | undefined, wanted: number, atOnce?: number): Plan {
    const { ttlMs, idleOf, clock } = this.#limits
    return planEviction(this.#house.blobs.values(), {
      now: clock.wall(),
      wanted,
      idleOf,
      ...(limit === undefined ? {} : { bytes: limit }),
      ...(atOnce === undefined ? {} : { atOnce, ahead: true }),
      ...(ttlMs === undefined ? {} : { ttlMs }),
    } satisfies Limits)
  }

  #evict(limit: number | undefined, wanted: number): void {
    this.#remove(this.#plan(limit, wanted))
  }

  /** They are gone on return; resolves when their space is free. */
  #remove({ remove, reasons }: Plan): Promise<void> {
    if (remove.length === 0) return Promise.resolve()
    const freed = remove.reduce((sum, holding) => sum + holding.disk, 0)
    const because = [...new Set(remove.map((holding) => reasons.get(holding.digest)))].join(', ')
    this.#limits.metrics?.evictedBytes.inc(freed)
    this.#limits.log.info('evicted blobs', { blobs: remove.length, bytes: freed, reason: because })
    const blobs = remove.map((holding) => this.#house.blobs.get(holding.digest)).filter((blob) => blob !== undefined)
    this.#limits.space?.freed(freed)
    return this.#house.drop(blobs, because)
  }
}

function why(plan: Plan): string {
  const { inUse, pinned } = inTheWay(plan)
  if (inUse + pinned === 0) return 'and there is no blob that could go'
  return `and of what it holds ${inUse} are in use and ${pinned} pinned`
}
