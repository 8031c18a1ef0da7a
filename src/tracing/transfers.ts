/** A blob on its way to this node, from the first request for it to its last piece, in a span. */
import { formatRepository } from '../oci/reference.ts'
import type { Location } from '../source/source.ts'
import type { Transfer } from '../swarm/transfer.ts'
import type { Traces } from '../telemetry/traces.ts'

/**
 * Who asks for a blob first has its transfer in its trace, and all that it does: the others find out there is one.
 * @param begin makes the transfer, and starts it
 */
export function tracedTransfer({ digest, repository }: Location, begin: () => Transfer, traces: Traces): Transfer {
  if (traces.carried() === undefined) return begin()
  const span = traces.begin('bring a blob', 'internal', { digest, repository: formatRepository(repository) })
  const transfer = span.within(begin)
  const over = (error?: unknown) => {
    span.note({ size: transfer.blob?.size, swarm: transfer.bytes.swarm, source: transfer.bytes.source })
    span.end(error)
  }
  transfer.finished.then(() => over(), over)
  return transfer
}
