/** `GET|HEAD /v2/<name>/blobs/<digest>`, whole or in ranges. */
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { type BlobReader, type Prefetch, type Provenance, prefetches, type Wanted } from '../content/content.ts'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import { parseRanges, type RangeSpec, resolveRanges } from '../oci/range.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import type { Span } from '../store/blob-store.ts'
import { type BodyPlan, bytesOf, planBody, safeType } from './body.ts'
import { contentHeaders, type Exchange, matchesEtag, type Services } from './exchange.ts'
import { type Sending, wholeBytes } from './file-bytes.ts'
import { pump, streamOf } from './pump.ts'
import { downloadHeader } from './shares.ts'

/** `none`, `following` or `whole`: what is fetched beside the range that a client asks for. */
export const prefetchHeader = 'shoal-prefetch'

export interface BlobRequest {
  readonly repository: Repository
  readonly digest: Digest
}

export async function answerBlob(exchange: Exchange, request: BlobRequest, services: Services): Promise<Response> {
  const { repository, digest } = request
  const unchanged = matchesEtag(exchange.header('if-none-match'), digest)
  if (exchange.method === 'HEAD' || unchanged) {
    const stat = await services.content.stat(repository, digest, exchange.signal)
    const headers = new Headers({ ...contentHeaders(digest), 'accept-ranges': 'bytes' })
    if (unchanged) return new Response(null, { status: 304, headers })
    headers.set('content-type', safeType(stat.mediaType))
    headers.set('content-length', String(stat.size))
    return new Response(null, { headers })
  }
  return sendBlob(exchange, request, services)
}

/**
 * Headers go out when the first bytes are here, not when the size is known: until then a failure is still a clean
 * answer, and a 404 sends the engine to the registry by itself.
 */
async function sendBlob(exchange: Exchange, request: BlobRequest, services: Services): Promise<Response> {
  const { content, clock, metrics, pulls } = services
  const startedAt = clock.now()
  const seconds = () => (clock.now() - startedAt) / 1000
  const specs = rangesOf(exchange, request.digest)
  const wanted = wantedOf(specs, {
    prefetch: prefetchOf(exchange.header(prefetchHeader)),
    patient: isBackground(exchange.header('priority')),
  })
  const ended = pulls.sending(exchange.client, request.digest)
  let opened: BlobReader | undefined
  try {
    const reader = await content.open(request.repository, request.digest, wanted, exchange.signal)
    opened = reader
    const flow = await begin(reader, specs, exchange.signal, services.sending)
    metrics.firstByteSeconds.observe(seconds())
    const sent = () => apportion(flow.sent(), reader)
    const told = services.shares.sending(exchange.header(downloadHeader), sent)
    return deliver(exchange, request.digest, flow, (error) => {
      const bytes = sent()
      told()
      reader.close()
      ended(bytes)
      report(exchange, request, services, { bytes, status: flow.plan.status, seconds: seconds(), error })
    })
  } catch (error) {
    opened?.close()
    ended({ store: 0, swarm: 0, source: 0 })
    throw error
  }
}

/** A body whose first bytes are here and of which nothing has gone out. */
interface Flow {
  readonly plan: BodyPlan
  readonly first: IteratorResult<Uint8Array, void>
  readonly rest: AsyncIterator<Uint8Array, void>
  /** Bytes of the blob that were given so far. */
  sent(): number
}

async function begin(
  reader: BlobReader,
  specs: readonly RangeSpec[] | undefined,
  signal: AbortSignal,
  sending: Sending,
): Promise<Flow> {
  const { file } = reader
  const plan = planBody(reader, resolveRanges(specs, reader.size))
  const read = (span: Span) => (file ? wholeBytes(file, reader, span, signal, sending) : reader.read(span, signal))
  if (plan.parts.length > 1) reader.expect?.(plan.parts.map(({ span }) => span))
  let sent = 0
  const rest = bytesOf(plan, read, (bytes) => {
    sent += bytes
  })
  return { plan, first: await rest.next(), rest, sent: () => sent }
}

