/** The index of a layer: from the cluster; where nobody can make one, from the layer itself. */
import { type Clock, pause } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { decodeIndex } from '../../layer-index/decode.ts'
import type { LayerIndex } from '../../layer-index/layer-index.ts'
import { shortDigest } from '../../oci/digest.ts'
import type { LayerSpec } from '../unpacked-layer.ts'
import type { IndexAnswer, NodeClient } from './node-client.ts'

export interface BroughtIndex {
  readonly index: LayerIndex
  /** As it came. */
  readonly bytes: Uint8Array
  /** Why the layer was fetched whole; undefined when it was not. */
  readonly reason: string | undefined
}

export interface BringOptions {
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly log: (sentence: string) => void
}

/** A node that cannot be reached is asked again for so long, ms. */
const patienceMs = 30_000
const pauseMs = 500

/** @throws {Failure} */
export async function bringIndex(spec: LayerSpec, client: NodeClient, options: BringOptions): Promise<BroughtIndex> {
  const blob = { repository: spec.repository, digest: spec.digest }
  const { clock, signal } = options
  const start = clock.now()
  for (;;) {
    const answer = await ask(() => client.index(blob, signal), clock.now() - start < patienceMs)
    if (answer?.state === 'here') return { index: decodeIndex(answer.bytes), bytes: answer.bytes, reason: undefined }
    if (answer?.state === 'cannot') {
      throw new Failure('unsupported', `${shortDigest(spec.digest)} cannot be mounted lazily: ${answer.reason}`)
    }
    await pause(clock, answer?.retryMs ?? pauseMs, signal)
  }
}

/** Undefined when it is worth asking again. @throws {Failure} */
async function ask(question: () => Promise<IndexAnswer>, again: boolean): Promise<IndexAnswer | undefined> {
  try {
    return await question()
  } catch (error) {
    if (again && error instanceof Failure && error.retry) return undefined
    throw error
  }
}
