/** A file becomes a blob of the store: the index of a layer, once it is made. */
import { type FileHandle, open } from 'node:fs/promises'
import { Failure } from '../failure.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { pieceBytes, pieceStart } from '../piece/layout.ts'
import type { Blob, BlobStore } from '../store/blob-store.ts'
import { type Signer, statementsOfRest } from '../swarm/statements.ts'

export const indexType = 'application/vnd.shoal.layer-index.v1'

const chunkBytes = 1024 * 1024

/** Its pieces are stated, so that others can verify them. The file stays. @throws {Failure} `no-space`, `no-disk` */
export async function keepFile(store: Pick<BlobStore, 'create'>, signer: Signer, path: string): Promise<Blob> {
  const file = await open(path, 'r')
  try {
    const { size } = await file.stat()
    const digest = await digestOfFile(file, size)
    const blob = store.create({ digest, size, kind: 'blob', mediaType: indexType })
    const letGo = blob.hold()
    try {
      for (let piece = 0; piece < blob.layout.count && !blob.complete; piece++) {
        if (blob.have.has(piece)) continue
        const bytes = new Uint8Array(pieceBytes(blob.layout, piece))
        await blob.write(piece, await fill(file, bytes, pieceStart(blob.layout, piece)))
      }
      if (!blob.complete) await blob.finish()
      for (const segment of await statementsOfRest(blob, signer)) blob.learn(segment)
      return blob
    } finally {
      letGo()
    }
  } finally {
    await file.close()
  }
}

async function digestOfFile(file: FileHandle, size: number): Promise<Digest> {
  const hasher = new Bun.CryptoHasher('sha256')
  for (let at = 0; at < size; at += chunkBytes) {
    hasher.update(await fill(file, new Uint8Array(Math.min(chunkBytes, size - at)), at))
  }
  const digest = `sha256:${hasher.digest('hex')}`
  if (!isDigest(digest)) throw new Failure('internal', `${digest} is no digest`)
  return digest
}

async function fill(file: FileHandle, bytes: Uint8Array, from: number): Promise<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const { bytesRead } = await file.read(bytes, at, bytes.length - at, from + at)
    if (bytesRead === 0) throw new Failure('internal', 'the file of an index became shorter while it was read')
    at += bytesRead
  }
  return bytes
}
