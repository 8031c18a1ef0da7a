/**
 * Who says which blob is the index of a layer. An index cannot be checked by who does not have the layer, so there is
 * somebody who says it: the seed that made it signs, everybody verifies and passes the statement on as it is. Who has the
 * layer whole can make the index again, and then knows whether that one lied; a seed that has found it right signs itself.
 *
 * Keys cost nothing, so a signature counts where its node is known as a seed, and nowhere else, whoever passes it on. A
 * node that does not know the signer (a seed that has left before the node came) has the seed that it asks look for itself.
 */
import { fromString } from 'uint8arrays/from-string'
import type { NodeId } from '../cluster/node-info.ts'
import type { Digest } from '../oci/digest.ts'

export interface IndexFacts {
  /** Of the compressed layer. */
  readonly layer: Digest
  /** Of the unpacked layer. */
  readonly diffId: Digest
  /** The blob that is the index. */
  readonly index: Digest
  /** Bytes of that blob. */
  readonly size: number
}

export interface IndexStatement extends IndexFacts {
  /** Node id whose key signed. */
  readonly signer: NodeId
  readonly signature: Uint8Array
}

interface Signer {
  readonly id: NodeId
  sign(bytes: Uint8Array): Uint8Array
}

/** Larger ones are neither made nor believed. An index has about a hundredth of what its layer has unpacked. */
export const mostIndexBytes = 1024 * 1024 * 1024

export function state({ layer, diffId, index, size }: IndexFacts, signer: Signer): IndexStatement {
  const facts = { layer, diffId, index, size }
  return { ...facts, signer: signer.id, signature: signer.sign(payloadOf(facts)) }
}

export interface Believing {
  verify(node: NodeId, payload: Uint8Array, signature: Uint8Array): boolean
  banned(node: NodeId): boolean
  /** It is one, or was one when it was last a member. */
  isSeed(node: NodeId): boolean
}

/** Why a statement is not believed; undefined when it is. */
export function doubtOf(statement: IndexStatement, layer: Digest, by: Believing): string | undefined {
  const { signer, signature, size } = statement
  if (statement.layer !== layer) return 'it is about another layer'
  if (size < 1 || size > mostIndexBytes) return `${size} bytes are not the size of an index`
  if (by.banned(signer)) return 'who signed it is banned'
  if (!by.isSeed(signer)) return 'who signed it is no seed that is known here'
  return by.verify(signer, payloadOf(statement), signature) ? undefined : 'it is not signed by who it names'
}

function payloadOf({ layer, diffId, index, size }: IndexFacts): Uint8Array {
  return fromString(`shoal layer index 1\n${layer}\n${diffId}\n${index}\n${size}\n`)
}
