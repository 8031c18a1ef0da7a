/** From a chain ID to the layer that it ends with, by the manifests and configurations of images that are here. */

import { z } from 'zod'
import { Failure } from '../failure.ts'
import { lru } from '../lru.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { formatRepository, parseReference, type Repository } from '../oci/reference.ts'
import { digestSchema as digest } from '../oci/schemas.ts'
import type { Layer } from './catalog.ts'
import type { Labels } from './snapshot.ts'
import type { Asked } from './snapshots.ts'

export interface ManifestFacts {
  readonly digest: Digest
  readonly config: Digest
  /** Where it was pulled from. */
  readonly repositories: readonly Repository[]
}

export interface ImageFiles {
  /** @throws {Failure} */
  manifests(namespace: string): Promise<ManifestFacts[]>
  /** @throws {Failure} */
  read(namespace: string, digest: Digest): Promise<Uint8Array>
}

/** Clients that know lazy images say of a layer which one it is; each in its own words. */
const referenceLabels = ['containerd.io/snapshot/cri.image-ref', 'containerd.io/snapshot/remote/stargz.reference']
const layerLabels = ['containerd.io/snapshot/cri.layer-digest', 'containerd.io/snapshot/remote/stargz.digest']

/** Images whose layers are remembered; one takes some kB. */
const mostImages = 1000

const manifestSchema = z.object({
  layers: z.array(z.object({ digest, mediaType: z.string().max(255), size: z.number().int().min(0) })).max(1000),
})
const configSchema = z.object({ rootfs: z.object({ diff_ids: z.array(digest).max(1000) }) })

type LayerOfImage = Omit<Layer, 'repository'>

export interface Found {
  readonly layer: Layer
  readonly manifest: Digest
  /** The other layers of that image. */
  readonly others: readonly Layer[]
}

export class Images {
  readonly #files: ImageFiles
  /** By manifest: its layers by chain ID. Neither ever changes. */
  readonly #known = lru<Digest, ReadonlyMap<string, LayerOfImage>>(mostImages)

  constructor(files: ImageFiles) {
    this.#files = files
  }

  /** @throws {Failure} */
  async find({ ref, namespace, labels }: Asked): Promise<Found> {
    const wanted = said(labels, layerLabels)
    const named = repositorySaid(labels)
    let nowhere = false
    for (const facts of await this.#files.manifests(namespace)) {
      const layers = await this.#layersOf(namespace, facts)
      const layer = layers.get(ref)
      if (!layer || (wanted !== undefined && wanted !== layer.digest)) continue
      const from = named ?? facts.repositories[0]
      nowhere = true
      if (!from) continue
      const repository = formatRepository(from)
      const others = [...layers.values()].filter((other) => other !== layer)
      return {
        layer: { ...layer, repository },
        manifest: facts.digest,
        others: others.map((other) => ({ ...other, repository })),
      }
    }
    const why = nowhere
      ? 'its image came from no registry, so there is nowhere to read it from'
      : 'containerd has no manifest of an image with it'
    throw new Failure('no-manifest', `layer ${ref}: ${why}`)
  }

  async #layersOf(namespace: string, { digest, config }: ManifestFacts): Promise<ReadonlyMap<string, LayerOfImage>> {
    const known = this.#known.get(digest)
    if (known) return known
    try {
      const [manifest, configuration] = await Promise.all([
        this.#files.read(namespace, digest).then((bytes) => manifestSchema.parse(parsed(bytes))),
        this.#files.read(namespace, config).then((bytes) => configSchema.parse(parsed(bytes))),
      ])
      const layers = layersOf(manifest.layers, configuration.rootfs.diff_ids)
      this.#known.set(digest, layers)
      return layers
    } catch {
      // Another platform's, whose configuration was not fetched, or not an image of layers: it is asked for again, since
      // what is missing may come.
      return new Map()
    }
  }
}

/** By chain ID. OCI image spec, "Layer ChainID": that of one layer is its diff ID. */
export function layersOf(
  layers: readonly Omit<LayerOfImage, 'diffId'>[],
  diffIds: readonly Digest[],
): ReadonlyMap<string, LayerOfImage> {
  const found = new Map<string, LayerOfImage>()
  if (layers.length !== diffIds.length) return found
  let chain: Digest | undefined
  for (const [i, diffId] of diffIds.entries()) {
    chain = chain === undefined ? diffId : digestOf(new TextEncoder().encode(`${chain} ${diffId}`))
    found.set(chain, { ...layers[i]!, diffId })
  }
  return found
}

function parsed(bytes: Uint8Array): unknown {
  return JSON.parse(new TextDecoder().decode(bytes))
}

function said(labels: Labels, keys: readonly string[]): string | undefined {
  return keys.map((key) => labels[key]).find((value) => value !== undefined && value !== '')
}

/** What it was pulled as comes before what containerd noted: the client may read that one. */
function repositorySaid(labels: Labels): Repository | undefined {
  const reference = said(labels, referenceLabels)
  if (reference === undefined) return undefined
  try {
    return parseReference(reference)
  } catch {
    return undefined
  }
}