function deliver(
  { outgoing }: Exchange,
  digest: Digest,
  { plan, first, rest }: Flow,
  done: (error?: unknown) => void,
): Response {
  const headers = {
    ...contentHeaders(digest),
    'accept-ranges': 'bytes',
    'content-type': plan.contentType,
    'content-length': String(plan.length),
    ...(plan.contentRange ? { 'content-range': plan.contentRange } : {}),
  }
  if (!outgoing) return new Response(streamOf(first, rest, done), { status: plan.status, headers })
  outgoing.writeHead(plan.status, headers)
  pump(first, rest, outgoing).then(() => done(), done)
  return RESPONSE_ALREADY_SENT
}

/** If-Range, RFC 9110 section 13.1.5: strong comparison; without a match the whole blob is meant. */
function rangesOf(exchange: Exchange, digest: Digest): readonly RangeSpec[] | undefined {
  const condition = exchange.header('if-range')?.trim()
  if (condition !== undefined && condition !== `"${digest}"`) return undefined
  return parseRanges(exchange.header('range'))
}

/** What else of the blob is to be fetched than what this request asks for. @throws {Failure} `bad-request` */
function prefetchOf(header: string | undefined): Prefetch | undefined {
  const text = header?.trim()
  const known = prefetches.find((each) => each === text)
  if (known !== undefined || text === undefined) return known
  throw new Failure('bad-request', `${prefetchHeader}: ${text.slice(0, 40)}: expected one of ${prefetches.join(', ')}`)
}

/** Urgency 7 of RFC 9218, section 4.1: background tasks. Whatever else the header says makes no difference here. */
function isBackground(priority: string | undefined): boolean {
  return /(?:^|,)[ \t]*u=7[ \t]*(?:,|$)/.test(priority ?? '')
}

/**
 * What the client reads first, as far as it can be told before the size is known. Engines ask for all from some byte on;
 * who names an end wants that part.
 */
function wantedOf(
  specs: readonly RangeSpec[] | undefined,
  { prefetch, patient }: { prefetch: Prefetch | undefined; patient: boolean },
): Wanted | undefined {
  const [spec, ...others] = specs ?? []
  const asked = { ...(prefetch ? { prefetch } : {}), ...(patient ? { patient } : {}) }
  if (!spec) return prefetch === undefined ? undefined : asked
  if ('suffix' in spec || others.length > 0) return { ...asked, part: true }
  if (spec.last === undefined) return { ...asked, start: spec.first }
  return { ...asked, start: spec.first, end: spec.last + 1, part: true }
}

/** Splits what was sent by where it came from: pieces are fetched whole, so more may have come than went out. */
function apportion(sent: number, reader: BlobReader): Provenance {
  const fetched = reader.provenance()
  const swarm = Math.min(sent, fetched.swarm)
  const source = Math.min(sent - swarm, fetched.source)
  return { store: sent - swarm - source, swarm, source }
}

interface Outcome {
  readonly bytes: Provenance
  readonly status: number
  readonly seconds: number
  readonly error: unknown
}

function report(exchange: Exchange, { repository, digest }: BlobRequest, services: Services, outcome: Outcome): void {
  const { log, metrics } = services
  const { bytes, status, seconds, error } = outcome
  for (const from of ['store', 'swarm', 'source'] as const) {
    if (bytes[from] > 0) metrics.registrySentBytes.inc({ from }, bytes[from])
  }
  const fields = {
    repository: formatRepository(repository),
    digest,
    client: exchange.client,
    status,
    ...bytes,
    seconds,
  }
  if (error === undefined) {
    metrics.blobSeconds.observe(seconds)
    metrics.blobSends.inc({ result: 'done' })
    log.debug('blob sent', fields)
    return
  }
  const failure = Failure.from(error)
  if (failure.code === 'cancelled' || exchange.signal.aborted) {
    metrics.blobSends.inc({ result: 'left' })
    log.debug('blob transfer ended by the client', { ...fields, reason: failure.message })
  } else {
    metrics.blobSends.inc({ result: 'broken' })
    log.warn('blob transfer broken off: the engine will try again', { ...fields, reason: failure.message })
  }
}
