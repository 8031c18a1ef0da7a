/** What becomes of what is pushed to a node, put together: others and backends get it, other clusters, and rules end it. */
import type { Random } from '../clock.ts'
import type { Settings } from '../config/settings.ts'
import { bringWhole } from '../content/bring.ts'
import type { Content } from '../content/content.ts'
import { Keeping } from '../home/keeping.ts'
import type { Keeping as Policy } from '../keep/keeping.ts'
import { homePin } from '../push/pusher.ts'
import type { Own } from '../registry/exchange.ts'
import { replicationOf } from '../replicate/assembly.ts'
import type { Replication } from '../replicate/replication.ts'
import type { Swarm } from '../swarm/swarm.ts'
import type { NodeHome, NodeHomeParts } from './home.ts'
import type { NodeState } from './state.ts'

export interface PushingParts {
  readonly settings: Settings
  readonly home: NodeHome
  readonly homeParts: NodeHomeParts & { readonly swarm: Swarm }
  /** Absent on a node that keeps no state. */
  readonly kept: NodeState | undefined
  readonly node: string
  readonly content: Content
  readonly random: Random
}

export interface NodePushing {
  /** For the registry port; absent where nothing is kept. */
  readonly own: Own | undefined
  readonly keeping: Keeping
  readonly replication: Replication | undefined
  readonly policy: Policy | undefined
}

/** `ending`: is told how what has begun ends. @throws {Failure} */
export async function pushingOf(
  { settings, home, homeParts, kept, node, content, random }: PushingParts,
  ending: (end: () => Promise<void> | undefined) => void,
): Promise<NodePushing> {
  const { store, swarm, clock, log, metrics } = homeParts
  const own = await home.serve(homeParts)
  // Another seed first, then the backend: both before the client hears that it is done.
  if (kept) home.pusher?.onPushed(kept.pushed)
  const keeping = new Keeping({
    homes: home.homes,
    state: kept?.state,
    seed: settings.node.modes.includes('seed'),
    store,
    bring: (location, size, signal) => bringWhole({ store, swarm }, location, size, signal),
    mode: settings.keeping.write,
    pinnedFor: homePin,
    clock,
    random,
    log,
    metrics,
  })
  home.pusher?.onPushed((event) => keeping.pushed(event))
  keeping.start()
  ending(() => keeping.close())
  const about = { settings, state: kept?.state, node, clock, random, log, metrics }
  const replication = replicationOf({ ...about, content: home.content(content, content, homeParts) })
  ending(() => replication?.close())
  const policy = home.policy({ ...about, store })
  ending(() => policy?.close())
  return { own, keeping, replication, policy }
}
