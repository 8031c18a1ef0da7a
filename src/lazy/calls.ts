/** What nodes ask seeds about layers: their indexes, and what of them starts of containers read first. */
import { z } from 'zod'
import { type NodeId, nodeIdSchema } from '../cluster/node-info.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository } from '../oci/reference.ts'
import { digestSchema as digest } from '../oci/schemas.ts'
import { mostBlobBytes } from '../piece/layout.ts'
import type { Call } from '../wire/calls.ts'
import { mostPrivate, repositorySchema } from '../wire/messages.ts'
import { mostReads } from './reads.ts'
import { type IndexStatement, mostIndexBytes } from './statement.ts'

const bytes = z
  .number()
  .int()
  .min(0)
  .max(2 * mostBlobBytes)
const reason = z.string().max(512)

const signature = z
  .string()
  .max(128)
  .regex(/^[A-Za-z0-9+/]+={0,2}$/)

const made = z.object({
  state: z.literal('made'),
  diffId: digest,
  index: digest,
  size: z.number().int().min(1).max(mostIndexBytes),
  signer: nodeIdSchema,
  signature,
})

/** Of all whom a node has banned, so many. */
export const mostNot = 16

/** With the private repositories that have the layer: who fetches its index alone is told of them nowhere else. */
const madeOfWhom = made.extend({ private: z.array(repositorySchema).max(mostPrivate).exactOptional() })

export type IndexReply =
  | z.infer<typeof madeOfWhom>
  /** Bytes that were gone through, of those that have to be: the layer comes, and is read. */
  | { readonly state: 'making'; readonly done: number; readonly total: number }
  /** `final`: nobody can; else this seed does not, and another one may. */
  | { readonly state: 'cannot'; readonly reason: string; readonly final: boolean }
  | { readonly state: 'none' }

export interface IndexAsked {
  readonly repository: Repository
  readonly layer: Digest
  /** False: what is not there is not to be made. */
  readonly make: boolean
  /** What these have signed is not believed by who asks. */
  readonly not?: readonly NodeId[]
}

export const indexCall: Call<IndexAsked, IndexReply> = {
  name: 'layer-index',
  request: z.object({
    repository: repositorySchema,
    layer: digest,
    make: z.boolean(),
    not: z.array(nodeIdSchema).max(mostNot).exactOptional(),
  }),
  reply: z.discriminatedUnion('state', [
    madeOfWhom,
    z.object({ state: z.literal('making'), done: bytes, total: bytes }),
    z.object({ state: z.literal('cannot'), reason, final: z.boolean() }),
    z.object({ state: z.literal('none') }),
  ]),
}

/** Somebody who does not own it has made it: who does then knows where to have it from. */
export const madeCall: Call<{ repository: Repository; layer: Digest } & z.infer<typeof made>, object> = {
  name: 'layer-index-made',
  request: made.extend({ repository: repositorySchema, layer: digest }),
  reply: z.object({}),
}

const reads = z.array(z.number().int().min(0).max(0xffff_ffff)).max(mostReads)

/** `start`: what one more start has read; without it, nothing is told. */
export const readsCall: Call<{ layer: Digest; start?: number[] }, { reads: number[] }> = {
  name: 'layer-reads',
  request: z.object({ layer: digest, start: reads.exactOptional() }),
  reply: z.object({ reads }),
}

export function replyOf({ diffId, index, size, signer, signature }: IndexStatement): z.infer<typeof made> {
  return { state: 'made', diffId, index, size, signer, signature: Buffer.from(signature).toString('base64') }
}

export function statementOf(layer: Digest, { diffId, index, size, signer, signature }: z.infer<typeof made>) {
  return { layer, diffId, index, size, signer, signature: new Uint8Array(Buffer.from(signature, 'base64')) }
}
