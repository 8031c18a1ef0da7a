/**
 * A blob on its way to this node, from the first request for it to its last piece, in a span, which is in the trace of
 * who asked first. What a transfer does it does because of a timer, or because a node told something: that belongs to
 * the blob, and not to whatever had that timer set, or that connection opened.
 */
import type { Digest } from '../oci/digest.ts'
import { formatRepository } from '../oci/reference.ts'
import type { Location } from '../source/source.ts'
import type { Transfer } from '../swarm/transfer.ts'
import type { Span, Traces } from '../telemetry/traces.ts'

export class TransferSpans {
  readonly #traces: Traces
  readonly #spans = new Map<Digest, Span>()

  constructor(traces: Traces) {
    this.#traces = traces
  }

  /** @param begin makes the transfer, and starts it */
  bring({ digest, repository }: Location, begin: () => Transfer): Transfer {
    if (this.#traces.carried() === undefined) return begin()
    const span = this.#traces.begin('bring a blob', 'internal', { digest, repository: formatRepository(repository) })
    this.#spans.set(digest, span)
    const transfer = span.within(begin)
    const over = (error?: unknown) => {
      if (this.#spans.get(digest) === span) this.#spans.delete(digest)
      span.note({ size: transfer.blob?.size, swarm: transfer.bytes.swarm, source: transfer.bytes.source })
      span.end(error)
    }
    transfer.finished.then(() => over(), over)
    return transfer
  }

  /** Runs `work` as part of what brings the blob; where it is when nothing that is traced does. */
  within<T>(digest: Digest, work: () => T): T {
    const span = this.#spans.get(digest)
    return span ? span.within(work) : work()
  }
}
