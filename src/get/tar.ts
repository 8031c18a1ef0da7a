/**
 * A layout as one archive, as a plan of what its bytes are: which part of a broken download is there can then be told
 * without unpacking anything. The same image gives the same archive: files belong to nobody and are from 1970.
 */
import { once } from 'node:events'
import { pack } from 'tar-stream'
import type { Section } from './fill.ts'

/** A file of the archive. */
export interface Packed {
  readonly path: string
  readonly content: Section
}

const blockBytes = 512

export async function sectionsOf(files: readonly Packed[]): Promise<Section[]> {
  const sections: Section[] = []
  for (const { path, content } of files) {
    const size = 'bytes' in content ? content.bytes.length : content.size
    const padding = (blockBytes - (size % blockBytes)) % blockBytes
    sections.push({ bytes: await headerOf(path, size) }, content)
    if (padding > 0) sections.push({ bytes: new Uint8Array(padding) })
  }
  // Two empty blocks say that it ends here.
  return [...sections, { bytes: new Uint8Array(2 * blockBytes) }]
}

/** What the library writes before a file; it writes that at once when an entry is begun. */
async function headerOf(name: string, size: number): Promise<Uint8Array> {
  const archive = pack()
  try {
    archive.entry({ name, size, mode: 0o644, mtime: new Date(0) }, () => {})
    await once(archive, 'readable')
    const chunks: Uint8Array[] = []
    for (let chunk = read(archive); chunk; chunk = read(archive)) chunks.push(chunk)
    return new Uint8Array(Buffer.concat(chunks))
  } finally {
    archive.destroy()
  }
}

function read(archive: { read(): unknown }): Uint8Array | undefined {
  const chunk = archive.read()
  return chunk instanceof Uint8Array ? chunk : undefined
}
