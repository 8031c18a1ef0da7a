/**
 * What is known of an unpacked layer when the mounter starts anew: a few bytes of JSON, two bitmaps, and a digest of it
 * all. Written after the bytes it speaks of; whatever it says of them is believed only while nobody has touched their
 * file, see {@link verifiedStill}.
 */
import { readFileSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { z } from 'zod'
import { parseJson } from '../../json.ts'

const factsSchema = z.object({
  version: z.literal(1),
  diffId: z.string(),
  /** Of the index file beside it. */
  index: z.string(),
  chunks: z.number().int().min(0),
  /** The file's ctime, ns: all chunks of the first bitmap that are `verified` were so then. */
  ctime: z.string().regex(/^\d{1,20}$/),
  /** Of the kernel that was running: after a power cut a file may lack what was written to it, and its ctime not tell. */
  boot: z.string(),
  /** What it unpacks to has the digest it should have. */
  checked: z.boolean(),
  /** It was found to have another one: its index is false. */
  refuted: z.boolean().optional(),
  /** Stretches of the gap file that are there, believed while the same kernel runs: that file is never synced. */
  gaps: z.array(z.number()),
  /** ms since 1970 */
  usedAt: z.number(),
  /** Compressed bytes that came from the node so far, and bytes of chunks that other layers had. */
  fetched: z.number(),
  deduped: z.number(),
  /** Why it was fetched whole. */
  reason: z.string().optional(),
})
export type StateFacts = z.infer<typeof factsSchema>

export interface LayerState {
  readonly facts: StateFacts
  readonly own: Uint8Array
  readonly lent: Uint8Array
  readonly verified: Uint8Array
}

const digestBytes = 32

export function encodeState({ facts, own, lent, verified }: LayerState): Uint8Array {
  const head = Buffer.from(`${JSON.stringify(facts)}\n`)
  const body = Buffer.concat([head, own, lent, verified])
  return Buffer.concat([body, Bun.SHA256.hash(body) as Uint8Array])
}

/** Undefined for what is not exactly what was written. */
export function decodeState(bytes: Uint8Array): LayerState | undefined {
  const body = bytes.subarray(0, Math.max(0, bytes.length - digestBytes))
  if (Buffer.compare(Bun.SHA256.hash(body) as Uint8Array, bytes.subarray(body.length)) !== 0) return undefined
  const end = body.indexOf(10)
  try {
    const facts = factsSchema.parse(parseJson(new TextDecoder().decode(body.subarray(0, end))))
    const length = (facts.chunks + 7) >> 3
    const maps = body.subarray(end + 1)
    if (maps.length !== 3 * length) return undefined
    const map = (i: number) => maps.slice(i * length, (i + 1) * length)
    return { facts, own: map(0), lent: map(1), verified: map(2) }
  } catch {
    return undefined
  }
}

export function readState(path: string): LayerState | undefined {
  try {
    return decodeState(readFileSync(path))
  } catch {
    return undefined
  }
}

export async function writeState(path: string, state: LayerState): Promise<void> {
  await writeFile(`${path}.new`, encodeState(state), { mode: 0o600 })
  await rename(`${path}.new`, path)
}

/** What was verified by an earlier process need not be verified again. */
export function verifiedStill({ facts }: LayerState, ctime: bigint, boot: string): boolean {
  return facts.ctime === String(ctime) && facts.boot === boot
}

export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    // Then nothing is believed after a restart.
    return crypto.randomUUID()
  }
}
