/** A node in the headers of a request or an answer: where others are to ask it. */
import { type NodeCard, type NodeId, nodeCardSchema } from '../cluster/node-info.ts'
import { headers } from './rules.ts'

export function cardHeaders({ url, zone }: NodeCard): Record<string, string> {
  return { [headers.url]: url, ...(zone !== undefined && { [headers.zone]: encodeURIComponent(zone) }) }
}

/** Undefined where they name none. */
export function cardIn(id: NodeId, said: (name: string) => string | null | undefined): NodeCard | undefined {
  const zone = said(headers.zone)
  try {
    return nodeCardSchema.safeParse({
      ...{ id, url: said(headers.url) },
      ...(zone ? { zone: decodeURIComponent(zone) } : {}),
    }).data
  } catch {
    return undefined
  }
}
