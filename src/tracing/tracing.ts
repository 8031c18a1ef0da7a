/** The parts of a node, wrapped so that what they do for a pull is told as spans. */
import type { Clock } from '../clock.ts'
import type { Source } from '../source/source.ts'
import type { Transfer } from '../swarm/transfer.ts'
import type { Traces } from '../telemetry/traces.ts'
import type { Inbound, Outbound } from '../wire/wire.ts'
import { PullSpans } from './pulls.ts'
import { tracedSource } from './source.ts'
import { tracedTransfer } from './transfers.ts'
import { tracedInbound, tracedOutbound, tracedSchedule } from './wire.ts'

export class Tracing {
  readonly traces: Traces
  readonly pulls: PullSpans
  readonly #clock: Clock

  constructor(traces: Traces, clock: Clock) {
    this.traces = traces
    this.pulls = new PullSpans(traces, clock)
    this.#clock = clock
  }

  outbound(to: Outbound): Outbound {
    return tracedOutbound(to, this.traces, this.#clock)
  }
  inbound(to: Inbound): Inbound {
    return tracedInbound(to, this.traces, this.#clock)
  }
  source(to: Source): Source {
    return tracedSource(to, this.traces)
  }
  schedule(decide: Inbound['schedule']): Inbound['schedule'] {
    return tracedSchedule(decide, this.traces)
  }
  transfer(location: Transfer['location'], begin: () => Transfer): Transfer {
    return tracedTransfer(location, begin, this.traces)
  }

  /** Pulls that are under way are told of as far as they came. */
  async close(): Promise<void> {
    this.pulls.close()
    await this.traces.close()
  }
}
