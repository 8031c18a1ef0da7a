/** What is mounted as rows for people: images that were mounted at a place, and what a snapshotter holds, by repository. Pure. */
import type { HeldLayer, MountedFacts, MountedImage } from './mounted.ts'

export interface MountedRow {
  /** Unlike that of any other. */
  readonly key: string
  /** The directory; or who holds the layers, and how many they are. */
  readonly where: string
  readonly what: string
  readonly size: number
  readonly here: number
  readonly fetched: number
  readonly deduped: number
  readonly complete: boolean
  /** What an operator should know of it beside, in a few words each. */
  readonly notes: readonly string[]
}

export function rowsOf({ mounts, layers }: Pick<MountedFacts, 'mounts' | 'layers'>): MountedRow[] {
  const groups = new Map<string, HeldLayer[]>()
  for (const layer of layers) {
    const key = `${layer.holders.map(({ who }) => who).join(' and ')} ${layer.repository}`
    groups.set(key, [...(groups.get(key) ?? []), layer])
  }
  return [...mounts.map(imageRow), ...[...groups].map(([key, group]) => groupRow(key, group))]
}

function imageRow({ dir, image, rw, prefetch, whole, error, complete, ...sums }: MountedImage): MountedRow {
  const { size, here, fetched, deduped } = sums
  return {
    ...{ key: dir, where: dir, what: image, size, here, fetched, deduped, complete },
    notes: [
      ...(rw ? ['read-write'] : []),
      ...(prefetch || complete ? [] : ['only what is read is brought']),
      ...wholeNote(whole.map(({ reason }) => reason)),
      ...troubleNote(error, complete),
    ],
  }
}

function groupRow(key: string, layers: readonly HeldLayer[]): MountedRow {
  const [{ repository, holders }] = layers as [HeldLayer]
  const sum = (of: (layer: HeldLayer) => number) => layers.reduce((all, layer) => all + of(layer), 0)
  const complete = layers.every((layer) => layer.complete)
  return {
    key,
    where: `${layers.length} ${layers.length === 1 ? 'layer' : 'layers'} of ${holders.map(({ who }) => who).join(' and ')}`,
    what: repository,
    size: sum(({ size }) => size),
    here: sum(({ here }) => here),
    fetched: sum(({ fetched }) => fetched),
    deduped: sum(({ deduped }) => deduped),
    complete,
    notes: [
      ...wholeNote(layers.flatMap(({ whole }) => whole ?? [])),
      ...troubleNote(layers.find(({ error }) => error !== undefined)?.error, complete),
    ],
  }
}

function wholeNote(reasons: readonly string[]): string[] {
  const [reason] = reasons
  if (reason === undefined) return []
  return [`${reasons.length} ${reasons.length === 1 ? 'layer was' : 'layers were'} fetched whole: ${reason}`]
}

/** What went wrong on the way to a layer that is complete is over. */
function troubleNote(error: string | undefined, complete: boolean): string[] {
  return error === undefined || complete ? [] : [error]
}
