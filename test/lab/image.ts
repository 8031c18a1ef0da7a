/** Images as OCI layout directories (image-spec, "Image Layout"), and how they get into a registry. */
import { copyFileSync, existsSync, linkSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Digest, digestOf, hexOf } from '../../src/oci/digest.ts'
import { manifestTypes } from '../../src/oci/media.ts'
import type { Host } from './host.ts'
import type { Layer } from './layers.ts'
import { run } from './run.ts'

export interface Image {
  readonly layers: readonly Layer[]
  /** Default `amd64`. */
  readonly architecture?: string
}

/** An image, or an index of several, as written to a layout. */
export interface Written {
  /** The layout directory. */
  readonly dir: string
  readonly tag: string
  readonly digest: Digest
  /** Bytes of all its blobs: manifests, configs and layers. */
  readonly size: number
}

interface Descriptor {
  readonly mediaType: string
  readonly digest: Digest
  readonly size: number
}

/** Writes a layout that holds one image. */
export function writeImage(dir: string, tag: string, image: Image): Written {
  const blobs = new Blobs(dir)
  return finish(blobs, tag, writeManifest(blobs, image))
}

/** Writes a layout that holds an index of images for different platforms. */
export function writeIndex(dir: string, tag: string, images: readonly Image[]): Written {
  const blobs = new Blobs(dir)
  const manifests = images.map((image) => ({ ...writeManifest(blobs, image), platform: platformOf(image) }))
  return finish(blobs, tag, blobs.json(manifestTypes.ociIndex, { manifests }))
}

export interface PushOptions {
  /** `v2s2` rewrites an image as Docker schema 2 (its manifest and config, not its layers). Default `oci`. */
  readonly format?: 'oci' | 'v2s2'
  /** The host to push from: the registry's own, whose loopback is not shaped. */
  readonly from?: Host
  readonly account?: { readonly user: string; readonly password: string }
}

/** Pushes everything in the layout through skopeo to `http://<registry>/<repository>:<tag>`. */
export async function pushImage(
  image: Written,
  registry: string,
  repository: string,
  tag: string,
  options: PushOptions = {},
): Promise<void> {
  const { user, password } = options.account ?? {}
  const command = [
    ...['skopeo', '--insecure-policy', 'copy', '--quiet', '--all', '--dest-tls-verify=false'],
    ...(options.format === 'v2s2' ? ['--format', 'v2s2'] : []),
    ...(user === undefined ? [] : ['--dest-creds', `${user}:${password}`]),
    ...[`oci:${image.dir}:${image.tag}`, `docker://${registry}/${repository}:${tag}`],
  ]
  await (options.from ? options.from.exec(command) : run(command))
}

class Blobs {
  readonly dir: string
  readonly sizes = new Map<Digest, number>()

  constructor(dir: string) {
    this.dir = dir
    mkdirSync(join(dir, 'blobs', 'sha256'), { recursive: true })
  }

  layer(layer: Layer): Descriptor {
    const path = this.#path(layer.digest)
    if (!existsSync(path)) linkOrCopy(layer.file, path)
    return this.#note({
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      digest: layer.digest,
      size: layer.size,
    })
  }

  json(mediaType: string, content: object): Descriptor {
    const isManifest = mediaType === manifestTypes.ociIndex || mediaType === manifestTypes.ociManifest
    const text = JSON.stringify(isManifest ? { schemaVersion: 2, mediaType, ...content } : content)
    const bytes = new TextEncoder().encode(text)
    const digest = digestOf(bytes)
    writeFileSync(this.#path(digest), bytes)
    return this.#note({ mediaType, digest, size: bytes.length })
  }

  #note(descriptor: Descriptor): Descriptor {
    this.sizes.set(descriptor.digest, descriptor.size)
    return descriptor
  }

  #path(digest: Digest): string {
    return join(this.dir, 'blobs', 'sha256', hexOf(digest))
  }
}

function writeManifest(blobs: Blobs, image: Image): Descriptor {
  const epoch = '1970-01-01T00:00:00Z'
  const config = blobs.json('application/vnd.oci.image.config.v1+json', {
    created: epoch,
    ...platformOf(image),
    config: { Env: ['PATH=/usr/local/bin:/usr/bin:/bin'], Cmd: ['/bin/sh'] },
    rootfs: { type: 'layers', diff_ids: image.layers.map((layer) => layer.diffId) },
    history: image.layers.map((layer) => ({ created: epoch, created_by: layer.comment })),
  })
  return blobs.json(manifestTypes.ociManifest, { config, layers: image.layers.map((layer) => blobs.layer(layer)) })
}

function finish(blobs: Blobs, tag: string, top: Descriptor): Written {
  writeFileSync(join(blobs.dir, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }))
  const annotations = { 'org.opencontainers.image.ref.name': tag }
  writeFileSync(
    join(blobs.dir, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...top, annotations }] }),
  )
  const size = [...blobs.sizes.values()].reduce((sum, bytes) => sum + bytes, 0)
  return { dir: blobs.dir, tag, digest: top.digest, size }
}

function platformOf(image: Image): { architecture: string; os: string } {
  return { architecture: image.architecture ?? 'amd64', os: 'linux' }
}

/** A hard link costs nothing; across file systems there is none. */
function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to)
  } catch {
    copyFileSync(from, to)
  }
}
