/**
 * A transfer's conversation with the scheduler: asks for parents when there is a reason to and from time to time, tells
 * which parents failed, and never asks in a tight loop, however fast parents fail.
 */
import type { Clock } from '../clock.ts'
import type { NodeId } from '../cluster/node-info.ts'
import type { Log } from '../telemetry/log.ts'
import type { Schedule, ScheduleReply } from '../wire/messages.ts'

export interface AskingHost {
  /** Everything of the question but the failures. `undefined` when there is nothing to ask for. */
  question(stalled: boolean): Omit<Schedule, 'failed'> | undefined
  answer(reply: ScheduleReply): void
}

/** Failed parents that the scheduler is told of at a time, and how much is said about each: what its schema takes. */
const mostFailed = 64
const reasonLength = 200
/** Shortest time between two questions, and the longest when the answer did not say, in ms. */
const leastPause = 200
const usualPause = 3000

export class Asking {
  readonly #plan: (request: Schedule) => Promise<ScheduleReply>
  readonly #host: AskingHost
  readonly #clock: Clock
  readonly #log: Log
  #failed: Schedule['failed'] = []
  #asking = false
  /** The next question is that of a node that gets nothing. */
  #stalled = false
  #askedAt = Number.NEGATIVE_INFINITY
  #dueAt = Number.POSITIVE_INFINITY

  constructor(
    plan: (request: Schedule) => Promise<ScheduleReply>,
    host: AskingHost,
    { clock, log }: { clock: Clock; log: Log },
  ) {
    this.#plan = plan
    this.#host = host
    this.#clock = clock
    this.#log = log
  }

  /** That parent is of no use; `refused` is the code of the failure with which it gave the blob up, or is left. */
  failed(node: NodeId, reason: string, refused?: string): void {
    const said = { node, reason: reason.slice(0, reasonLength), ...(refused === undefined ? {} : { refused }) }
    this.#failed = [...this.#failed, said].slice(-mostFailed)
  }

  /** Asks now, or as soon as the last question is long enough ago. */
  ask(stalled = false): void {
    const now = this.#clock.now()
    this.#stalled ||= stalled
    this.#dueAt = Math.min(this.#dueAt, this.#askedAt + leastPause)
    if (!this.#asking && now >= this.#askedAt + leastPause) void this.#now()
  }

  /** To be called every so often: asks when it is time. */
  tick(): void {
    if (!this.#asking && this.#clock.now() >= this.#dueAt) void this.#now()
  }

  async #now(): Promise<void> {
    const question = this.#host.question(this.#stalled)
    this.#stalled = false
    this.#askedAt = this.#clock.now()
    this.#dueAt = this.#askedAt + usualPause
    if (!question) return
    this.#asking = true
    const failed = this.#failed
    this.#failed = []
    try {
      const reply = await this.#plan({ ...question, failed })
      this.#dueAt = this.#clock.now() + Math.max(reply.again, leastPause)
      this.#host.answer(reply)
    } catch (error) {
      this.#log.debug('no plan', { error: (error as Error).message })
    } finally {
      this.#asking = false
      // What failed meanwhile should not wait for the next round.
      if (this.#failed.length > 0) this.#dueAt = this.#askedAt + leastPause
    }
  }
}
