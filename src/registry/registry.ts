/** The OCI distribution API, the part that pulls, in front of {@link Content}. */
import { Hono } from 'hono'
import type { Clock, Random } from '../clock.ts'
import type { Content } from '../content/content.ts'
import type { Log } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { answerBlob } from './blobs.ts'
import { renderFailure } from './errors.ts'
import { type Environment, type Exchange, exchangeOf, type Services, targetOf } from './exchange.ts'
import { answerManifest } from './manifests.ts'
import { answerPassed } from './passed.ts'
import { type PullSummary, PullTracker } from './pulls.ts'
import { kindOfTarget, parseRequest, type RegistryRequest } from './request.ts'

export interface RegistryInit {
  readonly content: Content
  readonly log: Log
  readonly metrics: Metrics
  readonly clock: Clock
  /** For the ids of unexpected errors. */
  readonly random?: Random
  /** A client that takes no byte of a blob for this long is cut, in ms. Default 60 s. */
  readonly idleMs?: number
  /** Default: one that logs each pull. Given by who wants to close it, so that pulls under way are logged too. */
  readonly pulls?: PullTracker
}

export type RegistryApp = Hono<Environment>

export function createRegistry({ random = Math.random, idleMs = 60_000, ...init }: RegistryInit): RegistryApp {
  const { log, metrics, pulls = pullLog(init) } = init
  const services: Services = { ...init, pulls, idleMs }
  const app: RegistryApp = new Hono<Environment>()
  app.all('*', async (c) => {
    const target = targetOf(c)
    const { method } = c.req
    let response: Response
    try {
      response = await answer(exchangeOf(c, target), parseRequest(method, target), services)
    } catch (error) {
      response = renderFailure(error, method, log, random)
    }
    // A blob's headers were written by hand; the response then says only that.
    const outgoing = c.env.outgoing
    const status = outgoing?.headersSent ? outgoing.statusCode : response.status
    const known = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'].includes(method) ? method : 'other'
    metrics.registryRequests.inc({ method: known, kind: kindOfTarget(target), status })
    return response
  })
  return app
}

/** One info line for each image that a client pulled. */
export function pullLog({ clock, log }: Pick<RegistryInit, 'clock' | 'log'>): PullTracker {
  return new PullTracker({ clock, report: (summary) => reportPull(log, summary) })
}

async function answer(exchange: Exchange, request: RegistryRequest, services: Services): Promise<Response> {
  switch (request.kind) {
    case 'base':
      return new Response(exchange.method === 'HEAD' ? null : '{}', {
        headers: {
          'content-type': 'application/json',
          'content-length': '2',
          'docker-distribution-api-version': 'registry/2.0',
        },
      })
    case 'manifest':
      return answerManifest(exchange, request, services)
    case 'blob':
      return answerBlob(exchange, request, services)
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
