/** The index of a layer, from the cluster; or why there is none. */
import { type Clock, pause } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { factsOf } from '../../layer-index/decode.ts'
import { shortDigest } from '../../oci/digest.ts'
import { whyWhole } from '../../zran/resume.ts'
import type { Blob, IndexAnswer, NodeClient } from './node-client.ts'

export type IndexBytes = { readonly bytes: Uint8Array } | { readonly reason: string }

export interface BringOptions {
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly log: (sentence: string) => void
}

/** A node that cannot be reached, or can get nothing, is asked again for so long, ms. */
const patienceMs = 30_000
/** Whoever makes an index reads the whole layer for it, which this host would have to do otherwise. */
const makingMs = 10 * 60_000
const pauseMs = 500

/** @throws {Failure} */
export async function bringIndex(blob: Blob, client: NodeClient, options: BringOptions): Promise<IndexBytes> {
  const { clock, signal, log } = options
  const start = clock.now()
  let waiting = false
  for (;;) {
    const answer = await ask(() => client.index(blob, signal), clock.now() - start < patienceMs)
    if (answer?.state === 'here') {
      const reason = whyWhole(factsOf(answer.bytes).said.compression)
      return reason === undefined ? { bytes: answer.bytes } : { reason }
    }
    if (answer?.state === 'cannot') return { reason: answer.reason }
    if (answer && clock.now() - start > makingMs) {
      return { reason: `its index was not made within ${makingMs / 60_000} minutes` }
    }
    if (answer && !waiting) log(`the index of ${shortDigest(blob.digest)} is being made`)
    waiting ||= answer !== undefined
    await pause(clock, answer?.retryMs ?? pauseMs, signal)
  }
}

/** Undefined when it is worth asking again. @throws {Failure} */
async function ask(question: () => Promise<IndexAnswer>, again: boolean): Promise<IndexAnswer | undefined> {
  try {
    return await question()
  } catch (error) {
    if (again && error instanceof Failure && error.retry && error.code !== 'corrupt') return undefined
    throw error
  }
}
