/** What nodes tell each other about themselves. */
import { z } from 'zod'
import { plainText } from '../printable.ts'

export const modes = ['peer', 'seed', 'scheduler'] as const
export type Mode = (typeof modes)[number]

export function isMode(value: unknown): value is Mode {
  return modes.some((mode) => mode === value)
}

/** A node's libp2p peer id in text form; names its Ed25519 public key. */
export type NodeId = string

/** Versions of what nodes say to each other, the lowest and the highest that a node speaks. */
export const protocolsSchema = z
  .object({ from: z.number().int().min(1), to: z.number().int().min(1) })
  .refine(({ from, to }) => from <= to, 'from is greater than to')
export type Protocols = z.infer<typeof protocolsSchema>

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
  /** Those that this release knows: a later one may have more. */
  modes: z
    .array(z.string().max(32))
    .max(16)
    .transform((said) => said.filter(isMode)),
  /** `region/zone/rack` */
  zone: plainText(128).optional(),
  version: plainText(64),
  /** Changes with every start of the process: who sees a new one sends its full state again. */
  epoch: z.string().max(64),
  /** Unsaid by nodes that speak version 1 alone. */
  protocols: protocolsSchema.optional(),
  /** Patterns of the repositories that this node, a seed, keeps for the cluster. */
  homes: z.array(z.string().max(256)).max(64).optional(),
})
export type NodeInfo = z.infer<typeof nodeInfoSchema>

/** Nodes that another one lists. Whom this release cannot make out is left out, and not the whole list. */
export function nodeListSchema(most: number) {
  return z
    .array(z.unknown())
    .max(most)
    .transform((list) => list.flatMap((value) => nodeInfoSchema.safeParse(value).data ?? []))
}

/** As much of a node as it takes to fetch pieces from it. */
export const nodeCardSchema = nodeInfoSchema.pick({ id: true, url: true, zone: true })
export type NodeCard = z.infer<typeof nodeCardSchema>
