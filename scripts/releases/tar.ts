/** Archives that are the same whenever and by whomever they are made. */
import { type Header, pack } from 'tar-stream'

export type Entry =
  | { readonly type: 'directory'; readonly name: string; readonly mode?: number; readonly owner?: number }
  | { readonly type: 'file'; readonly name: string; readonly bytes: Uint8Array; readonly mode?: number }
  | { readonly type: 'symlink'; readonly name: string; readonly to: string }

const usualMode = { directory: 0o755, file: 0o644, symlink: 0o777 } as const

/** A folder that is named more than once is put in once. @param date of everything in it */
export async function tarOf(entries: readonly Entry[], date: Date): Promise<Buffer> {
  const archive = pack()
  const chunks: Buffer[] = []
  const read = (async () => {
    for await (const chunk of archive) chunks.push(chunk as Buffer)
  })()
  const folders = new Set<string>()
  for (const entry of entries) {
    if (folders.has(entry.name)) continue
    if (entry.type === 'directory') folders.add(entry.name)
    const header = headerOf(entry, date)
    if (entry.type === 'file')
      archive.entry(header, Buffer.from(entry.bytes.buffer, entry.bytes.byteOffset, entry.bytes.byteLength))
    else archive.entry(header)
  }
  archive.finalize()
  await read
  return Buffer.concat(chunks)
}

function headerOf(entry: Entry, mtime: Date): Partial<Header> & Pick<Header, 'name'> {
  const { type, name } = entry
  const owner = entry.type === 'directory' ? (entry.owner ?? 0) : 0
  const mode = (entry.type === 'symlink' ? undefined : entry.mode) ?? usualMode[type]
  return {
    type,
    name,
    mode,
    mtime,
    uid: owner,
    gid: owner,
    ...(entry.type === 'symlink' ? { linkname: entry.to } : {}),
  }
}
