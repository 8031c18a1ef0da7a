/**
 * Which repositories are the cluster's own: those that match a `--home` pattern. They are pushed to its seeds, kept there
 * and at the backend of their pattern, and never asked for at a registry out in the world.
 */
import picomatch from 'picomatch'
import { formatRepository, type Repository } from '../oci/reference.ts'
import type { Backend } from './backend.ts'

export interface Home {
  /** `apps.corp/**`; without a registry in front it is Docker Hub's name that is meant. */
  readonly pattern: string
  /** Absent: seeds' own stores are all there is. */
  readonly backend?: Backend
}

export class Homes {
  readonly all: readonly Home[]
  readonly #matchers: readonly ((name: string) => boolean)[]

  /** The first pattern that matches counts. */
  constructor(all: readonly Home[]) {
    this.all = all
    this.#matchers = all.map(({ pattern }) => picomatch(pattern))
  }

  of(repository: Repository): Home | undefined {
    const name = formatRepository(repository)
    return this.all[this.#matchers.findIndex((matches) => matches(name))]
  }
}
