/**
 * What containerd has of the images it pulls, asked over its socket: at the moment in which it asks the snapshotter for
 * a layer, manifest and configuration are there. So a layer is known by its chain ID alone, whoever pulls: `ctr`, nerdctl,
 * Kubernetes, with annotations or without.
 */
import { type Client, credentials, Metadata, makeGenericClientConstructor, type ServiceError } from '@grpc/grpc-js'
import { Failure } from '../failure.ts'
import { type Digest, digestOf, isDigest } from '../oci/digest.ts'
import { parseRegistry, type Repository, repositoryOf } from '../oci/reference.ts'
import type { ImageFiles, ManifestFacts } from './images.ts'
import { answers, contentService } from './proto.ts'

/** containerd sets it on manifests as it fetches them. */
const configLabel = 'containerd.io/gc.ref.content.config'
const sourcePrefix = 'containerd.io/distribution.source.'
const deadlineMs = 5000
/** Longer than any manifest or configuration that a registry takes. */
const mostBytes = 8 << 20

export class ContainerdContent implements ImageFiles {
  readonly #socket: string
  #client: Client | undefined

  constructor(socket: string) {
    this.#socket = socket
  }

  async manifests(namespace: string): Promise<ManifestFacts[]> {
    const found: (ManifestFacts & { readonly at: number })[] = []
    await this.#stream(namespace, 'List', { filters: [`labels."${configLabel}"`] }, (message) => {
      for (const { digest, size, labels, updatedAt } of answers.contents.parse(message).info) {
        const config = labels[configLabel] ?? ''
        if (size > mostBytes || !isDigest(digest) || !isDigest(config)) continue
        found.push({ digest, config, repositories: repositoriesIn(labels), at: updatedAt?.seconds ?? 0 })
      }
    })
    // What is being pulled has just been noted; of a thousand other images none need be read then.
    return found.sort((a, b) => b.at - a.at)
  }

  async read(namespace: string, digest: Digest): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    let length = 0
    await this.#stream(namespace, 'Read', { digest, size: mostBytes }, (message) => {
      const { data } = answers.data.parse(message)
      length += data.length
      if (length > mostBytes) throw new Failure('too-large', `${digest} is too long for a manifest or configuration`)
      parts.push(data)
    })
    const bytes = Buffer.concat(parts)
    if (digestOf(bytes, digest.startsWith('sha512:') ? 'sha512' : 'sha256') === digest) return bytes
    throw new Failure('corrupt', `containerd has other bytes than those of ${digest}`)
  }

  close(): void {
    this.#client?.close()
    this.#client = undefined
  }

  /** @throws {Failure} */
  async #stream(namespace: string, method: string, request: object, take: (message: unknown) => void): Promise<void> {
    const definition = contentService[method]
    if (!definition) throw new Error(`there is no ${method}`)
    this.#client ??= new ContentClient(`unix://${this.#socket}`, credentials.createInsecure())
    const metadata = new Metadata()
    metadata.set('containerd-namespace', namespace)
    const { path, requestSerialize, responseDeserialize } = definition
    const options = { deadline: Date.now() + deadlineMs }
    const call = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata,
      options,
    )
    await new Promise<void>((resolve, reject) => {
      call.on('data', (message: unknown) => {
        try {
          take(message)
        } catch (error) {
          call.cancel()
          reject(error)
        }
      })
      call.on('error', (error: ServiceError) => {
        const why = `containerd at ${this.#socket} does not say what it has (${error.details || error.message})`
        reject(new Failure('unavailable', `${why}; name its socket with --containerd`))
      })
      call.on('end', resolve)
    })
  }
}

const ContentClient = makeGenericClientConstructor(contentService, 'Content')

/** `containerd.io/distribution.source.ghcr.io = org/app,org/other` */
function repositoriesIn(labels: Readonly<Record<string, string>>): Repository[] {
  return Object.entries(labels).flatMap(([key, value]) => {
    if (!key.startsWith(sourcePrefix)) return []
    return value.split(',').flatMap((name) => {
      try {
        return [repositoryOf(parseRegistry(key.slice(sourcePrefix.length)), name)]
      } catch {
        return []
      }
    })
  })
}
