/** `GET|HEAD /v2/<name>/blobs/<digest>`, whole or in ranges. */
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { BlobReader, Provenance } from '../content/content.ts'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import { parseRanges, type RangeSpec, resolveRanges } from '../oci/range.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import type { Span } from '../store/blob-store.ts'
import { type BodyPlan, bytesOf, planBody, safeType } from './body.ts'
import { contentHeaders, type Exchange, matchesEtag, type Services } from './exchange.ts'
import { fileBytes, pump, streamOf } from './pump.ts'

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
  const { content, clock, metrics } = services
  const { outgoing, signal } = exchange
  const startedAt = clock.now()
  const specs = rangesOf(exchange, request.digest)
  const reader = await content.open(request.repository, request.digest, hintOf(specs), signal)
  let sent = 0
  let plan: BodyPlan
  let body: AsyncGenerator<Uint8Array, void>
  let first: IteratorResult<Uint8Array, void>
  try {
    plan = planBody(reader, resolveRanges(specs, reader.size))
    const { file } = reader
    const read = (span: Span) => (file === undefined ? reader.read(span, signal) : fileBytes(file, span, signal))
    body = bytesOf(plan, read, (bytes) => {
      sent += bytes
    })
    first = await body.next()
  } catch (error) {
    reader.close()
    throw error
  }
  metrics.firstByteSeconds.observe((clock.now() - startedAt) / 1000)
  const ended = services.pulls.sending(exchange.client, request.digest)
  const done = (error?: unknown) => {
    const bytes = apportion(sent, reader)
    reader.close()
    ended(bytes)
    report(exchange, request, services, {
      bytes,
      status: plan.status,
      seconds: (clock.now() - startedAt) / 1000,
      error,
    })
  }
  const headers = {
    ...contentHeaders(request.digest),
    'accept-ranges': 'bytes',
    'content-type': plan.contentType,
    'content-length': String(plan.length),
    ...(plan.contentRange ? { 'content-range': plan.contentRange } : {}),
  }
  if (!outgoing) return new Response(streamOf(first, body, done), { status: plan.status, headers })
  outgoing.writeHead(plan.status, headers)
  pump(first, body, outgoing, services).then(() => done(), done)
  return RESPONSE_ALREADY_SENT
}

/** If-Range, RFC 9110 section 13.1.5: strong comparison; without a match the whole blob is meant. */
function rangesOf(exchange: Exchange, digest: Digest): readonly RangeSpec[] | undefined {
  const condition = exchange.header('if-range')?.trim()
  if (condition !== undefined && condition !== `"${digest}"`) return undefined
  return parseRanges(exchange.header('range'))
}

/** What the client reads first, as far as it can be told before the size is known. */
function hintOf(specs: readonly RangeSpec[] | undefined): Partial<Span> | undefined {
  const spec = specs?.[0]
  if (!spec || 'suffix' in spec) return undefined
  return { start: spec.first, ...(spec.last === undefined ? {} : { end: spec.last + 1 }) }
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
    log.debug('blob sent', fields)
    return
  }
  const failure = Failure.from(error)
  if (failure.code === 'cancelled' || exchange.signal.aborted) {
    log.debug('blob transfer ended by the client', { ...fields, reason: failure.message })
  } else {
    log.warn('blob transfer broken off: the engine will try again', { ...fields, reason: failure.message })
  }
}
