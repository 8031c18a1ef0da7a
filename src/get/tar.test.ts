import { expect, test } from 'bun:test'
import { extract } from 'tar-stream'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { digestOf } from '../oci/digest.ts'
import { type Packed, sectionsOf } from './tar.ts'

async function archive(files: readonly Packed[]): Promise<Uint8Array> {
  return Buffer.concat(
    (await sectionsOf(files)).map((section) => ('bytes' in section ? section.bytes : new Uint8Array(section.size))),
  )
}

test('the sections of an archive are what unpacks to its files, each at its place', async () => {
  const sha512 = digestOf(bytesOf(3), 'sha512').slice(7)
  const files: Packed[] = [
    { path: 'oci-layout', content: { bytes: bytesOf(30) } },
    { path: `blobs/sha256/${'a'.repeat(64)}`, content: { bytes: bytesOf(1024) } },
    // Too long for the header of an old archive.
    { path: `blobs/sha512/${sha512}`, content: { bytes: bytesOf(513) } },
    { path: 'empty', content: { bytes: new Uint8Array(0) } },
  ]
  const bytes = await archive(files)
  expect(bytes.length % 512).toBe(0)
  const unpacked: [string, number, number][] = []
  const reader = extract()
  reader.end(Buffer.from(bytes))
  for await (const entry of reader) {
    const chunks: Uint8Array[] = []
    for await (const chunk of entry) chunks.push(Buffer.from(chunk as Uint8Array))
    const file = files[unpacked.length]!
    expect('bytes' in file.content && Buffer.concat(chunks).equals(file.content.bytes)).toBe(true)
    unpacked.push([entry.header.name, entry.header.size ?? -1, entry.header.mtime?.getTime() ?? -1])
  }
  expect(unpacked).toEqual(files.map(({ path, content }) => [path, 'bytes' in content ? content.bytes.length : -1, 0]))
})

test('the same files make the same archive', async () => {
  const files: Packed[] = [{ path: 'a', content: { bytes: bytesOf(1000) } }]
  expect(await archive(files)).toEqual(await archive(files))
})
