/**
 * Where a node keeps the repositories of the cluster's own for good, put together: the homes with their backends, and what
 * is brought there. A node that is no seed, or whose homes have no backend that takes anything, owes nothing.
 */
import type { HomeWrite } from '../config/settings.ts'
import type { Digest } from '../oci/digest.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import type { State } from '../state/state.ts'
import type { Homes } from './homes.ts'
import { type Owed, type OwedFacts, WriteBack, type WriteBackOptions } from './write-back.ts'

/** What a push did: the part of it that a backend has to know. */
export type Pushed =
  | {
      readonly kind: 'content' | 'removed'
      readonly repository: Repository
      readonly content: { readonly digest: Digest }
    }
  | { readonly kind: 'tag'; readonly repository: Repository; readonly tag: Tag }

export interface KeepingInit extends Omit<WriteBackOptions, 'state'> {
  /** Absent on a node that is neither seed nor scheduler. */
  readonly state: State | undefined
  readonly seed: boolean
}

export interface KeepingFacts extends OwedFacts {
  readonly homes: readonly { readonly pattern: string; readonly backend?: string; readonly writable?: boolean }[]
  readonly mode: HomeWrite
}

export class Keeping {
  readonly #homes: Homes
  readonly #mode: HomeWrite
  readonly #writeBack: WriteBack | undefined

  constructor({ state, seed, ...init }: KeepingInit) {
    this.#homes = init.homes
    this.#mode = init.mode
    const owes = seed && init.homes.all.some(({ backend }) => backend?.writes !== undefined)
    this.#writeBack = owes && state ? new WriteBack({ ...init, state }) : undefined
  }

  start(): void {
    this.#writeBack?.start()
  }

  /** Resolves when the client that pushed may hear of it. @throws {Failure} `try-later` */
  async pushed(event: Pushed): Promise<void> {
    if (event.kind === 'tag') await this.#writeBack?.tag(event.repository, event.tag)
    else await this.#writeBack?.content(event.repository, event.content.digest)
  }

  /** Undefined where nothing is ever owed. */
  get owed(): Owed | undefined {
    return this.#writeBack?.owed
  }

  async facts(): Promise<KeepingFacts> {
    const owed = (await this.#writeBack?.facts()) ?? { waiting: 0, some: [] }
    const homes = this.#homes.all.map(({ pattern, backend }) =>
      backend ? { pattern, backend: backend.name, writable: backend.writes !== undefined } : { pattern },
    )
    return { ...owed, homes, mode: this.#mode }
  }

  async close(): Promise<void> {
    await this.#writeBack?.close()
  }
}
