/** The OCI distribution API, the part that pulls, in front of {@link Content}. */
import { type Context, Hono } from 'hono'
import type { Clock, Random } from '../clock.ts'
import type { Content } from '../content/content.ts'
import { Failure, type FailureCode } from '../failure.ts'
import type { Visitor } from '../rights/visitor.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { answerBlob } from './blobs.ts'
import { isLocal, refusePage, visitorAt } from './clients.ts'
import { challenge, renderFailure } from './errors.ts'
import { bodyOf, type Environment, type Exchange, exchangeOf, type Own, type Services } from './exchange.ts'
import { Sending } from './file-bytes.ts'
import { answerFile, answerShares } from './files.ts'
import { answerLazy, type Lazy, type LazyRequest, parseLazy, takeReads } from './lazy.ts'
import { answerManifest } from './manifests.ts'
import { mountsPath, takeMounts } from './mounts.ts'
import { answerCatalog, answerPassed } from './passed.ts'
import { type PullSummary, type Pulls, PullTracker } from './pulls.ts'
import { kindOfTarget, parseRequest, type RegistryRequest, split } from './request.ts'
import { Shares } from './shares.ts'
import { answerToken, refuseWrongPassword, sendForToken, Tokens } from './tokens.ts'
import { parseWrite } from './write-request.ts'
import { answerWrite, type Written } from './writes.ts'

export interface RegistryInit {
  /** What clients get: for each what it may have, or the same for all. */
  readonly content: Content | ((visitor: Visitor) => Content)
  /** Of this host, beside its addresses and `localhost`. Who asks by any other may be a web page. */
  readonly names?: readonly string[]
  readonly log: Log
  readonly metrics: Metrics
  readonly clock: Clock
  /** Absent: this node keeps none. */
  readonly own?: Own | undefined
  /** Absent where nothing is mounted before it is here. */
  readonly lazy?: Lazy | undefined
  /** For the ids of unexpected errors. */
  readonly random?: Random
  /** Default: one that logs each pull. Given by who wants to close it, so that pulls under way are logged too. */
  readonly pulls?: Pulls
  /** Answers a request, by `work`, in a span. */
  readonly traced?: (exchange: Exchange, request: RegistryRequest, work: () => Promise<Response>) => Promise<Response>
}

/** What others before us put in logs and metrics when nobody is left to read the answer. */
const clientLeft = 499

export type RegistryApp = Hono<Environment>

export function createRegistry({ random = Math.random, ...init }: RegistryInit): RegistryApp {
  const { log, metrics, pulls = pullLog(init) } = init
  const { content, traced, names = [] } = init
  const contentFor = (exchange: Exchange) =>
    typeof content === 'function'
      ? content(visitorAt(exchange, { tokens, users: init.own?.pushing?.users, names }))
      : content
  const sending = new Sending()
  const tokens = new Tokens(init.clock)
  const shares = new Shares()
  const servicesFor = (exchange: Exchange): Services => ({
    ...{ ...init, pulls, sending, tokens, shares },
    content: contentFor(exchange),
  })
  /** Undefined for a request that reads, or that this node cannot write. */
  const written = async (c: Context<Environment>, exchange: Exchange) => {
    if (init.lazy && c.req.method === 'PUT' && exchange.target === mountsPath) {
      return takeMounts(exchange, writtenOf(c, exchange, tokens), init.lazy, names)
    }
    const lazy = init.lazy && c.req.method === 'PUT' ? lazyOf(exchange) : undefined
    if (lazy) return takeReads(exchange, lazy, writtenOf(c, exchange, tokens), servicesFor(exchange))
    const pushing = init.own?.pushing
    const request = pushing && parseWrite(c.req.method, exchange.target)
    return request && answerWrite(writtenOf(c, exchange, tokens), request, pushing, init.clock)
  }
  const read = async (exchange: Exchange, method: string) => {
    const request = parseRequest(method, exchange.target, init.own !== undefined)
    const work = () => answer(exchange, request, servicesFor(exchange))
    return traced ? traced(exchange, request, work) : work()
  }
  const app: RegistryApp = new Hono<Environment>()
  app.all('*', async (c) => {
    const { method } = c.req
    const exchange = exchangeOf(c)
    const { target, outgoing } = exchange
    const kind = kindOfTarget(target)
    let response: Response
    let status: number
    try {
      refusePage(exchange, names)
      response = (await written(c, exchange)) ?? (await read(exchange, method))
      // A blob's status was written by hand.
      status = outgoing?.headersSent ? outgoing.statusCode : response.status
    } catch (error) {
      const left = exchange.signal.aborted
      const failure = left ? new Failure('cancelled', 'the client closed the connection') : Failure.from(error)
      response = renderFailure(failure, { method, kind }, log, random)
      status = left ? clientLeft : response.status
      if (!left && forEngine.includes(failure.code)) metrics.notServed.inc({ code: failure.code })
      reportRefusal(log, exchange, method, status, failure)
    }
    const known = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(method) ? method : 'other'
    metrics.registryRequests.inc({ method: known, kind, status })
    return response
  })
  return app
}

