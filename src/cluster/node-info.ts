/** What nodes tell each other about themselves. */
import { z } from 'zod'

export const modes = ['peer', 'seed', 'scheduler'] as const
export type Mode = (typeof modes)[number]

/** A node's libp2p peer id in text form; names its Ed25519 public key. */
export type NodeId = string

const nodeIdPattern = /^[1-9A-HJ-NP-Za-km-z]{40,80}$/
export const nodeIdSchema = z.string().regex(nodeIdPattern)

export function isNodeId(value: unknown): value is NodeId {
  return typeof value === 'string' && nodeIdPattern.test(value)
}

export const nodeInfoSchema = z.object({
  id: nodeIdSchema,
  /** Base of the node's peer port, `http://10.0.0.7:4881`. */
  url: z.url({ protocol: /^https?$/ }).max(256),
  /** libp2p multiaddrs, without the peer id. */
  p2p: z.array(z.string().max(256)).max(8),
  modes: z.array(z.enum(modes)).max(3),
  /** `region/zone/rack` */
  zone: z.string().max(128).optional(),
  version: z.string().max(64),
  /** Changes with every start of the process: who sees a new one sends its full state again. */
  epoch: z.string().max(64),
})
export type NodeInfo = z.infer<typeof nodeInfoSchema>

/** As much of a node as it takes to fetch pieces from it. */
export const nodeCardSchema = nodeInfoSchema.pick({ id: true, url: true, zone: true })
export type NodeCard = z.infer<typeof nodeCardSchema>
