/**
 * What is mounted on this host, as its mounter last said: kept in memory, and forgotten when nothing was heard for a while,
 * for a mounter that was killed says nothing of its end.
 */
import { z } from 'zod'
import type { Clock } from '../clock.ts'
import { digestSchema as digest } from '../oci/schemas.ts'
import type { Metrics } from '../telemetry/metrics.ts'

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)

/** Of what is told, each. Who tells keeps to them, for it is cut there and refused here. */
export const most = { mounts: 1024, layers: 2048, whole: 16, holders: 8, name: 512, path: 4096, sentence: 512 } as const
/** Of the whole of it. */
export const mostToldBytes = 4 * 1024 * 1024
/** Of mounters that are known: each has files and a socket of its own, and one host has one of them. */
const mostMounters = 8
/** A mounter says something every 30 s. */
const forgottenMs = 90_000

/** Bytes: unpacked, of these here and verified; compressed ones that came for it; unpacked ones that other layers had. */
const sums = { size: count, here: count, fetched: count, deduped: count }

const mountSchema = z.object({
  dir: z.string().max(most.path),
  /** `docker.io/library/debian:13` */
  image: z.string().max(most.name),
  platform: z.string().max(most.name),
  rw: z.boolean(),
  /** What nobody has read yet is brought in the background. */
  prefetch: z.boolean(),
  since: z.iso.datetime(),
  ...sums,
  complete: z.boolean(),
  /** Layers that had to be fetched whole before it was there, and why. */
  whole: z.array(z.object({ digest, reason: z.string().max(most.sentence) })).max(most.whole),
  /** What went wrong last. */
  error: z.string().max(most.sentence).optional(),
})
export type MountedImage = z.infer<typeof mountSchema>

const layerSchema = z.object({
  digest,
  /** For which it was mounted first: `docker.io/library/debian` */
  repository: z.string().max(most.name),
  ...sums,
  complete: z.boolean(),
  /** Why it was fetched whole. */
  whole: z.string().max(most.sentence).optional(),
  error: z.string().max(most.sentence).optional(),
  /** Who holds it, how often: the snapshotter once for each snapshot. */
  holders: z.array(z.object({ who: z.string().max(most.name), count })).max(most.holders),
})
export type HeldLayer = z.infer<typeof layerSchema>

const readsSchema = z.object({ slow: count, failed: count, waiting: count })
/** Over all its layers, each once however many images have it. */
const totalsSchema = z.object({ mounts: count, layers: count, ...sums })

/** What a mounter says. */
export const toldSchema = z.object({
  /** Where it listens, which no other on the host does. */
  mounter: z.string().min(1).max(most.path),
  version: z.string().max(64),
  /** Reads that it had to answer itself, that failed, and that wait; since it started. */
  reads: readsSchema,
  totals: totalsSchema,
  mounts: z.array(mountSchema).max(most.mounts),
  /** Those that others hold than its own mounts. */
  layers: z.array(layerSchema).max(most.layers),
})
export type Told = z.infer<typeof toldSchema>

/** What the node tells of it. */
export const mountedSchema = z.object({
  mounters: z.array(
    z.object({
      mounter: z.string(),
      version: z.string(),
      secondsSinceHeard: z.number().min(0),
      reads: readsSchema,
      totals: totalsSchema,
    }),
  ),
  mounts: z.array(mountSchema),
  layers: z.array(layerSchema),
})
export type MountedFacts = z.infer<typeof mountedSchema>

export const nothingMounted: MountedFacts = { mounters: [], mounts: [], layers: [] }

type MountedMetrics = Pick<Metrics, 'mounts' | 'mountedBytes' | 'mountReadsFailed'>

interface Heard {
  readonly told: Told
  readonly at: number
}

export class Mounted {
  readonly #clock: Clock
  readonly #metrics: MountedMetrics
  readonly #heard = new Map<string, Heard>()

  constructor(clock: Clock, metrics: MountedMetrics) {
    this.#clock = clock
    this.#metrics = metrics
  }

  hear(told: Told): void {
    this.#heard.delete(told.mounter)
    this.#heard.set(told.mounter, { told, at: this.#clock.now() })
    for (const oldest of this.#heard.keys()) {
      if (this.#heard.size <= mostMounters) break
      this.#heard.delete(oldest)
    }
  }

  facts(): MountedFacts {
    const now = this.#clock.now()
    for (const [name, { at }] of this.#heard) if (now - at >= forgottenMs) this.#heard.delete(name)
    // One that has nothing any more is not worth a line.
    const heard = [...this.#heard.values()].filter(({ told }) => told.totals.layers + told.totals.mounts > 0)
    return {
      mounters: heard.map(({ told: { mounter, version, reads, totals }, at }) => ({
        mounter,
        version,
        secondsSinceHeard: Math.round((now - at) / 100) / 10,
        reads,
        totals,
      })),
      mounts: heard.flatMap(({ told }) => told.mounts),
      layers: heard.flatMap(({ told }) => told.layers),
    }
  }

  /** Sets gauges. */
  measure(): void {
    const { mounters } = this.facts()
    const sum = (of: (totals: Told['totals']) => number) => mounters.reduce((all, { totals }) => all + of(totals), 0)
    this.#metrics.mountReadsFailed.reset()
    // Of a mounter that has not said anything yet there is nothing, rather than none: that would look like a fresh start.
    for (const { mounter, reads } of mounters) this.#metrics.mountReadsFailed.set({ mounter }, reads.failed)
    this.#metrics.mounts.set(sum(({ mounts }) => mounts))
    this.#metrics.mountedBytes.set(
      { of: 'size' },
      sum(({ size }) => size),
    )
    this.#metrics.mountedBytes.set(
      { of: 'here' },
      sum(({ here }) => here),
    )
    this.#metrics.mountedBytes.set(
      { of: 'fetched' },
      sum(({ fetched }) => fetched),
    )
    this.#metrics.mountedBytes.set(
      { of: 'deduped' },
      sum(({ deduped }) => deduped),
    )
  }
}
