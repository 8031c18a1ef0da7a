/** What a binary needs of Debian's libc6, taken out of the package. */
import { posix } from 'node:path'
import { extract } from 'tar-stream'
import type { DebianPackage } from './sbom.ts'
import type { Entry } from './tar.ts'

export interface Library {
  readonly part: DebianPackage
  readonly entries: readonly Entry[]
}

/** The loader, what the binary is linked against, how names are resolved, and the licence. */
const wanted =
  /^(?:ld-linux[\w-]*\.so\.\d|lib(?:c|m|dl|pthread|resolv|rt|nss_dns|nss_files)\.so\.\d)$|^usr\/share\/doc\/libc6\/copyright$/

/** @param path of the .deb */
export async function libraryIn(path: string): Promise<Library> {
  const field = (name: string) => read(['dpkg-deb', '--field', path, name]).toString().trim()
  const part: DebianPackage = {
    name: field('Package'),
    version: field('Version'),
    architecture: field('Architecture'),
    sha256: new Bun.CryptoHasher('sha256').update(await Bun.file(path).bytes()).digest('hex'),
  }
  const found = await pick(read(['dpkg-deb', '--fsys-tarfile', path]))
  if (
    !found.some(({ name }) => /\/ld-linux[^/]*$/.test(name)) ||
    !found.some(({ name }) => name.endsWith('/libc.so.6'))
  ) {
    throw new Error(`${path} has no loader or no libc.so.6: its layout is not the one expected here`)
  }
  return { part, entries: [...foldersOf(found), ...found] }
}

async function pick(tar: Uint8Array): Promise<Entry[]> {
  const found: Entry[] = []
  const archive = extract()
  archive.end(tar)
  for await (const entry of archive) {
    const { name, type, linkname, mode } = entry.header
    const place = placeOf(name)
    if (wanted.test(posix.basename(place)) || wanted.test(place)) {
      if (type === 'symlink' && linkname) found.push({ type: 'symlink', name: place, to: linkname })
      if (type === 'file') found.push({ type: 'file', name: place, bytes: await whole(entry), mode: mode ?? 0o644 })
    }
    entry.resume()
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1))
}

async function whole(stream: AsyncIterable<unknown>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) if (chunk instanceof Uint8Array) chunks.push(chunk)
  return Buffer.concat(chunks)
}

/** All of it is below `usr`, as newer releases of Debian have it; the image has links where it was before. */
function placeOf(name: string): string {
  const plain = posix.normalize(name).replace(/^\.?\//, '')
  return plain.startsWith('usr/') ? plain : `usr/${plain}`
}

function foldersOf(entries: readonly Entry[]): Entry[] {
  const folders = new Set<string>()
  for (const { name } of entries) {
    for (let folder = posix.dirname(name); folder !== '.'; folder = posix.dirname(folder)) folders.add(folder)
  }
  return [...folders].sort().map((name) => ({ type: 'directory', name }))
}

function read(command: string[]): Buffer {
  const { stdout, stderr, exitCode } = Bun.spawnSync(command)
  if (exitCode !== 0) throw new Error(`${command.join(' ')}: ${stderr.toString().trim()}`)
  return stdout
}
