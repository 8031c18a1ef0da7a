/** Durations in ms, and what share of them was below what. */
export class Samples {
  #values = new Float64Array(1024)
  #sorted = true
  count = 0
  sum = 0

  add(ms: number): void {
    if (this.count === this.#values.length) {
      const more = new Float64Array(this.count * 2)
      more.set(this.#values)
      this.#values = more
    }
    this.#values[this.count++] = ms
    this.sum += ms
    this.#sorted = false
  }

  /** The least value that `share` of them do not exceed; 0 when there are none. */
  quantile(share: number): number {
    if (this.count === 0) return 0
    if (!this.#sorted) this.#values.subarray(0, this.count).sort()
    this.#sorted = true
    return this.#values[Math.max(0, Math.ceil(share * this.count) - 1)]!
  }
}

/**
 * The bound of the histogram's bucket in which that share of what was observed between two readings of a node's metrics
 * lies, in seconds: Prometheus' text format, cumulative buckets.
 */
export function bucketOf(before: string, after: string, name: string, share: number): number {
  const earlier = bucketsOf(before, name)
  const counts = [...bucketsOf(after, name)].map(
    ([bound, count]) => [bound, count - (earlier.get(bound) ?? 0)] as const,
  )
  const all = Math.max(0, ...counts.map(([, count]) => count))
  return counts.find(([, count]) => count >= share * all)?.[0] ?? Number.POSITIVE_INFINITY
}

function bucketsOf(text: string, name: string): Map<number, number> {
  const lines = text.matchAll(new RegExp(`^${name}_bucket\\{(?:[^}]*,)?le="([^"]+)"[^}]*\\} (\\S+)`, 'gm'))
  return new Map(
    [...lines].map(([, bound, count]) => [bound === '+Inf' ? Number.POSITIVE_INFINITY : Number(bound), Number(count)]),
  )
}
