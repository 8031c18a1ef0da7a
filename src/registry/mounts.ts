/**
 * `PUT /v2/_shoal/mounts`: the mounter of this host says what it has mounted, so that it is seen where its node is looked
 * at. It is root's; what anybody else on the host says of mounts is not believed.
 */
import { Failure } from '../failure.ts'
import { mostToldBytes, toldSchema } from '../lazy/mounted.ts'
import { isTrusted } from './clients.ts'
import type { Exchange } from './exchange.ts'
import { jsonIn } from './json-in.ts'
import type { Lazy, Told } from './lazy.ts'

/** No name of a repository begins like that. */
export const mountsPath = '/v2/_shoal/mounts'

/** @param names of this host @throws {Failure} */
export async function takeMounts(
  exchange: Exchange,
  told: Told,
  lazy: Pick<Lazy, 'mounted'>,
  names: readonly string[],
): Promise<Response> {
  if (!told.local || told.browser || !(await isTrusted(exchange, names))) {
    throw new Failure('forbidden', 'what is mounted is told by root of this host, or by the user of this node')
  }
  const parsed = toldSchema.safeParse(await jsonIn(told.body, mostToldBytes, 'a list of mounts'))
  if (parsed.success) {
    lazy.mounted.hear(parsed.data)
    return new Response(null, { status: 204 })
  }
  const [issue] = parsed.error.issues
  throw new Failure('bad-request', `this is no list of mounts: ${issue?.path.join('.')}: ${issue?.message}`)
}
