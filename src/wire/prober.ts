/**
 * Finds out who is still there. Who has been silent or is doubted is pinged at once, twice; no answer, nor any other word
 * of it meanwhile, and it is dropped: a host that is busy answers late, but does answer. Schedulers and seeds that were
 * dropped are looked for again, less and less often: the network may have been cut in two, and nobody else would bring the
 * halves together.
 */
import pLimit from 'p-limit'
import { type Clock, every, pause } from '../clock.ts'
import type { MemberTable } from '../cluster/member-table.ts'
import type { NodeCard, NodeId, NodeInfo } from '../cluster/node-info.ts'
import type { Log } from '../telemetry/log.ts'
import { type Lost, LostNodes } from './lost.ts'

const sweepEvery = 500
/** A sweep that comes so late (ms) means that this process was stopped. */
const stoppedAfter = 2_000
const betweenPings = 250

export interface ProberOptions {
  readonly table: MemberTable
  readonly ping: (node: NodeCard) => Promise<number>
  readonly clock: Clock
  readonly log: Log
}

export class Prober {
  readonly #options: ProberOptions
  readonly #probing = new Set<NodeId>()
  readonly #lost = new LostNodes()
  readonly #pings = pLimit(64)
  readonly #stopped = new AbortController()
  #stopSweep = () => {}
  #sweptAt: number

  constructor(options: ProberOptions) {
    this.#options = options
    this.#sweptAt = options.clock.now()
    const { table, clock } = options
    table.onDoubt((id) => void this.#probe(id))
    table.onJoin((info) => this.#lost.found(info))
    table.onLeave((info, reason) => {
      if (reason === 'it left' || info.modes.every((mode) => mode === 'peer')) return
      this.#lost.add(info, clock.now())
    })
  }

  start(): void {
    this.#sweptAt = this.#options.clock.now()
    this.#stopSweep = every(this.#options.clock, sweepEvery, () => this.#sweep())
  }

  close(): void {
    this.#stopSweep()
    this.#stopped.abort()
  }

  #sweep(): void {
    const { table, clock } = this.#options
    const now = clock.now()
    const late = now - this.#sweptAt - sweepEvery
    this.#sweptAt = now
    if (late > stoppedAfter) table.excuse(late)
    for (const id of table.expire(now)) void this.#probe(id)
    for (const entry of this.#lost.due(now)) void this.#lookFor(entry)
  }

  async #probe(id: NodeId): Promise<void> {
    const { table, clock, log } = this.#options
    const info = table.find(id)
    if (!info || this.#probing.has(id) || this.#stopped.signal.aborted) return
    this.#probing.add(id)
    const began = clock.now()
    try {
      if ((await this.#answers(info)) || (await this.#answersAgain(info))) return table.seen(id, clock.now())
      // It may have come back under another epoch meanwhile: that one was not asked.
      if (this.#stopped.signal.aborted || table.find(id)?.epoch !== info.epoch) return
      if (table.spokeSince(id, began)) return
      log.debug('a member does not answer', { node: id, url: info.url })
      table.drop(id, clock.now(), 'it does not answer')
    } finally {
      this.#probing.delete(id)
    }
  }

  async #answersAgain(info: NodeInfo): Promise<boolean> {
    const { clock } = this.#options
    try {
      await pause(clock, betweenPings, this.#stopped.signal)
    } catch {
      return false
    }
    return this.#answers(info)
  }

  async #lookFor(entry: Lost): Promise<void> {
    const { table, clock } = this.#options
    const answered = await this.#answers(entry.info)
    if (answered && this.#lost.has(entry)) table.heard(entry.info, clock.now())
  }

  #answers(info: NodeInfo): Promise<boolean> {
    return this.#pings(() =>
      this.#options.ping(info).then(
        () => true,
        () => false,
      ),
    )
  }
}
