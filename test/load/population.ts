/** Who is in a simulated cluster and what its images are: the same for the same seed. */
import { type Random, seededRandom } from '../../src/clock.ts'
import type { Mode, NodeInfo } from '../../src/cluster/node-info.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { layoutOf } from '../../src/piece/layout.ts'

export interface LoadBlob {
  readonly digest: Digest
  readonly size: number
  readonly pieces: number
}

/** Layers of an image; engines fetch three at a time. */
export const layersOfImage = 4
const seeds = 3
const base58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz'

export interface Population {
  readonly peers: readonly NodeInfo[]
  /** These are ordered to read blobs. */
  readonly seeds: readonly NodeInfo[]
  readonly images: readonly (readonly LoadBlob[])[]
}

/** @param port where the process that plays the nodes answers, on an address of 127.0.0.0/8 for each of them */
export function populate(init: { peers: number; blobs: number; seed: number; port: number }): Population {
  const random = seededRandom(init.seed)
  const blobs = Array.from({ length: init.blobs }, (_, i): LoadBlob => {
    const size = Math.round(1e6 * 500 ** random())
    return {
      digest: digestOf(new TextEncoder().encode(`blob ${i} of ${init.seed}`)),
      size,
      pieces: layoutOf(size).count,
    }
  })
  const images: LoadBlob[][] = []
  for (let i = 0; i < blobs.length; i += layersOfImage) images.push(blobs.slice(i, i + layersOfImage))
  return {
    seeds: Array.from({ length: seeds }, (_, i) => nodeOf(i, ['seed'], random, init.port)),
    peers: Array.from({ length: init.peers }, (_, i) => nodeOf(seeds + i, ['peer'], random, init.port)),
    images,
  }
}

/** As a real node describes itself: an id of 52 characters, one libp2p address, a zone of three parts. */
function nodeOf(index: number, modes: Mode[], random: Random, port: number): NodeInfo {
  const id = `12D3KooW${Array.from({ length: 44 }, () => base58[Math.floor(random() * base58.length)]).join('')}`
  const address = `127.${1 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`
  const zone = `eu/${'abc'[index % 3]}/r${index % 100}`
  const epoch = Math.floor(random() * 2 ** 52).toString(36)
  return {
    id,
    url: `http://${address}:${port}`,
    p2p: [`/ip4/${address}/tcp/4882`],
    modes,
    zone,
    version: '0.1.0',
    epoch,
  }
}