/** One info line for each image that a client pulled. */
export function pullLog(
  { clock, log, metrics }: Pick<RegistryInit, 'clock' | 'log' | 'metrics'>,
  pulled: (summary: PullSummary) => void = () => {},
): PullTracker {
  return new PullTracker({
    clock,
    report: (summary) => {
      metrics.pulls.inc({ result: summary.sent === summary.blobs ? 'whole' : 'part' })
      reportPull(log, summary)
      pulled(summary)
    },
  })
}

function writtenOf(c: Context<Environment>, exchange: Exchange, tokens: Tokens): Written {
  const { target, header } = exchange
  return {
    target,
    header,
    authorization: tokens.meant(header('authorization')),
    local: isLocal(exchange),
    browser: header('origin') !== undefined,
    body: bodyOf(c),
  }
}

/** Undefined for what is not about lazy images. @throws {Failure} */
function lazyOf({ target }: Exchange): LazyRequest | undefined {
  const [path, query] = split(target)
  return parseLazy(path.slice('/v2/'.length).split('/'), new URLSearchParams(query).get('ns') ?? undefined)
}

async function answer(exchange: Exchange, request: RegistryRequest, services: Services): Promise<Response> {
  switch (request.kind) {
    case 'catalog':
      return answerCatalog(exchange, request, services)
    case 'token':
      return answerToken(exchange, services)
    case 'base':
      await refuseWrongPassword(exchange, services)
      return (
        sendForToken(exchange, services.own?.pushing?.users !== undefined) ??
        new Response(exchange.method === 'HEAD' ? null : '{}', {
          headers: {
            'content-type': 'application/json',
            'content-length': '2',
            'docker-distribution-api-version': 'registry/2.0',
            // RFC 9110 section 11.6.1: credentials are not needed, but may make a difference.
            'www-authenticate': challenge,
          },
        })
      )
    case 'manifest':
      return answerManifest(exchange, request, services)
    case 'blob':
      return answerBlob(exchange, request, services)
    case 'lazy':
      return answerLazy(exchange, request, services)
    case 'download':
      return answerShares(exchange, request.id, services)
    case 'file':
      return answerFile(exchange, request.repository, services)
    case 'tags':
    case 'referrers':
      return answerPassed(exchange, request, services)
  }
}

function reportPull(log: Log, { image, digest, client, bytes, blobs, sent, milliseconds }: PullSummary): void {
  const seconds = Math.round(milliseconds) / 1000
  const message = sent === blobs ? 'image pulled' : 'image pulled in part: the engine had the rest, or gave up'
  log.info(message, { image, digest, client, ...bytes, blobs, sent, seconds })
}

/** What an operator can do something about: the engine went on without this node because of it. */
const worthWarning: readonly FailureCode[] = ['unavailable', 'denied', 'too-many', 'corrupt', 'no-space', 'no-disk']

/** Unlike a wrong request or a name that does not exist anywhere, these are what this node failed at. */
const forEngine: readonly FailureCode[] = [...worthWarning, 'internal']

function reportRefusal(log: Log, { target, client }: Exchange, method: string, status: number, failure: Failure): void {
  // An unexpected error has been logged with its id.
  if (failure.code === 'internal') return
  const fields = { method, target: target.slice(0, 256), client, status, code: failure.code, reason: failure.message }
  if (failure.code === 'try-later') return log.warn('a push could not be taken; its client may try again', fields)
  if (status !== clientLeft && worthWarning.includes(failure.code)) {
    log.warn('not served: the engine goes to the registry by itself', fields)
  } else if (failure.code === 'unauthorized') {
    log.info('not served to a client that showed no credentials', fields)
  } else {
    log.debug('not served', fields)
  }
}
