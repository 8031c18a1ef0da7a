/** What is asked of registries, in spans. */
import { formatRepository } from '../oci/reference.ts'
import type { Location, OpenBody, Source } from '../source/source.ts'
import { type Facts, spanned, type Traces } from '../telemetry/traces.ts'
import type { TransferSpans } from './transfers.ts'

export function tracedSource(to: Source, traces: Traces, transfers: TransferSpans): Source {
  const call = <T>(name: string, facts: Facts, work: () => Promise<T>, of?: (result: T) => Facts) =>
    traces.carried() === undefined ? work() : spanned(traces.begin(name, 'client', facts), work, of)
  async function open(location: Location, start: number, signal?: AbortSignal, end?: number): Promise<OpenBody> {
    if (traces.carried() === undefined) return to.open(location, start, signal, end)
    const { repository, digest } = location
    const facts = { repository: formatRepository(repository), digest, start, ...(end === undefined ? {} : { end }) }
    const span = traces.begin('read from the source', 'client', facts)
    try {
      const opened = await span.within(() => to.open(location, start, signal, end))
      const over = (bytes: number, error?: unknown) => {
        span.note({ bytes })
        span.end(error)
      }
      return { ...opened, body: read(opened.body, over) }
    } catch (error) {
      span.end(error)
      throw error
    }
  }
  return {
    resolve: (repository, tag, signal) =>
      call(
        'resolve at the source',
        { repository: formatRepository(repository), tag },
        () => to.resolve(repository, tag, signal),
        ({ digest, size }) => ({ digest, size }),
      ),
    stat: (location, ...rest) =>
      transfers.within(location.digest, () =>
        call(
          'look at the source',
          { repository: formatRepository(location.repository), digest: location.digest },
          () => to.stat(location, ...rest),
          ({ size }) => ({ size }),
        ),
      ),
    open: (location, ...rest) => transfers.within(location.digest, () => open(location, ...rest)),
    pass: (repository, path, search, accept, signal) => to.pass(repository, path, search, accept, signal),
  }
}

/** The same chunks. Whoever has what it wants stops reading, which is no failure. */
async function* read(body: OpenBody['body'], over: (bytes: number, error?: unknown) => void) {
  let bytes = 0
  let failed: unknown
  try {
    for await (const chunk of body) {
      bytes += chunk.length
      yield chunk
    }
  } catch (error) {
    failed = error
    throw error
  } finally {
    over(bytes, failed)
  }
}
