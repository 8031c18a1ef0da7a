import type { Layer } from './layer.ts'
import type { Surroundings } from './surroundings.ts'

/** What others have from layers that are leaving, and nobody who stays has, goes to those others. */
export async function handOver(
  held: Iterable<{ readonly layer: Layer }>,
  leaving: ReadonlySet<Layer>,
  around: Pick<Surroundings, 'stays'>,
): Promise<void> {
  for (const { layer } of held) {
    if (leaving.has(layer)) continue
    for (const chunk of [...layer.holdings.lent.indexes()]) {
      if (!around.stays(layer.digest(chunk))) await layer.lending.takeOver(chunk)
    }
  }
}
