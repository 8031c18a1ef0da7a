/** Whether the cluster has an index of a layer, as the node of this host says. */
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { parseJson } from '../json.ts'
import { shortDigest } from '../oci/digest.ts'
import { repositoryOfRequest } from '../oci/reference.ts'
import type { Layer } from './catalog.ts'

export type IndexState = { readonly is: 'here' | 'making' } | { readonly is: 'none'; readonly why: string }

const askMs = 10_000
const mostText = 64 * 1024

const errorSchema = z.object({ errors: z.array(z.object({ message: z.string().max(1000) })).min(1) })

/** Asking has one made where there is none yet. `node`: origin of its registry port. @throws {Failure} */
export async function indexState(node: string, { repository, digest }: Layer): Promise<IndexState> {
  const { registry, name } = repositoryOfRequest(repository, undefined)
  const url = `${node}/v2/${name}/_shoal/lazy/${digest}/index?ns=${encodeURIComponent(registry)}`
  let answer: Response
  try {
    // Of its bytes one is enough.
    const headers = { range: 'bytes=0-0', 'accept-encoding': 'identity' }
    answer = await fetch(url, { headers, redirect: 'error', proxy: false, signal: AbortSignal.timeout(askMs) })
  } catch (error) {
    throw new Failure('unavailable', `no node answers at ${node}; see that one runs on this host: shoal status`, {
      cause: error,
    })
  }
  const { status } = answer
  if (status === 202) {
    await answer.body?.cancel()
    return { is: 'making' }
  }
  if (answer.ok) {
    await answer.body?.cancel()
    return { is: 'here' }
  }
  const text = (await answer.text()).slice(0, mostText)
  return { is: 'none', why: messageIn(text) ?? `the node has no index of ${shortDigest(digest)} (status ${status})` }
}

function messageIn(text: string): string | undefined {
  try {
    return errorSchema.parse(parseJson(text)).errors[0]?.message
  } catch {
    return undefined
  }
}
