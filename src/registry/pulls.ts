/**
 * Pulls as an engine sees them: a manifest, then its blobs. The protocol has no word for it, so requests are grouped
 * by client and manifest; a pull is over when every blob has been sent, or after a quiet time (the engine had the
 * other layers, or gave up). State is bounded: the oldest pull is reported early when there are too many.
 */

import type { Clock } from '../clock.ts'
import type { Provenance } from '../content/content.ts'
import { lru } from '../lru.ts'
import type { Digest } from '../oci/digest.ts'
import { contentsOf } from '../oci/media.ts'

export interface PullSummary {
  readonly client: string
  /** With the tag it was asked for, when the client resolved one first. */
  readonly image: string
  readonly digest: Digest
  readonly bytes: Provenance
  /** Blobs of the image, and how many of them were sent whole. */
  readonly blobs: number
  readonly sent: number
  /** From the manifest to the end of the last transfer. */
  readonly milliseconds: number
}

export interface PullTrackerInit {
  readonly clock: Clock
  readonly report: (summary: PullSummary) => void
  /** Time without a request after which a pull is over. Default 30 s. */
  readonly quietMs?: number
  /** Pulls remembered at once. Default 256. */
  readonly mostPulls?: number
}

/** What a client was told about a name. */
export interface ToldManifest {
  readonly client: string
  /** `docker.io/library/debian`, and `docker.io/library/debian:13` if it was asked for by tag. */
  readonly repository: string
  readonly tagged?: string
  readonly digest: Digest
  readonly bytes: Uint8Array
}

interface Pull {
  readonly client: string
  readonly image: string
  readonly digest: Digest
  readonly total: number
  /** Bytes still to be sent of each blob; a blob that was sent is not there. */
  readonly left: Map<Digest, number>
  readonly bytes: { -readonly [from in keyof Provenance]: Provenance[from] }
  readonly startedAt: number
  endedAt: number
  active: number
  quiet: () => void
}

/** Layers an engine would refuse are not worth remembering. */
const mostDescriptors = 1000

/** What those who answer requests tell it. */
export type Pulls = Pick<PullTracker, 'resolved' | 'manifest' | 'sending'>

export class PullTracker {
  readonly #clock: Clock
  readonly #report: (summary: PullSummary) => void
  readonly #quietMs: number
  readonly #mostPulls: number
  /** By client and manifest, oldest first. */
  readonly #pulls = new Map<string, Pull>()
  /** Which tag led a client to a digest: an index is asked for by tag, its manifests by digest. */
  readonly #names = lru<string, string>(4096)

  constructor({ clock, report, quietMs = 30_000, mostPulls = 256 }: PullTrackerInit) {
    this.#clock = clock
    this.#report = report
    this.#quietMs = quietMs
    this.#mostPulls = mostPulls
  }

  get size(): number {
    return this.#pulls.size
  }

  /** A client asked which digest a name has (HEAD). */
  resolved({ client, tagged, digest }: ToldManifest): void {
    if (tagged) this.#names.set(key(client, digest), tagged)
  }

  /** A client got a manifest. A pull begins with an image manifest, not with an index. */
  manifest(told: ToldManifest): void {
    this.resolved(told)
    const { client, digest } = told
    const named = this.#names.get(key(client, digest))
    const { manifests, blobs } = contentsOf(told.bytes)
    for (const child of manifests.slice(0, mostDescriptors)) {
      if (named) this.#names.set(key(client, child.digest), named)
    }
    if (blobs.length === 0) return
    const known = this.#pulls.get(key(client, digest))
    if (known) {
      this.#rest(known)
      return
    }
    const left = new Map(blobs.slice(0, mostDescriptors).map((blob) => [blob.digest, blob.size]))
    const now = this.#clock.now()
    const pull: Pull = {
      client,
      image: named ?? `${told.repository}@${digest}`,
      digest,
      total: left.size,
      left,
      bytes: { store: 0, swarm: 0, source: 0 },
      startedAt: now,
      endedAt: now,
      active: 0,
      quiet: () => {},
    }
    this.#pulls.set(key(client, digest), pull)
    this.#rest(pull)
    for (const oldest of this.#pulls.values()) {
      if (this.#pulls.size <= this.#mostPulls) break
      this.#end(oldest)
    }
  }

  /** A blob is being sent to a client. Call the result once, with the bytes that went out, when that is over. */
  sending(client: string, digest: Digest): (bytes: Provenance) => void {
    const pull = [...this.#pulls.values()].find((pull) => pull.client === client && pull.left.has(digest))
    if (!pull) return () => {}
    pull.active++
    pull.quiet()
    return (bytes) => {
      pull.active--
      pull.endedAt = this.#clock.now()
      pull.bytes.store += bytes.store
      pull.bytes.swarm += bytes.swarm
      pull.bytes.source += bytes.source
      const left = (pull.left.get(digest) ?? 0) - bytes.store - bytes.swarm - bytes.source
      if (left > 0) pull.left.set(digest, left)
      else pull.left.delete(digest)
      if (this.#pulls.get(key(client, pull.digest)) !== pull) return
      if (pull.left.size === 0) this.#end(pull)
      else this.#rest(pull)
    }
  }

  /** Reports what is open. */
  close(): void {
    for (const pull of [...this.#pulls.values()]) this.#end(pull)
  }

  #rest(pull: Pull): void {
    pull.quiet()
    if (pull.active === 0) pull.quiet = this.#clock.after(this.#quietMs, () => this.#end(pull))
  }

  #end(pull: Pull): void {
    pull.quiet()
    this.#pulls.delete(key(pull.client, pull.digest))
    const { client, image, digest, bytes, total, left } = pull
    // A manifest alone is how engines look whether they are up to date.
    if (bytes.store + bytes.swarm + bytes.source === 0) return
    const milliseconds = pull.endedAt - pull.startedAt
    this.#report({ client, image, digest, bytes, blobs: total, sent: total - left.size, milliseconds })
  }
}

function key(client: string, digest: Digest): string {
  return `${client} ${digest}`
}
