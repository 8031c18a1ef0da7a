/**
 * The trace of a pull. Its requests come one by one and say nothing of each other, so those of one client for one
 * repository are a trace, until the image is there or nothing was asked for a while. A client that sends a trace of its
 * own, as some builders do, has its requests in that.
 */
import type { Clock } from '../clock.ts'
import { formatRepository } from '../oci/reference.ts'
import type { Exchange } from '../registry/exchange.ts'
import type { PullSummary, Pulls } from '../registry/pulls.ts'
import type { RegistryRequest } from '../registry/request.ts'
import { type Span, spanned, type Traces } from '../telemetry/traces.ts'

/** Longer than it takes to find out that a pull is over that left layers out. */
const quietMs = 35_000
/** Pulls at once; of more, requests are traces of their own. */
const mostPulls = 256
/** Of one pull. A client that never stops asking, for ever new content, does not end its pull. */
const mostDigests = 4096

interface Pull {
  readonly client: string
  readonly repository: string
  readonly span: Span
  /** Asked for within it. */
  readonly digests: Set<string>
  under: number
  over: boolean
  endedAt: number
  stop: () => void
}

export class PullSpans {
  readonly #traces: Traces
  readonly #clock: Clock
  readonly #pulls = new Map<string, Pull>()

  constructor(traces: Traces, clock: Clock) {
    this.#traces = traces
    this.#clock = clock
  }

  /** A request of an engine, in a span below that of its pull. */
  async request(exchange: Exchange, request: RegistryRequest, work: () => Promise<Response>): Promise<Response> {
    if (request.kind !== 'manifest' && request.kind !== 'blob') return work()
    const { method, client, outgoing } = exchange
    const repository = formatRepository(request.repository)
    const wanted = request.kind === 'blob' ? request.digest : request.reference
    const answer = () => {
      const span = this.#traces.begin(`${method} ${request.kind}`, 'server', { repository, reference: wanted, client })
      return spanned(span, work, (response) => ({
        status: outgoing?.headersSent ? outgoing.statusCode : response.status,
      }))
    }
    const given = exchange.header('traceparent')
    if (given !== undefined) return this.#traces.continued(given, answer)
    const pull = this.#pull(client, repository)
    if (!pull) return this.#traces.continued(undefined, answer)
    pull.digests.add(wanted)
    if (pull.digests.size > mostDigests) pull.digests.delete(pull.digests.values().next().value!)
    this.#enter(pull)
    try {
      return await pull.span.within(answer)
    } finally {
      this.#leave(pull)
    }
  }

  /** The same tracker, with a span for each blob from its first byte to its last, and where it came from. */
  tracked(pulls: Pulls): Pulls {
    return {
      resolved: (told) => pulls.resolved(told),
      manifest: (told) => pulls.manifest(told),
      sending: (client, digest) => {
        const ended = pulls.sending(client, digest)
        const span = this.#traces.begin('send a blob', 'server', { digest })
        const pull = [...this.#pulls.values()].find((each) => each.client === client && each.digests.has(digest))
        if (pull) this.#enter(pull)
        return (bytes) => {
          span.note({ ...bytes })
          span.end()
          ended(bytes)
          if (pull) this.#leave(pull)
        }
      },
    }
  }

  /** An image was pulled, whole or in part. */
  pulled({ client, image, digest, bytes, blobs, sent }: PullSummary): void {
    const of = (repository: string) => image.startsWith(`${repository}:`) || image.startsWith(`${repository}@`)
    const pull = [...this.#pulls.values()].find((each) => each.client === client && of(each.repository))
    if (!pull) return
    pull.span.note({ image, digest, ...bytes, blobs, sent })
    pull.over = true
    if (pull.under === 0) this.#end(pull)
  }

  close(): void {
    for (const pull of this.#pulls.values()) this.#end(pull)
  }

  #pull(client: string, repository: string): Pull | undefined {
    const key = keyOf(client, repository)
    const known = this.#pulls.get(key)
    if (known) return known
    if (this.#pulls.size >= mostPulls) return undefined
    // Whatever else happens while it begins.
    const span = this.#traces.continued(undefined, () => this.#traces.begin('pull', 'server', { repository, client }))
    const pull = { client, repository, span, digests: new Set<string>(), under: 0, over: false, endedAt: 0, stop() {} }
    this.#pulls.set(key, pull)
    return pull
  }

  #enter(pull: Pull): void {
    pull.stop()
    pull.under++
  }

  #leave(pull: Pull): void {
    pull.under--
    pull.endedAt = this.#clock.now()
    if (pull.under > 0) return
    if (pull.over) this.#end(pull)
    else pull.stop = this.#clock.after(quietMs, () => this.#end(pull))
  }

  #end(pull: Pull): void {
    pull.stop()
    // A request that is late finds another pull: this one's span is over.
    if (this.#pulls.get(keyOf(pull.client, pull.repository)) !== pull) return
    this.#pulls.delete(keyOf(pull.client, pull.repository))
    pull.span.end(undefined, pull.under > 0 ? 0 : this.#clock.now() - pull.endedAt)
  }
}

function keyOf(client: string, repository: string): string {
  return `${client} ${repository}`
}
