/**
 * What a node does with the state of the cluster, put together: where it is kept, what resolving tags knows of it, what
 * seeds copy from each other, what is shared of bans, what is forgotten in time.
 */
import type { Clock, Random } from '../clock.ts'
import type { Settings } from '../config/settings.ts'
import { StateCopies } from '../content/state-copies.ts'
import { TagIndexing } from '../content/tag-index.ts'
import type { Repository } from '../oci/reference.ts'
import type { PushListener } from '../push/pusher.ts'
import { startForgetting } from '../state/forgetting.ts'
import { openState, whereStateIs } from '../state/open-state.ts'
import type { Lasting, State } from '../state/state.ts'
import type { Bans } from '../swarm/bans.ts'
import { SharedBans } from '../swarm/shared-bans.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import type { Network } from '../wire/network.ts'

export interface NodeStateParts {
  /** This node's id. */
  readonly node: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Log
  readonly metrics: Metrics
}

export class NodeState {
  readonly state: State
  /** For people. */
  readonly where: string
  readonly #settings: Settings
  readonly #parts: NodeStateParts
  readonly #undo: (() => void)[] = []
  #copies: StateCopies | undefined

  private constructor(state: State, where: string, settings: Settings, parts: NodeStateParts) {
    this.state = state
    this.where = where
    this.#settings = settings
    this.#parts = parts
  }

  /** Undefined for peers, which keep none, unless they are told where. @throws {Failure} when a newer shoal wrote it */
  static async open(settings: Settings, parts: NodeStateParts): Promise<NodeState | undefined> {
    const { node, state } = settings
    if (!node.modes.some((mode) => mode !== 'peer') && state.url === undefined) return undefined
    const options = { ...state, dataDir: node.dataDir, ...parts }
    return new NodeState(await openState(options), whereStateIs(options), settings, parts)
  }

  index(self: string, owned: (repository: Repository) => boolean): TagIndexing {
    return new TagIndexing({ state: this.state, self: () => self, owned, ...this.#parts })
  }

  /** Before others are answered. */
  join({ membership, outbound, calls }: Network, bans: Bans, lasting: (repository: Repository) => Lasting): void {
    const { state } = this
    const { clock, random, log } = this.#parts
    const { modes } = this.#settings.node
    const { url, tagHistoryMs } = this.#settings.state
    this.#undo.push(startForgetting({ state, tagHistoryMs, lasting, clock, log }))
    if (url) {
      const shared = new SharedBans({ bans, shared: state.bans, clock, log })
      shared.start()
      this.#undo.push(() => shared.close())
    }
    if (!modes.includes('seed')) return
    const copies = new StateCopies({ state, membership, outbound, clock, random, log })
    copies.answerOn(calls)
    copies.start()
    this.#copies = copies
    this.#undo.push(() => copies.close())
  }

  /** Who pushes hears that it is done when another seed has what the state says of it. */
  readonly pushed: PushListener = async () => this.#copies?.spread()

  async close(): Promise<void> {
    for (const undo of this.#undo.splice(0)) undo()
    await this.state.close()
  }
}
