/** The indexes of layers as an operator sees them. */
import type { LayerIndexes } from '../lazy/indexes.ts'
import { formatRepository } from '../oci/reference.ts'
import type { BlobStore } from '../store/blob-store.ts'
import type { LayersFacts } from './view.ts'

export function layersFacts(
  { indexed, making, unindexed }: ReturnType<LayerIndexes['facts']>,
  store: Pick<BlobStore, 'repositoriesOf'>,
): LayersFacts {
  const about = (digest: LayersFacts['layers'][number]['digest']) => ({
    digest,
    repositories: store.repositoriesOf(digest).map(formatRepository),
  })
  return {
    layers: [
      ...making.map(([layer, progress]) => ({ ...about(layer), state: 'making' as const, progress })),
      ...indexed.map(({ statement: { layer, index, size, diffId, signer }, here, checkedAt }) => ({
        ...about(layer),
        state: 'indexed' as const,
        index: { digest: index, bytes: size, here, diffId },
        by: signer,
        ...(checkedAt === undefined ? {} : { checkedAt: new Date(checkedAt).toISOString() }),
      })),
      ...unindexed.map(({ layer, reason }) => ({ ...about(layer), state: 'cannot' as const, reason })),
    ],
  }
}
