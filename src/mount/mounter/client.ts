/** The mounter, as a client of its socket sees it. */
import type { z } from 'zod'
import { Failure } from '../../failure.ts'
import { parseJson } from '../../json.ts'
import {
  apiVersion,
  type FoldersRequest,
  foldersSchema,
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

/** It was asked, and then nothing came: whether it did what it was asked to, only it can say. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer'
}

/** What is looked up is in its memory; what it does may take as long as an index that has to be made first. */
const lookUpMs = 30_000

export class MounterClient {
  readonly #socket: string
  readonly #lookUpMs: number

  constructor(socket: string, { lookUpMs: patience = lookUpMs } = {}) {
    this.#socket = socket
    this.#lookUpMs = patience
  }

  /** @throws {NoMounter} @throws {NoAnswer} @throws {Failure} with what the mounter says */
  facts(): Promise<MounterFacts> {
    return this.#ask('GET', '/v1', mounterSchema)
  }
  async layers(): Promise<readonly LayerFacts[]> {
    return (await this.#ask('GET', '/v1/layers', layersSchema)).layers
  }
  /** Undefined where it is not mounted. */
  layer(id: string): Promise<LayerFacts | undefined> {
    return this.#ask('GET', `/v1/layers/${id}`, layerSchema).catch((error: unknown) => {
      if (error instanceof Failure && error.code === 'no-blob') return undefined
      throw error
    })
  }
  hold(layer: LayerRequest): Promise<LayerFacts> {
    return this.#ask('POST', '/v1/layers', layerSchema, layer)
  }
  /** @returns whether there were any to be made */
  async makeFolders(id: string, wanted: FoldersRequest): Promise<boolean> {
    return (await this.#ask('POST', `/v1/layers/${id}/folders`, foldersSchema, wanted)).made
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
    const asked = async () => {
      const answer = await fetch(`http://mounter${path}`, {
        unix: this.#socket,
        method,
        ...(body ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } } : {}),
        ...(method === 'GET' ? { signal: AbortSignal.timeout(this.#lookUpMs) } : {}),
        // Bun gives up after five minutes, and the mounter ends a connection that rests after ten seconds: one that is
        // used again could end as it is.
        timeout: false,
        keepalive: false,
      })
      return { answer, text: await answer.text() }
    }
    const { answer, text } = await asked().catch((error: NodeJS.ErrnoException) => {
      throw this.#explained(error)
    })
    if (!answer.ok) {
      const none = method === 'GET' && answer.status === 404
      const sentence = refusalOf(text) ?? `the mounter answered with ${answer.status}`
      throw new Failure(none ? 'no-blob' : 'unavailable', sentence)
    }
    const parsed = schema?.safeParse(jsonOf(text))
    if (schema === undefined || parsed?.success) return parsed?.data
    const version = answer.headers.get(versionHeader) ?? 'none'
    throw new Failure(
      'unavailable',
      `the mounter at ${this.#socket} speaks version ${version} of its API and this program ${apiVersion}; ` +
        'kill -HUP its process: it becomes the program that is installed, and its mounts go on',
    )
  }

  #explained(error: NodeJS.ErrnoException): Error {
    const at = this.#socket
    const cause = { cause: error }
    if (error.name === 'TimeoutError') {
      return new NoAnswer(
        `the mounter at ${at} said nothing for ${this.#lookUpMs / 1000} s: it hangs, or its host does; its log says on what`,
        cause,
      )
    }
    switch (error.code) {
      case 'EACCES':
      case 'EPERM':
        return new Failure('forbidden', `${at} is for root alone: run it with sudo`, cause)
      case 'ENOENT':
      case 'ENOTDIR':
      case 'ECONNREFUSED':
        return new NoMounter(`no mounter answers at ${at}`, cause)
      case 'ENAMETOOLONG':
        return new Failure('bad-request', `${at} is too long for a socket: choose a path of at most 107 bytes`, cause)
      default:
        return new NoAnswer(
          `the mounter at ${at} broke off before it had answered: it ended, or becomes another program; ` +
            'shoal mounts says what is mounted now, and its log says why it ended',
          cause,
        )
    }
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
