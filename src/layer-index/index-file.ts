/** The index of a layer from file to file, for a process that does nothing else. */
import { constants, setPriority } from 'node:os'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import { encodeIndex } from './encode.ts'
import { makeIndex } from './make.ts'

/** How it goes: compressed bytes that were read, and at the end what was found, or why there is no index. */
export type IndexLine =
  | { readonly read: number }
  | { readonly layer: Digest; readonly diffId: Digest }
  | { readonly code: string; readonly message: string }

const tellBytes = 4 * 1024 * 1024

/** Says in its last line how it ended. Everything else on the host goes first. */
export async function indexFile(file: string, out: string, tell: (line: IndexLine) => void): Promise<void> {
  setPriority(constants.priority.PRIORITY_LOW)
  let told = 0
  const progress = (read: number) => {
    if (read - told < tellBytes) return
    told = read
    tell({ read })
  }
  try {
    // What it is, its first bytes tell.
    const index = await makeIndex(Bun.file(file).stream(), 'application/octet-stream', { progress })
    await Bun.write(out, encodeIndex(index))
    tell({ layer: index.layer, diffId: index.diffId })
  } catch (error) {
    const { code, message } = Failure.from(error)
    tell({ code, message })
  }
}
