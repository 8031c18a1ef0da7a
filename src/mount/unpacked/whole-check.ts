/**
 * Holds a layer that is complete against the digest of what it unpacks to: the index said what its chunks are, and whoever
 * made it may have lied.
 */
import { setImmediate } from 'node:timers/promises'
import { algorithmOf, type Digest, hexOf, shortDigest } from '../../oci/digest.ts'
import type { ChunkTable } from './chunk-table.ts'
import type { GapFile } from './gap-file.ts'
import type { Holdings } from './holdings.ts'
import type { LayerShape } from './layer-shape.ts'

const stepBytes = 1024 * 1024

export class WholeCheck {
  readonly #shape: LayerShape
  readonly #holdings: Holdings
  readonly #gaps: GapFile
  /** Undefined while nobody knows. */
  #right: boolean | undefined

  /** @param known what an earlier process found */
  constructor(shape: LayerShape, holdings: Holdings, gaps: GapFile, known: boolean | undefined) {
    this.#shape = shape
    this.#holdings = holdings
    this.#gaps = gaps
    this.#right = known
    if (known === false) holdings.refute()
  }

  /** It is known to unpack to what it should. */
  get right(): boolean {
    return this.#right === true
  }

  /** What is to be said of an index that is known to be false. */
  get lie(): string | undefined {
    if (this.#right !== false) return undefined
    return `${shortDigest(this.#shape.digest)} does not unpack to what the image says: its index is false, and nothing of it is served`
  }

  /**
   * Once, when it is complete. What other layers had came without what lies between: then there is nothing to hold
   * against it, but its chunks were verified each. Stopped by the signal, it knows nothing, and may be asked again.
   * @returns the lie that was found @throws the signal's reason, and what `read` throws
   */
  async check(
    read: (at: number, length: number) => Promise<Uint8Array>,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { table, diffId } = this.#shape
    if (this.#right !== undefined || !this.#holdings.complete || !this.#gaps.complete) return undefined
    this.#right = await unpacksTo(diffId, table, read, (at, length) => this.#gaps.read(at, length), signal)
    if (!this.#right) this.#holdings.refute()
    await this.#gaps.drop()
    return this.lie
  }
}

/**
 * @param read verified bytes of chunks, anything between them
 * @param gaps bytes outside of chunks, counted by themselves
 */
async function unpacksTo(
  diffId: Digest,
  table: ChunkTable,
  read: (at: number, length: number) => Promise<Uint8Array>,
  gaps: (at: number, length: number) => Promise<Uint8Array>,
  signal: AbortSignal,
): Promise<boolean> {
  const hasher = new Bun.CryptoHasher(algorithmOf(diffId))
  for (let at = 0; at < table.size; at += stepBytes) {
    signal.throwIfAborted()
    const end = Math.min(table.size, at + stepBytes)
    const bytes = await read(at, end - at)
    await fill(bytes, at, end, table, gaps)
    hasher.update(bytes)
    // Nobody waits for this, and others wait for this thread.
    await setImmediate()
  }
  return hasher.digest('hex') === hexOf(diffId)
}

async function fill(
  bytes: Uint8Array,
  at: number,
  end: number,
  table: ChunkTable,
  gaps: (at: number, length: number) => Promise<Uint8Array>,
): Promise<void> {
  const from = table.gapBytesUpTo(at)
  const rest = await gaps(from, table.gapBytesUpTo(end) - from)
  let [used, place] = [0, at]
  const take = (to: number) => {
    if (to <= place) return
    bytes.set(rest.subarray(used, used + to - place), place - at)
    used += to - place
  }
  const [first, last] = table.within(at, end)
  for (let chunk = first; chunk < last; chunk++) {
    take(table.start(chunk))
    place = Math.max(place, table.end(chunk))
  }
  take(end)
}
