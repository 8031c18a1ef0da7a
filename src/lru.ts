/**
 * What is remembered of much that comes along: the latest so many. The library reserves room for all of them when it is told
 * a `max`, 24 bytes each; counted by size it takes room as they come, which for a node at rest is 10 MB less.
 */
import { LRUCache } from 'lru-cache'

// biome-ignore lint/complexity/noBannedTypes: as the library names what may be a key or a value
type Something = {}

export type Lru<K extends Something, V extends Something> = Pick<
  LRUCache<K, V>,
  'get' | 'peek' | 'has' | 'set' | 'delete' | 'clear' | 'size' | 'keys' | 'values' | 'entries'
>

export interface LruOptions<V> {
  /** Ms for which each is remembered. */
  readonly ttl?: number
  /** What time it is, ms; as `performance.now()` where it is not given. */
  readonly now?: () => number
  /** Called with what goes, or is replaced. */
  readonly dispose?: (value: V) => void
}

/** Remembers so many at `most`; what was used least recently goes first. */
export function lru<K extends Something, V extends Something>(
  most: number,
  { now, ...options }: LruOptions<V> = {},
): Lru<K, V> {
  const time = now ? { perf: { now }, ttlResolution: 0 } : {}
  return new LRUCache<K, V>({ ...options, ...time, maxSize: most, sizeCalculation: () => 1 })
}
