/**
 * Bans of nodes that share a database: what one of them bans, all of them leave alone, and what an operator lifts at one
 * of them is lifted at all. Each keeps its own as well, for the time that the database is out of reach.
 */
import { type Clock, every } from '../clock.ts'
import type { NodeId } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import type { SharedBans as SharedList } from '../state/state.ts'
import type { Ban } from '../store/blob-store.ts'
import type { Log } from '../telemetry/log.ts'
import type { Bans } from './bans.ts'

const everyMs = 10_000

export class SharedBans {
  readonly #o: { bans: Bans; shared: SharedList; clock: Clock; log: Log }
  /** Own ones that are in the database, and until when there: are they no more before that, somebody has lifted them. */
  readonly #told = new Map<NodeId, number>()
  #stop = () => {}

  constructor(options: { bans: Bans; shared: SharedList; clock: Clock; log: Log }) {
    this.#o = options
  }

  start(): void {
    const { bans, clock } = this.#o
    // Those from before this start were told then, and may have been lifted since: nobody is told of them anew.
    for (const { node, until } of bans.own()) this.#told.set(node, until)
    bans.onBanned((ban) => void this.#quietly(() => this.#tell(ban)))
    bans.onLifted((node) => {
      this.#told.delete(node)
      void this.#quietly(() => this.#o.shared.remove(node))
    })
    const look = () => void this.#quietly(() => this.#look())
    look()
    this.#stop = every(clock, everyMs, look)
  }

  close(): void {
    this.#stop()
  }

  async #tell(ban: Ban): Promise<void> {
    await this.#o.shared.put(ban)
    this.#told.set(ban.node, ban.until)
  }

  async #look(): Promise<void> {
    const { bans, clock } = this.#o
    const told = new Map(this.#told)
    const found = await this.#o.shared.list(clock.wall())
    const shared = new Map(found.map(({ node, until }) => [node, until]))
    for (const [node, until] of told) {
      if (shared.has(node)) continue
      this.#told.delete(node)
      if (until > clock.wall()) bans.forget(node)
    }
    for (const ban of bans.own()) {
      const until = shared.get(ban.node)
      // Whoever told it.
      if (until !== undefined) this.#told.set(ban.node, until)
      else if (!told.has(ban.node)) await this.#tell(ban)
    }
    bans.learn(found)
  }

  async #quietly(work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.#o.log.debug('bans could not be shared', { error: Failure.from(error).message })
    }
  }
}
