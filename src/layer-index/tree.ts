/** What an index says of the unpacked layer, read while it is unpacked: its tree, its chunks, its digest. */
import { erofsOf } from '../erofs/image.ts'
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import type { LayerEntry } from '../tar/entry.ts'
import { TarReader } from '../tar/reader.ts'
import { Chunker } from './chunker.ts'
import type { LayerIndex } from './layer-index.ts'
import { mostLayerBytes, mostMetadataBytes } from './limits.ts'

export type Tree = Pick<LayerIndex, 'diffId' | 'size' | 'metadata' | 'chunks'>

export class TreeReader {
  readonly #hasher = new Bun.CryptoHasher('sha256')
  readonly #chunker = new Chunker()
  readonly #entries: LayerEntry[] = []
  readonly #most: number
  #size = 0
  readonly #tar = new TarReader({
    entry: (entry) => {
      this.#entries.push(entry)
      if (entry.type === 'file') this.#chunker.file(entry.extents)
    },
    data: (_, bytes) => this.#chunker.data(bytes),
  })

  /** @param most a longer layer is refused before it is read whole */
  constructor(most = mostLayerBytes) {
    this.#most = Math.min(most, mostLayerBytes)
  }

  /** The unpacked layer's next bytes. @throws {Failure} */
  push(bytes: Uint8Array): void {
    this.#size += bytes.length
    if (this.#size > this.#most)
      throw new Failure('too-large', `the layer unpacks to more than ${this.#most} bytes, which is not indexed`)
    this.#hasher.update(bytes)
    this.#tar.push(bytes)
  }

  /** @throws {Failure} */
  end(): Tree {
    this.#tar.end()
    const metadata = erofsOf(this.#entries, { dataBytes: this.#size })
    if (metadata.length > mostMetadataBytes)
      throw new Failure('too-large', `the names of the layer alone are ${metadata.length} bytes, which is not indexed`)
    const diffId = `sha256:${this.#hasher.digest('hex')}` as Digest
    return { diffId, size: this.#size, metadata, chunks: this.#chunker.chunks() }
  }
}
