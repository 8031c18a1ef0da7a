/** Unpacks a whole layer into a file, in a process that is there for nothing else. */
import { open, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Failure } from '../../failure.ts'
import { confine, holdTo, standardBounds, usedByThis } from '../../layer-index/bounds.ts'
import { encodeIndex } from '../../layer-index/encode.ts'
import { mostLayerBytes } from '../../layer-index/limits.ts'
import { unpackWhole } from '../../layer-index/unpack-whole.ts'
import type { Algorithm } from '../../oci/digest.ts'
import { noPoints, type Points } from '../../zran/points.ts'
import { isFull } from './eviction.ts'
import { fullDisk, roomIn, spareBytes } from './room.ts'

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
    const { code, message } = isFull(error) ? fullDisk(error) : Failure.from(error)
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
    // That of all layers: theirs go again where they cannot be unpacked.
    const folder = dirname(dirname(data))
    // A small layer may unpack to more than there is.
    const mostBytes = roomIn(folder)
    const progress = () => holdTo(standardBounds, usedByThis())
    const write = async (at: number, bytes: Uint8Array) => {
      if (at + bytes.length > mostBytes) throw new Failure('no-space', noRoom(folder, mostBytes))
      for (let done = 0; done < bytes.length; ) {
        done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten
      }
    }
    const whole = await unpackWhole(layer, mediaType, write, { algorithm, progress })
    const { compression, size } = whole
    const points = compression === 'none' || size === 0 ? noPoints : start
    await file.truncate(size)
    await writeFile(index, encodeIndex({ ...whole, points }), { mode: 0o600 })
    return whole.layer
  } catch (error) {
    // It is not tried again, or from its beginning, with all the room that there is.
    await file.truncate(0).catch(() => {})
    throw error
  } finally {
    await file.close()
  }
}

function noRoom(folder: string, bytes: number): string {
  const [room, spare] = [bytes, spareBytes].map((each) => `${Math.floor(each / 2 ** 20)} MiB`)
  return `the layer unpacks to more than the ${room} that there is room for in ${folder}, with ${spare} left free; free some space there`
}
