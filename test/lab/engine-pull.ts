/**
 * Pulls as engines do that have more than one place to ask, containerd for one: every request goes to the places in their
 * order, and a body that breaks off goes on, from the byte it had come to, with the first that answers. Only when none of
 * them helps has the pull failed.
 */
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { acceptManifests, contentsOf } from '../../src/oci/media.ts'

export interface EnginePull {
  readonly bytes: number
  /** Requests that another place than the first one answered. */
  readonly elsewhere: number
  /** Bodies that broke off, and went on. */
  readonly resumed: number
}

/** Tries without a new byte between them, as containerd's reader has it. */
const mostTries = 3

/** @param places `http://host:port` each. @throws when anything is missing or has the wrong digest */
export async function pullAsEngine(places: readonly string[], repository: string, tag: string): Promise<EnginePull> {
  const counts = { bytes: 0, elsewhere: 0, resumed: 0 }
  const manifest = await read('manifests', tag)
  for (const { digest, size } of contentsOf(manifest).blobs) {
    const blob = await read('blobs', digest)
    if (blob.length !== size || digestOf(blob) !== digest) throw new Error(`${digest} came with other bytes`)
  }
  return counts

  async function read(kind: 'manifests' | 'blobs', name: Digest | string): Promise<Uint8Array> {
    const chunks: Uint8Array[] = []
    let received = 0
    for (let tries = 0; ; tries++) {
      const before = received
      try {
        for await (const chunk of (await open(`/v2/${repository}/${kind}/${name}`, received)).body!) {
          chunks.push(chunk)
          received += chunk.length
        }
        counts.bytes += received
        return Buffer.concat(chunks)
      } catch (error) {
        if (received > before) tries = 0
        if (tries >= mostTries) throw error
        counts.resumed++
      }
    }
  }

  async function open(path: string, from: number): Promise<Response> {
    const said: string[] = []
    for (const [place, base] of places.entries()) {
      try {
        const range = from > 0 ? { range: `bytes=${from}-` } : {}
        const response = await fetch(base + path, { headers: { accept: acceptManifests, ...range } })
        if (response.status === (from > 0 ? 206 : 200)) {
          if (place > 0) counts.elsewhere++
          return response
        }
        said.push(`${base} answered ${response.status}`)
        await response.body?.cancel()
      } catch (error) {
        said.push(`${base}: ${(error as Error).message}`)
      }
    }
    throw new Error(`nobody has ${path}: ${said.join('; ')}`)
  }
}
