/**
 * Another registry as the place where repositories are kept, under the same names below its host and the prefix of its
 * URL. What is written goes as any push does. It does not say when a tag was set, so that the last who comes counts.
 */

import type { Places } from '../../first-there.ts'
import type { Digest } from '../../oci/digest.ts'
import { maxManifestBytes } from '../../oci/media.ts'
import type { Repository, Tag } from '../../oci/reference.ts'
import { RegistrySource } from '../../source/registry-source.ts'
import { RegistryWriter } from '../../source/registry-writer.ts'
import type { Location, OpenBody, Passed, Resolved, Stat } from '../../source/source.ts'
import type { Backend, BackendWrites, Kept } from './backend.ts'
import { collected } from './objects.ts'
import type { WebOptions } from './web-client.ts'

export interface RegistryBackendOptions extends WebOptions {
  /** A Docker `config.json`, with a login for the registry's host if it wants one. */
  readonly dockerFile?: Places
}

export class RegistryBackend implements Backend {
  readonly name: string
  readonly writes: BackendWrites
  readonly #source: RegistrySource
  readonly #registry: string

  /** @throws {Error} for a CA file that cannot be used */
  constructor(url: URL, options: RegistryBackendOptions) {
    const { dockerFile, caFile, limit, clock, random, log, metrics, retry, timeouts } = options
    this.name = `registry+${url.href.replace(/\/+$/, '')}`
    this.#registry = url.host
    const prefix = url.pathname.replace(/\/+$/, '')
    const common = {
      upstreams: new Map([[url.host, [{ url: new URL(`${url.origin}/v2${prefix}`) }]]]),
      clock,
      random,
      log,
      metrics,
      ...(caFile ? { caFile } : {}),
      ...(dockerFile ? { credentialsFile: dockerFile } : {}),
      ...(retry ? { retry } : {}),
      ...(timeouts ? { timeouts } : {}),
    }
    this.#source = new RegistrySource({ ...common, onlyListed: true, ...(limit ? { limit } : {}) })
    this.writes = this.#writing(new RegistryWriter(common))
  }

  resolve(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<Resolved> {
    return this.#source.resolve(this.#there(repository), tag, signal)
  }

  stat(location: Location, signal?: AbortSignal): Promise<Stat> {
    return this.#source.stat(this.#locationThere(location), signal)
  }

  open(location: Location, ...rest: [number, AbortSignal?, number?]): Promise<OpenBody> {
    return this.#source.open(this.#locationThere(location), ...rest)
  }

  pass(repository: Repository, ...rest: [string, string, string | undefined, AbortSignal?]): Promise<Passed> {
    return this.#source.pass(this.#there(repository), ...rest)
  }

  #writing(writer: RegistryWriter): BackendWrites {
    const putManifest = async (location: Location, as: Tag | Digest, content: Kept, signal?: AbortSignal) => {
      const bytes = await collected(content.read(0), maxManifestBytes, `manifest ${location.digest}`)
      await writer.putManifest(location.repository, as, { bytes, mediaType: content.mediaType }, signal)
    }
    return {
      put: async (location, content, signal) => {
        const there = this.#locationThere(location)
        const { repository, kind, digest } = there
        if (kind === 'manifest') {
          if (!(await writer.has(there, signal))) await putManifest(there, digest, content, signal)
        } else {
          const { size, read } = content
          await writer.putBlob(repository, { digest, size, read }, { signal })
        }
      },
      remove: (location, signal) => writer.remove(this.#locationThere(location), signal),
      // A registry has a tag set by whoever puts the manifest under that name.
      setTag: async (repository, tag, { digest, mediaType }, _at, signal) => {
        const there = this.#there(repository)
        if ((await writer.resolve(there, tag, signal)) === digest) return
        const { size, body } = await this.#source.open({ repository: there, kind: 'manifest', digest }, 0, signal)
        await putManifest(
          { repository: there, kind: 'manifest', digest },
          tag,
          { size, mediaType, read: () => body },
          signal,
        )
      },
      removeTag: (repository, tag, signal) => writer.removeTag(this.#there(repository), tag, signal),
    }
  }

  #there({ name }: Repository): Repository {
    return { registry: this.#registry, name }
  }

  #locationThere({ repository, kind, digest }: Location): Location {
    return { repository: this.#there(repository), kind, digest }
  }
}
