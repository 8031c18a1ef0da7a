/**
 * What the mounter has mounted, in the words in which its node is told: each node of this host hears of what was mounted
 * through it. Cut to what the node takes. Pure.
 */
import { type HeldLayer, type MountedImage, most, type Told } from '../../lazy/mounted.ts'
import { isLoopback } from '../../listen.ts'
import { formatRepository, type Repository } from '../../oci/reference.ts'
import type { LayerFacts, MounterFacts, MountFacts } from './api.ts'

/** A layer, and where it comes from. */
export interface Origin {
  readonly facts: LayerFacts
  /** Of the node: `http://127.0.0.1:4880` */
  readonly registry: string
  readonly repository: Repository
}

export interface Present {
  readonly socket: string
  readonly mounter: Pick<MounterFacts, 'version' | 'reads'>
  readonly mounts: readonly MountFacts[]
  readonly layers: readonly Origin[]
}

/** What each node is told; none is told of that has nothing mounted from it. */
export function reportsOf({ socket, mounter, mounts, layers }: Present): Map<string, Told> {
  const nodes = new Set(layers.map(({ registry }) => registry).filter(isHere))
  return new Map(
    [...nodes].map((node) => {
      const own = layers.filter(({ registry }) => registry === node)
      const ids = new Set(own.map(({ facts }) => facts.id))
      const images = mounts.filter((mount) => mount.layers.some(({ id }) => ids.has(id)))
      const told = {
        mounter: socket.slice(0, most.path),
        version: mounter.version.slice(0, 64),
        reads: mounter.reads,
        totals: { mounts: images.length, layers: own.length, ...sumOf(distinct(own.map(({ facts }) => facts))) },
        mounts: byNeed(images.map(imageOf)).slice(0, most.mounts),
        layers: byNeed(own.flatMap(heldOf)).slice(0, most.layers),
      }
      return [node, told] as const
    }),
  )
}

/** What a node is told for which nothing is left. */
export function nothingLeft({ socket, mounter }: Pick<Present, 'socket' | 'mounter'>): Told {
  const totals = { mounts: 0, layers: 0, ...sumOf([]) }
  return { mounter: socket, version: mounter.version, reads: mounter.reads, totals, mounts: [], layers: [] }
}

/** What is mounted through the node of another host is no business of that one. */
function isHere(registry: string): boolean {
  return URL.canParse(registry) && isLoopback(new URL(registry).hostname.replace(/^\[|\]$/g, ''))
}

function imageOf(mount: MountFacts): MountedImage {
  const layers = distinct(mount.layers)
  const [error] = layers.flatMap(({ errors }) => errors.slice(0, 1))
  return {
    dir: mount.dir.slice(0, most.path),
    image: mount.image.slice(0, most.name),
    platform: mount.platform.slice(0, most.name),
    rw: mount.rw,
    prefetch: mount.prefetch,
    since: mount.since,
    ...sumOf(layers),
    complete: layers.every(({ complete }) => complete),
    whole: layers
      .filter(({ indexed }) => !indexed)
      .slice(0, most.whole)
      .map(({ digest, reason = 'it has no index' }) => ({ digest, reason: reason.slice(0, most.sentence) })),
    ...(error === undefined ? {} : { error: error.slice(0, most.sentence) }),
  }
}

/** One that others hold than mounts of images, which are told of by themselves. */
function heldOf({ facts, repository }: Origin): HeldLayer[] {
  const counts = new Map<string, number>()
  for (const holder of facts.holders) {
    if (holder.startsWith('mount:')) continue
    // `snapshotter/1f2e/3d4c`
    const who = holder.split('/', 1)[0]!.slice(0, most.name)
    counts.set(who, (counts.get(who) ?? 0) + 1)
  }
  if (counts.size === 0) return []
  const { digest, size, here, fetched, deduped, complete, indexed, reason = 'it has no index', errors } = facts
  return [
    {
      digest,
      repository: formatRepository(repository).slice(0, most.name),
      ...{ size, here, fetched, deduped, complete },
      ...(indexed ? {} : { whole: reason.slice(0, most.sentence) }),
      ...(errors[0] === undefined ? {} : { error: errors[0].slice(0, most.sentence) }),
      holders: [...counts].slice(0, most.holders).map(([who, count]) => ({ who, count })),
    },
  ]
}

/** An image may list a layer twice, and one may be mounted in two ways. */
function distinct(layers: readonly LayerFacts[]): LayerFacts[] {
  return [...new Map(layers.map((layer) => [layer.digest, layer])).values()]
}

function sumOf(layers: readonly Pick<LayerFacts, 'size' | 'here' | 'fetched' | 'deduped'>[]) {
  const sum = { size: 0, here: 0, fetched: 0, deduped: 0 }
  for (const { size, here, fetched, deduped } of layers) {
    sum.size += size
    sum.here += here
    sum.fetched += fetched
    sum.deduped += deduped
  }
  return sum
}

/** Those that are on their way first: what is cut off is what nobody waits for. */
function byNeed<T extends { readonly complete: boolean }>(all: readonly T[]): T[] {
  return [...all.filter(({ complete }) => !complete), ...all.filter(({ complete }) => complete)]
}
