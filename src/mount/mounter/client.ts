/** The mounter, as a client of its socket sees it. */
import type { z } from 'zod'
import { Failure } from '../../failure.ts'
import { parseJson } from '../../json.ts'
import {
  apiVersion,
  type LayerFacts,
  type LayerRequest,
  layerSchema,
  layersSchema,
  type MounterFacts,
  type MountFacts,
  type MountRequest,
  mounterSchema,
  mountSchema,
  mountsSchema,
  refusalSchema,
  versionHeader,
} from './api.ts'

/** Nobody listens at the socket. */
export class NoMounter extends Error {
  override readonly name = 'NoMounter'
}

export class MounterClient {
  readonly #socket: string

  constructor(socket: string) {
    this.#socket = socket
  }

  /** @throws {NoMounter} @throws {Failure} with what the mounter says */
  facts(): Promise<MounterFacts> {
    return this.#ask('GET', '/v1', mounterSchema)
  }
  async layers(): Promise<readonly LayerFacts[]> {
    return (await this.#ask('GET', '/v1/layers', layersSchema)).layers
  }
  hold(layer: LayerRequest): Promise<LayerFacts> {
    return this.#ask('POST', '/v1/layers', layerSchema, layer)
  }
  /** `discard`: what is here of it is not wanted for the next mount, but its space. */
  async release(id: string, holder: string, { discard = false } = {}): Promise<void> {
    const query = new URLSearchParams({ holder, ...(discard ? { discard: '' } : {}) })
    await this.#ask('DELETE', `/v1/layers/${id}?${query}`)
  }
  async mounts(): Promise<readonly MountFacts[]> {
    return (await this.#ask('GET', '/v1/mounts', mountsSchema)).mounts
  }
  mount(wanted: MountRequest): Promise<MountFacts> {
    return this.#ask('POST', '/v1/mounts', mountSchema, wanted)
  }
  async unmount(dir: string): Promise<void> {
    await this.#ask('DELETE', `/v1/mounts?${new URLSearchParams({ dir })}`)
  }
  /** It becomes the program that is installed now, with its mounts as they are. */
  async upgrade(): Promise<void> {
    await this.#ask('POST', '/v1/upgrade')
  }

  async #ask(method: string, path: string): Promise<void>
  async #ask<T>(method: string, path: string, schema: z.ZodType<T>, body?: object): Promise<T>
  async #ask<T>(method: string, path: string, schema?: z.ZodType<T>, body?: object): Promise<T | undefined> {
    const answer = await fetch(`http://mounter${path}`, {
      unix: this.#socket,
      method,
      ...(body ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } } : {}),
      // Bun gives up after five minutes; an index that has to be made first may take longer.
      timeout: false,
    }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EACCES' || error.code === 'EPERM') {
        throw new Failure('forbidden', `${this.#socket} is for root alone: run it with sudo`)
      }
      throw new NoMounter(`no mounter answers at ${this.#socket}`, { cause: error })
    })
    const text = await answer.text()
    if (!answer.ok) throw new Failure('unavailable', refusalOf(text) ?? `the mounter answered with ${answer.status}`)
    const parsed = schema?.safeParse(jsonOf(text))
    if (schema === undefined || parsed?.success) return parsed?.data
    const version = answer.headers.get(versionHeader) ?? 'none'
    throw new Failure(
      'unavailable',
      `the mounter at ${this.#socket} speaks version ${version} of its API and this program ${apiVersion}; ` +
        'kill -HUP its process: it becomes the program that is installed, and its mounts go on',
    )
  }
}

function refusalOf(text: string): string | undefined {
  return refusalSchema.safeParse(jsonOf(text)).data?.error
}

function jsonOf(text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    return undefined
  }
}
