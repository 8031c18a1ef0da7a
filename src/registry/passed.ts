/** `tags/list` and `referrers/<digest>`: asked of the source as they are, for a mirror cannot know them. */
import { Failure } from '../failure.ts'
import type { Passed } from '../source/source.ts'
import { safeType } from './body.ts'
import type { Exchange, Services } from './exchange.ts'
import type { PassedRequest } from './request.ts'

/** What else of the source's answer concerns the client. */
const keptHeaders = ['oci-filters-applied', 'retry-after', 'content-encoding']

export async function answerPassed(exchange: Exchange, request: PassedRequest, { content }: Services) {
  const { repository, path, search } = request
  const accept = exchange.header('accept')
  return rendered(exchange, await content.pass(repository, path, search, accept, exchange.signal))
}

/** `GET /v2/_catalog`: repositories of the cluster's own. */
export async function answerCatalog(exchange: Exchange, { search }: { search: string }, { own }: Services) {
  if (!own) throw new Failure('unsupported', 'a mirror has no catalogue: ask the registry itself')
  return rendered(exchange, await own.catalog(search))
}

function rendered(exchange: Exchange, answer: Passed): Response {
  const headers = new Headers({
    'docker-distribution-api-version': 'registry/2.0',
    'content-type': safeType(answer.headers.get('content-type') ?? 'application/json'),
    'content-length': String(answer.body.length),
  })
  for (const name of keptHeaders) {
    const value = answer.headers.get(name)
    if (value !== null) headers.set(name, value)
  }
  const link = nextPage(answer.headers.get('link'), exchange.target)
  if (link !== undefined) headers.set('link', link)
  const body = exchange.method === 'HEAD' ? null : new Uint8Array(answer.body)
  return new Response(body, { status: answer.status, headers })
}

/**
 * The source's link to the next page, pointed at this mirror: the same path and `ns` as the request came with, and the
 * source's own query, which is where the page is named. `undefined` if it is not such a link.
 */
export function nextPage(link: string | null, target: string): string | undefined {
  const search = /^\s*<[^<>?]*\?([^<>#]*)>\s*;\s*rel="?next"?\s*$/.exec(link ?? '')?.[1]
  if (search === undefined) return undefined
  const [path = '', query] = target.split('?', 2)
  const parameters = new URLSearchParams(search)
  const ns = new URLSearchParams(query).get('ns')
  if (ns !== null) parameters.set('ns', ns)
  return `<${path}?${parameters}>; rel="next"`
}
