/** Unpacks a whole layer into a file, in a process that is there for nothing else. */
import { statfsSync } from 'node:fs'
import { open, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Failure } from '../../failure.ts'
import { confine, holdTo, standardBounds, usedByThis } from '../../layer-index/bounds.ts'
import { encodeIndex } from '../../layer-index/encode.ts'
import { mostLayerBytes } from '../../layer-index/limits.ts'
import { unpackWhole } from '../../layer-index/unpack-whole.ts'
import type { Algorithm } from '../../oci/digest.ts'
import { noPoints, type Points } from '../../zran/points.ts'

/** What came of it: which layer it was, or why it could not be unpacked. */
export type Unpacked = { readonly layer: string } | { readonly code: string; readonly message: string }

/** A layer can only be unpacked from where it begins. */
const start: Points = {
  count: 1,
  at: new Float64Array(1),
  from: new Float64Array(1),
  bits: new Uint8Array(1),
  windows: new Uint8Array(0),
  windowEnds: new Float64Array(1),
}
/** Left free on the disk. */
const spareBytes = 64 * 1024 * 1024

/** Never throws. */
export async function unpackFile(
  layer: AsyncIterable<Uint8Array>,
  data: string,
  index: string,
  { mediaType, algorithm }: { readonly mediaType: string; readonly algorithm: string },
): Promise<Unpacked> {
  try {
    confine(standardBounds, mostLayerBytes)
    return { layer: await unpack(layer, data, index, mediaType, algorithm === 'sha512' ? 'sha512' : 'sha256') }
  } catch (error) {
    const { code, message } = Failure.from(error)
    return { code, message }
  }
}

async function unpack(
  layer: AsyncIterable<Uint8Array>,
  data: string,
  index: string,
  mediaType: string,
  algorithm: Algorithm,
) {
  const file = await open(data, 'w', 0o600)
  try {
    const { bavail, bsize } = statfsSync(dirname(data))
    // A small layer may unpack to more than there is.
    const mostBytes = Math.max(0, bavail * bsize - spareBytes)
    const progress = () => holdTo(standardBounds, usedByThis())
    const write = async (at: number, bytes: Uint8Array) => {
      for (let done = 0; done < bytes.length; ) {
        done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten
      }
    }
    const whole = await unpackWhole(layer, mediaType, write, { algorithm, mostBytes, progress })
    const { compression, size } = whole
    const points = compression === 'none' || size === 0 ? noPoints : start
    await file.truncate(size)
    await writeFile(index, encodeIndex({ ...whole, points }), { mode: 0o600 })
    return whole.layer
  } finally {
    await file.close()
  }
}
