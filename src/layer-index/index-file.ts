/** Makes or checks the index of a layer, both of them files, in a process that is there for nothing else. */
import { open, readFile, writeFile } from 'node:fs/promises'
import { Failure } from '../failure.ts'
import { confine, holdTo, standardBounds, usedByThis } from './bounds.ts'
import { checkIndex } from './check.ts'
import { encodeIndex } from './encode.ts'
import { makeIndex } from './make.ts'

export interface FileOptions {
  readonly check?: true
  readonly mediaType: string
  readonly algorithm: string
}

/** Compressed bytes between two lines of progress. */
const told = 4 * 2 ** 20

/**
 * Says how it goes: `read` so many bytes; then what was made, the verdict on what was checked, or why neither could be
 * done. What it says last is what came of it; it never throws.
 */
export async function indexFile(
  layer: string,
  index: string,
  options: FileOptions,
  say: (line: object) => void,
): Promise<void> {
  try {
    say(await carryOut(layer, index, options, say))
  } catch (error) {
    const { code, message } = Failure.from(error)
    say({ code, message })
  }
}

async function carryOut(
  layer: string,
  index: string,
  { check, mediaType, algorithm }: FileOptions,
  say: (line: object) => void,
): Promise<object> {
  confine(standardBounds)
  let last = 0
  const made = await makeIndex(bytesOf(layer), mediaType, {
    algorithm: algorithm === 'sha512' ? 'sha512' : 'sha256',
    progress: (read) => {
      holdTo(standardBounds, usedByThis())
      if (read - last < told) return
      last = read
      say({ read })
    },
  })
  const names = { layer: made.layer, diffId: made.diffId }
  if (check) return { ...names, verdict: checkIndex(await readFile(index), made) }
  const encoded = encodeIndex(made)
  await writeFile(index, encoded, { mode: 0o600 })
  return { ...names, bytes: encoded.length }
}

/** The file's bytes, always in the same buffer: they are used up before the next are read. */
async function* bytesOf(path: string): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r')
  try {
    const buffer = new Uint8Array(256 * 1024)
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null)
      if (bytesRead === 0) return
      yield buffer.subarray(0, bytesRead)
    }
  } finally {
    await file.close()
  }
}
