/** What clients push into a store and a state, without the node around it. */
import type { NodeId } from '../../src/cluster/node-info.ts'
import { Pusher, type PusherOptions } from '../../src/push/pusher.ts'
import { Uploads } from '../../src/push/uploads.ts'
import { createMetrics } from '../../src/telemetry/metrics.ts'
import type { FakeClock } from './clock.ts'
import type { MemoryStore } from './memory-store.ts'

export type { PushEvent, Pusher } from '../../src/push/pusher.ts'

export function pusherOver({
  store,
  clock,
  ...rest
}: { store: MemoryStore; clock: FakeClock } & Pick<PusherOptions, 'state' | 'log' | 'kept' | 'held'>): Pusher {
  return new Pusher({
    ...rest,
    store,
    uploads: new Uploads(store, clock),
    signer: { id: 'n1' as NodeId, sign: () => new Uint8Array(64) },
    stored: () => {},
    metrics: createMetrics(),
    wall: () => clock.wall(),
  })
}
