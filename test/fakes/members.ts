/** Nodes as they describe themselves, for tests that need no network. */
import type { Mode, NodeInfo } from '../../src/cluster/node-info.ts'

export function infoOf(id: string, about: Partial<Omit<NodeInfo, 'id'>> & { modes?: Mode[] } = {}): NodeInfo {
  return { id, url: `http://${id}:4881`, p2p: [], modes: ['peer'], version: '1.0.0', epoch: '1', ...about }
}
