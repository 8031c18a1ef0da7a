/** The index of a layer, from the cluster; or why there is none. */
import { type Clock, pause } from '../../clock.ts'
import { Failure } from '../../failure.ts'
import { decodeIndex } from '../../layer-index/decode.ts'
import type { LayerIndex } from '../../layer-index/layer-index.ts'
import { shortDigest } from '../../oci/digest.ts'
import { whyWhole } from '../../zran/resume.ts'
import type { LayerSpec } from '../unpacked-layer.ts'
import type { Blob, IndexAnswer, NodeClient } from './node-client.ts'
import type { Traffic } from './traffic.ts'

export type Brought =
  | { readonly index: LayerIndex; readonly bytes: Uint8Array }
  /** Why it has to be fetched whole. */
  | { readonly reason: string }

export type Wanted = Pick<LayerSpec, 'digest' | 'diffId' | 'compressedSize'>

export interface BringOptions {
  readonly clock: Clock
  readonly traffic: Traffic
  readonly signal: AbortSignal
  readonly log: (sentence: string) => void
}

/** A node that cannot be reached, or can get nothing, is asked again until it has had no answer for so long, ms. */
const patienceMs = 30_000
/** Whoever makes an index reads the whole layer for it, which this host would have to do otherwise. */
const makingMs = 10 * 60_000
const pauseMs = 500

/** @throws {Failure} */
export async function bringIndex(
  layer: Wanted,
  blob: Blob,
  client: NodeClient,
  { clock, traffic, signal, log }: BringOptions,
): Promise<Brought> {
  const start = clock.now()
  let heardAt = start
  let waiting = false
  let fresh = false
  for (;;) {
    const question = () => client.index(blob, fresh, signal)
    // Others go on while it is made.
    const answer = await traffic.demand(() => ask(question, clock.now() - heardAt < patienceMs))
    if (answer.state !== 'away') heardAt = clock.now()
    switch (answer.state) {
      case 'cannot':
        return { reason: answer.reason }
      case 'here': {
        const index = readIndex(answer.bytes, layer)
        if (typeof index !== 'string') {
          const reason = whyWhole(index.compression)
          return reason === undefined ? { index, bytes: answer.bytes } : { reason }
        }
        if (fresh) return { reason: `its index ${index}` }
        fresh = true
        break
      }
      case 'wrong':
        if (fresh) return { reason: 'its index came with another digest' }
        fresh = true
        break
      case 'making':
        if (clock.now() - start > makingMs) return { reason: `its index was not made in ${makingMs / 60_000} minutes` }
        if (!waiting) log(`the index of ${shortDigest(blob.digest)} is being made`)
        waiting = true
        await pause(clock, answer.retryMs, signal)
        break
      case 'away':
        await pause(clock, pauseMs, signal)
    }
  }
}

/** What makes it the index of something else; undefined when it fits. */
export function misfitOf(layer: Wanted, index: LayerIndex): string | undefined {
  if (index.layer !== layer.digest) return 'is of another layer'
  if (index.diffId !== layer.diffId) return 'says that it unpacks to something else'
  if (index.compressedSize !== layer.compressedSize) return 'says that it is of another size'
  return undefined
}

/** Or what is wrong with it. */
function readIndex(bytes: Uint8Array, layer: Wanted): LayerIndex | string {
  try {
    const index = decodeIndex(bytes)
    return misfitOf(layer, index) ?? index
  } catch (error) {
    return `cannot be read: ${Failure.from(error).message}`
  }
}

type Outcome = IndexAnswer | { readonly state: 'wrong' | 'away' }

/** @throws {Failure} where asking again does not help */
async function ask(question: () => Promise<IndexAnswer>, again: boolean): Promise<Outcome> {
  try {
    return await question()
  } catch (error) {
    if (error instanceof Failure && error.code === 'corrupt') return { state: 'wrong' }
    if (again && error instanceof Failure && error.retry) return { state: 'away' }
    throw error
  }
}
