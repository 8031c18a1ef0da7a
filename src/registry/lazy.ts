/**
 * What the mounter of this host asks for beside the registry's API, under the same rights as the layer itself:
 * `/v2/<name>/_shoal/lazy/<layer digest>/index` is all that is needed to mount a layer that is not here, and `.../reads`
 * which of its chunks starts of containers read first.
 */
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { z } from 'zod'
import type { Content } from '../content/content.ts'
import { Failure } from '../failure.ts'
import type { LayerIndexes } from '../lazy/indexes.ts'
import type { LayerReads } from '../lazy/layer-reads.ts'
import type { Mounted } from '../lazy/mounted.ts'
import { mostReads } from '../lazy/reads.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { type Repository, repositoryOfRequest } from '../oci/reference.ts'
import { answerBlob } from './blobs.ts'
import type { Exchange, Services } from './exchange.ts'
import { jsonIn } from './json-in.ts'

/** What a node knows of layers that are mounted before they are here. */
export interface Lazy {
  readonly indexes: Pick<LayerIndexes, 'index'>
  readonly reads: Pick<LayerReads, 'of' | 'add'>
  readonly mounted: Pick<Mounted, 'hear'>
  /** Without regard to who asks. */
  readonly content: Content
}

export interface LazyRequest {
  readonly kind: 'lazy'
  readonly repository: Repository
  readonly layer: Digest
  readonly what: 'index' | 'reads'
}

/** No component of a repository's name begins like that. */
const mark = ['_shoal', 'lazy'] as const
/** Of a list of reads: each is a number of at most ten digits. */
export const mostBodyBytes = 16 * mostReads
const readsSchema = z.array(z.number().int().min(0).max(0xffff_ffff)).max(mostReads)

/** Undefined for a path that is about something else. `segments` are those after `/v2/`. @throws {Failure} */
export function parseLazy(segments: readonly string[], ns: string | undefined): LazyRequest | undefined {
  const [first, second, layer = '', what] = segments.slice(-4)
  if (segments.length < 5 || first !== mark[0] || second !== mark[1]) return undefined
  if (what !== 'index' && what !== 'reads') {
    throw new Failure('no-name', 'there is nothing of a layer but its index and its reads')
  }
  if (!isDigest(layer)) throw new Failure('bad-digest', `"${layer}" is no digest of a layer`)
  return { kind: 'lazy', repository: repositoryOfRequest(segments.slice(0, -4).join('/'), ns), layer, what }
}

export async function answerLazy(exchange: Exchange, request: LazyRequest, services: Services): Promise<Response> {
  const lazy = await admitted(exchange, request, services)
  const { repository, layer, what } = request
  if (what === 'reads') return json(exchange, 200, await lazy.reads.of(layer))
  // Who has found that what it was given is wrong says so.
  const anew = /\bno-cache\b/.test(exchange.header('cache-control') ?? '')
  const found = await lazy.indexes.index({ repository, kind: 'blob', digest: layer }, anew, exchange.signal)
  // Whose the layer is may be known only now.
  await admitted(exchange, request, services)
  if (found.state === 'making') return json(exchange, 202, found, { 'retry-after': '1' })
  const { index, signer } = found.statement
  const headers = { 'shoal-index-digest': index, 'shoal-index-signer': signer }
  for (const [name, value] of Object.entries(headers)) exchange.outgoing?.setHeader(name, value)
  const response = await answerBlob(exchange, { repository, digest: index }, { ...services, content: lazy.content })
  if (response !== RESPONSE_ALREADY_SENT) {
    for (const [name, value] of Object.entries(headers)) response.headers.set(name, value)
  }
  return response
}

export interface Told {
  /** From this host, and through no proxy. */
  readonly local: boolean
  /** A page in a browser sent it. */
  readonly browser: boolean
  readonly body: AsyncIterable<Uint8Array>
}

/** `PUT .../reads`: what one start has read, in its order. @throws {Failure} */
export async function takeReads(
  exchange: Exchange,
  request: LazyRequest,
  told: Told,
  services: Services,
): Promise<Response> {
  if (request.what !== 'reads') throw new Failure('read-only', 'an index is made by seeds: it cannot be written')
  if (!told.local || told.browser) throw new Failure('forbidden', 'what starts read is told from this host only')
  const lazy = await admitted(exchange, request, services)
  await lazy.reads.add(request.layer, await readsIn(told.body))
  return new Response(null, { status: 204 })
}

/** Who may have the layer may know of it. @throws {Failure} */
async function admitted(exchange: Exchange, { repository, layer }: LazyRequest, { lazy, content }: Services) {
  if (!lazy) throw new Failure('unsupported', 'this node has nothing to do with lazy images')
  await content.stat(repository, layer, exchange.signal)
  return lazy
}

async function readsIn(body: AsyncIterable<Uint8Array>): Promise<number[]> {
  const { data } = readsSchema.safeParse(await jsonIn(body, mostBodyBytes, 'a list of reads'))
  if (data) return data
  throw new Failure('bad-request', `expected a JSON list of at most ${mostReads} numbers of chunks`)
}

function json({ method }: Exchange, status: number, value: object, more: Record<string, string> = {}): Response {
  const body = JSON.stringify(value)
  const headers = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)), ...more }
  return new Response(method === 'HEAD' ? null : body, { status, headers })
}
