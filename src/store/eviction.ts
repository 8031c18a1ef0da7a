/** What has to leave the store. Pure: the store carries the plan out, and `keep` with its reasons is for people. */
import type { Digest } from '../oci/digest.ts'

export interface Holding {
  readonly digest: Digest
  /** Bytes of the disk that its file takes. */
  readonly disk: number
  /** Wall time in ms. */
  readonly usedAt: number
  /** Somebody reads or writes it now. */
  readonly held: boolean
  readonly complete: boolean
  /** Somebody asked that it stays until then, wall time in ms; Infinity: until told otherwise. */
  readonly pinnedUntil?: number | undefined
  /** Its file is another program's, which alone decides how long it stays. */
  readonly borrowed?: boolean
}

/** How long a blob may be unused. */
export interface Idle {
  readonly ms: number
  /** Which rule says so. */
  readonly rule: string
}

export interface Limits {
  /** Wall time in ms. */
  readonly now: number
  /** What the store may hold; unlimited if absent. */
  readonly bytes?: number
  /** Unused for longer than this, a blob goes. */
  readonly ttlMs?: number
  /** Where a rule says otherwise of a blob. */
  readonly idleOf?: ((digest: Digest) => Idle | undefined) | undefined
  /** Bytes that are about to be added. */
  readonly wanted?: number
  /** Bytes that room is made for now; by default for all that are wanted. */
  readonly atOnce?: number
  /** More will be wanted soon: when any has to go, a few more may go with it. */
  readonly ahead?: boolean
}

/**
 * A plan takes a microsecond or two for each holding, so a full store is not to plan for each blob that it takes: this share
 * of its number and of its bytes goes at once. Not more than so many, for files are deleted on threads that pieces need.
 */
const shareAhead = 0.01
const mostAhead = 64

export type Reason =
  | 'expired'
  | `unused for longer than "${string}" keeps it`
  | 'least recently used'
  | 'in use'
  | 'pinned'
  | `pinned until ${string}`
  | 'within the limits'
  | 'of the engine'

export interface Plan {
  readonly remove: readonly Holding[]
  readonly keep: readonly Holding[]
  readonly reasons: ReadonlyMap<Digest, Reason>
  /** Bytes over the limit still, all that may go being gone; 0 when the wanted bytes fit. */
  readonly missing: number
}

/**
 * Expired blobs go first; then, while the wanted bytes do not fit, the least recently used. Of two used at the same
 * time the incomplete one goes: nobody can be served all of it.
 */
export function planEviction(holdings: Iterable<Holding>, limits: Limits): Plan {
  const remove: Holding[] = []
  const keep: Holding[] = []
  const reasons = new Map<Digest, Reason>()
  const candidates: Holding[] = []
  let total = 0
  const decide = (list: Holding[], holding: Holding, reason: Reason) => {
    list.push(holding)
    reasons.set(holding.digest, reason)
  }
  for (const holding of holdings) {
    const { pinnedUntil = 0 } = holding
    if (holding.borrowed) decide(keep, holding, 'of the engine')
    else if (holding.held) decide(keep, holding, 'in use')
    else if (pinnedUntil > limits.now) decide(keep, holding, pinnedReason(pinnedUntil))
    else {
      const expired = expiry(holding, limits)
      if (expired) {
        decide(remove, holding, expired)
        continue
      }
      candidates.push(holding)
    }
    total += holding.disk
  }
  const { bytes = Number.POSITIVE_INFINITY, wanted = 0, atOnce = wanted } = limits
  const missing = total + wanted - bytes - candidates.reduce((sum, { disk }) => sum + disk, 0)
  const excess = total + atOnce - bytes
  const most = limits.ahead ? Math.min(mostAhead, Math.floor((keep.length + candidates.length) * shareAhead)) : 0
  if (excess > 0) candidates.sort((a, b) => a.usedAt - b.usedAt || Number(a.complete) - Number(b.complete))
  let [gone, freed] = [0, 0]
  for (const holding of candidates) {
    const goes = freed < excess || (excess > 0 && gone < most && freed < bytes * shareAhead)
    if (goes && holding.disk > 0) {
      decide(remove, holding, 'least recently used')
      gone++
      freed += holding.disk
    } else decide(keep, holding, 'within the limits')
  }
  return { remove, keep, reasons, missing: Math.max(0, missing) }
}

function expiry({ digest, usedAt }: Holding, { now, ttlMs, idleOf }: Limits): Reason | undefined {
  const idle = idleOf?.(digest)
  const longest = idle?.ms ?? ttlMs
  if (longest === undefined || now - usedAt <= longest) return undefined
  return idle ? `unused for longer than "${idle.rule}" keeps it` : 'expired'
}

function pinnedReason(until: number): Reason {
  return until === Number.POSITIVE_INFINITY ? 'pinned' : `pinned until ${new Date(until).toISOString()}`
}

/** Bytes of what stays although the limits would have it go, by why: for saying what is in the way. */
export function inTheWay({ keep, reasons }: Plan): { inUse: number; pinned: number } {
  let [inUse, pinned] = [0, 0]
  for (const { digest, disk } of keep) {
    const reason = reasons.get(digest)
    if (reason === 'in use') inUse += disk
    else if (reason?.startsWith('pinned')) pinned += disk
  }
  return { inUse, pinned }
}
