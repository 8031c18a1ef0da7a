import type { Layer } from './layer.ts'
import type { Places } from './places.ts'

/** What others have from a layer that goes, and nobody else has, goes to them. */
export async function handOver(
  layer: Layer,
  held: Iterable<{ readonly layer: Layer }>,
  places: Places<Layer>,
): Promise<void> {
  for (const { layer: other } of held) {
    if (other === layer) continue
    for (const chunk of [...other.holdings.lent.indexes()]) {
      if (!places.find(other.digest(chunk), layer)) await other.lending.takeOver(chunk)
    }
  }
}
