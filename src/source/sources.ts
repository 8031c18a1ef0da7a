/** Registries, files and repositories of the cluster's own behind one face: what is asked for says which of them has it. */
import { isOrigin } from '../oci/file.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import type { Credential } from './docker-config.ts'
import type { Asker, Door, Login, Named } from './door.ts'
import type { Location, OpenBody, Passed, Resolved, Source, Stat } from './source.ts'

export type AnySource = Source & Door

export interface SourcesOptions {
  readonly registries: AnySource
  readonly files: AnySource
  /** Repositories of the cluster's own. */
  readonly homes?: AnySource & { has(repository: Repository): boolean }
  /** What a URL leads to now. */
  readonly resolveFile: (repository: Repository, signal?: AbortSignal) => Promise<Resolved>
}

export class Sources implements Source, Door {
  readonly #o: SourcesOptions

  constructor(options: SourcesOptions) {
    this.#o = options
  }

  resolve(repository: Repository, tag: Tag, signal?: AbortSignal): Promise<Resolved> {
    if (isOrigin(repository.registry)) return this.#o.resolveFile(repository, signal)
    return this.#of(repository).resolve(repository, tag, signal)
  }
  stat(location: Location, ...rest: [AbortSignal?, number?]): Promise<Stat> {
    return this.#of(location.repository).stat(location, ...rest)
  }
  open(location: Location, ...rest: [number, AbortSignal?, number?]): Promise<OpenBody> {
    return this.#of(location.repository).open(location, ...rest)
  }
  pass(repository: Repository, ...rest: [string, string, string | undefined, AbortSignal?]): Promise<Passed> {
    return this.#of(repository).pass(repository, ...rest)
  }
  admits(named: Named, asker: Asker): Promise<void> {
    return this.#of(named.repository).admits(named, asker)
  }
  shows(named: Named, asker: Asker, start: number, bytes: Uint8Array): Promise<void> {
    return this.#of(named.repository).shows(named, asker, start, bytes)
  }
  passFor(
    asker: Asker,
    repository: Repository,
    ...rest: [string, string, string | undefined, AbortSignal?]
  ): Promise<Passed> {
    return this.#of(repository).passFor(asker, repository, ...rest)
  }
  hasLogin(registry: string): Promise<boolean> {
    return this.#at(registry).hasLogin(registry)
  }
  loginAt(registry: string): Promise<Login | undefined> {
    return this.#at(registry).loginAt(registry)
  }
  lend(repository: Repository, credential: Credential): void {
    this.#of(repository).lend(repository, credential)
  }
  borrows(repository: Repository): boolean {
    return this.#of(repository).borrows(repository)
  }
  lender(repository: Repository): number {
    return this.#of(repository).lender(repository)
  }
  takesLogins(registry: string): boolean {
    return this.#at(registry).takesLogins(registry)
  }

  #of(repository: Repository): AnySource {
    const { homes } = this.#o
    return homes?.has(repository) ? homes : this.#at(repository.registry)
  }
  #at(registry: string): AnySource {
    return isOrigin(registry) ? this.#o.files : this.#o.registries
  }
}
