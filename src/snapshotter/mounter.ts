/** The mounter as the snapshotter sees it: its API on a unix socket. */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { type LayerFacts, layerSchema, layersSchema, refusalSchema } from '../mount/mounter/api.ts'
import type { Layer } from './catalog.ts'
import type { Usage } from './snapshot.ts'

const askMs = 10_000

export interface MounterAddress {
  readonly socket: string
  /** The registry port of the node that layers are read from. */
  readonly node: string
}

export class Mounter {
  readonly #at: MounterAddress

  constructor(at: MounterAddress) {
    this.#at = at
  }

  /** @throws {Failure} */
  async open(layer: Layer, holder: string): Promise<LayerFacts> {
    const body = { node: { registry: this.#at.node }, ...layer, holder }
    return layerSchema.parse(await this.#ask('POST', '/v1/layers', body))
  }

  /** Undefined: the mounter has no such layer. @throws {Failure} */
  async layer(id: string): Promise<LayerFacts | undefined> {
    return z.optional(layerSchema).parse(await this.#ask('GET', `/v1/layers/${encodeURIComponent(id)}`))
  }

  /** @throws {Failure} */
  async layers(): Promise<LayerFacts[]> {
    return layersSchema.parse(await this.#ask('GET', '/v1/layers')).layers
  }

  /** @throws {Failure} */
  async release(id: string, holder: string): Promise<void> {
    await this.#ask('DELETE', `/v1/layers/${encodeURIComponent(id)}?holder=${encodeURIComponent(holder)}`)
  }

  /** Undefined for a 404. @throws {Failure} */
  async #ask(method: string, path: string, body?: object): Promise<unknown> {
    let response: Response
    try {
      response = await fetch(`http://mounter${path}`, {
        method,
        unix: this.#at.socket,
        signal: AbortSignal.timeout(askMs),
        ...(body ? { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } } : {}),
      })
    } catch (error) {
      throw new Failure(
        'unavailable',
        `the mounter at ${this.#at.socket} does not answer; systemctl start shoal-mounter`,
        {
          cause: error,
        },
      )
    }
    if (response.status === 404 && method !== 'POST') return undefined
    const text = await response.text()
    if (response.ok) return text === '' ? undefined : JSON.parse(text)
    throw new Failure('unavailable', refusalSchema.safeParse(parsed(text)).data?.error ?? text.slice(0, 300))
  }
}

/** What it takes here, without what it has in common with other layers. Of the host's inodes it has two: tree and data. */
export function usageOf({ here, deduped }: Pick<LayerFacts, 'here' | 'deduped'>): Usage {
  return { size: Math.max(0, here - deduped), inodes: 2 }
}

/** From the table of mounts: to look at the place itself could wait for whoever serves it. */
export async function isMounted(path: string): Promise<boolean> {
  return mountedIn(await readFile('/proc/self/mountinfo', 'utf8'), path)
}

/** proc_pid_mountinfo(5): the fifth word is the place, with blanks and the like in octal. */
export function mountedIn(mountinfo: string, path: string): boolean {
  const octal = (text: string) =>
    text.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)))
  return mountinfo.split('\n').some((line) => octal(line.split(' ')[4] ?? '') === path)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
