/** What `shoal get` asks for beside the registry's API. */
import type { Repository } from '../oci/reference.ts'
import type { Exchange, Services } from './exchange.ts'

/** `GET /shoal/file?url=<URL>`: which digest and size a file has now. The file itself is a blob, by that digest. */
export async function answerFile(
  exchange: Exchange,
  repository: Repository,
  { content }: Pick<Services, 'content'>,
): Promise<Response> {
  const { digest, size } = await content.latest(repository, exchange.signal)
  return json(exchange, { digest, size })
}

/** `GET /shoal/download?id=<id>`: where the bytes of it came from so far. */
export function answerShares(exchange: Exchange, id: string, { shares }: Pick<Services, 'shares'>): Response {
  return json(exchange, shares.of(id))
}

function json({ method }: Exchange, value: object): Response {
  const body = JSON.stringify(value)
  const headers = { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }
  return new Response(method === 'HEAD' ? null : body, { headers })
}
