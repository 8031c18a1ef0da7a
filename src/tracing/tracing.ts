/** The parts of a node, wrapped so that what they do for a pull is told as spans. */
import type { Clock } from '../clock.ts'
import type { Source } from '../source/source.ts'
import type { Traces } from '../telemetry/traces.ts'
import type { Inbound, Outbound } from '../wire/wire.ts'
import { PullSpans } from './pulls.ts'
import { tracedSource } from './source.ts'
import { TransferSpans } from './transfers.ts'
import { tracedInbound, tracedOutbound, tracedSchedule } from './wire.ts'

export class Tracing {
  readonly traces: Traces
  readonly pulls: PullSpans
  readonly transfers: TransferSpans
  readonly #clock: Clock

  constructor(traces: Traces, clock: Clock) {
    this.traces = traces
    this.pulls = new PullSpans(traces, clock)
    this.transfers = new TransferSpans(traces)
    this.#clock = clock
  }

  outbound(to: Outbound): Outbound {
    return tracedOutbound(to, this.traces, this.transfers, this.#clock)
  }
  inbound(to: Inbound): Inbound {
    return tracedInbound(to, this.traces, this.#clock)
  }
  source(to: Source): Source {
    return tracedSource(to, this.traces, this.transfers)
  }
  schedule(decide: Inbound['schedule']): Inbound['schedule'] {
    return tracedSchedule(decide, this.traces)
  }

  /** Pulls that are under way are told of as far as they came. */
  async close(): Promise<void> {
    this.pulls.close()
    await this.traces.close()
  }
}
