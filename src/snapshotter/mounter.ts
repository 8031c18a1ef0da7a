/** The mounter as the snapshotter needs it: answers within a time, and refusals that say what to do. */
import { Failure } from '../failure.ts'
import { type MountEntry, mountTable } from '../mount/kernel/table.ts'
import type { LayerFacts } from '../mount/mounter/api.ts'
import { MounterClient, NoAnswer, NoMounter } from '../mount/mounter/client.ts'
import type { Layer } from './catalog.ts'
import type { Usage } from './snapshot.ts'

/** To look something up. */
const askMs = 5000
/** To mount a layer whose index is in the cluster. */
const mountMs = 30_000

/** It may be at work, and a restart ends all mounts: what containers have not read yet is gone then. */
const look =
  'journalctl -u shoal-mounter says why; do not restart it while containers run, for their mounts end with it'

export interface MounterAddress {
  readonly socket: string
  /** Origin of the registry port of the node that layers are read from. */
  readonly node: string
}

export class Mounter {
  readonly #at: MounterAddress
  readonly #patience: { readonly askMs: number; readonly mountMs: number }
  readonly #client: MounterClient

  /** In ms: how long it is waited for, by what it is asked. */
  constructor(at: MounterAddress, patience = { askMs, mountMs }) {
    this.#at = at
    this.#patience = patience
    this.#client = new MounterClient(at.socket)
  }

  /** @throws {Failure} */
  open(layer: Layer, holder: string): Promise<LayerFacts> {
    return this.#within(
      this.#patience.mountMs,
      this.#client.hold({ node: { registry: this.#at.node }, ...layer, holder }),
    )
  }

  /** See {@link MounterClient.makeFolders}. @throws {Failure} */
  makeFolders(id: string, below: readonly string[], into: string): Promise<boolean> {
    return this.#within(this.#patience.mountMs, this.#client.makeFolders(id, { below: [...below], into }))
  }

  /** @throws {Failure} */
  async layers(): Promise<readonly LayerFacts[]> {
    return this.#within(this.#patience.askMs, this.#client.layers())
  }

  /** Undefined where it is not mounted. @throws {Failure} */
  layer(id: string): Promise<LayerFacts | undefined> {
    return this.#within(askMs, this.#client.layer(id))
  }

  /** Whoever removes an image wants its space. @throws {Failure} */
  release(id: string, holder: string): Promise<void> {
    return this.#within(this.#patience.askMs, this.#client.release(id, holder, { discard: true }))
  }

  /** What the mounter does too late is found by whoever looks at what it holds. @throws {Failure} */
  async #within<T>(ms: number, answer: Promise<T>): Promise<T> {
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(() => late.reject(this.#away(`said nothing for ${ms / 1000} s; ${look}`)), ms)
    try {
      return await Promise.race([answer, late.promise])
    } catch (error) {
      if (error instanceof NoMounter) throw this.#away('does not answer; systemctl start shoal-mounter', error)
      if (error instanceof NoAnswer) throw this.#away(`broke off before it had answered; ${look}`, error)
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  #away(what: string, cause?: unknown): Failure {
    return new Failure('unavailable', `the mounter at ${this.#at.socket} ${what}`, { cause })
  }
}

/** On the disk; what other layers have too lies with one of them. Its files: data, tree, index, state, and their folder. */
export function usageOf({ disk }: Pick<LayerFacts, 'disk'>): Usage {
  return { size: disk, inodes: 5 }
}

/** From the table of mounts: to look at the place itself could wait for whoever serves it. */
export function isMounted(path: string, table: readonly MountEntry[] = mountTable()): boolean {
  return table.some(({ target }) => target === path)
}
