/**
 * Which repositories are the cluster's own: those that match a `--home` pattern. They are pushed to its seeds, kept there
 * and at the backend of their pattern, and never asked for at a registry out in the world.
 */
import { formatRepository, looksLikeRegistry, type Repository } from '../oci/reference.ts'
import type { Lasting } from '../state/state.ts'
import type { Backend } from './backends/backend.ts'
import { matcherOf } from './pattern.ts'

export interface Home {
  /** `apps.corp/**`, with the registry in full. */
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
    this.#matchers = all.map(({ pattern }) => matcherOf(pattern))
  }

  get patterns(): string[] {
    return this.all.map(({ pattern }) => pattern)
  }

  of(repository: Repository): Home | undefined {
    const name = formatRepository(repository)
    return this.all[this.#matchers.findIndex((matches) => matches(name))]
  }

  /**
   * What the state has to remember of a repository of the cluster's own: that something was deleted hides what its backend
   * has of it still, and perhaps never deletes. Who was not told of its home cannot tell whether it has one.
   */
  lasting(repository: Repository): Lasting {
    const home = this.of(repository)
    return home && !home.backend ? 'tags' : 'all'
  }
}

/** One that another node may say: its registry stands there in full, so that it takes no other registry's images away. */
export function isPattern(text: string): boolean {
  const slash = text.indexOf('/')
  const [registry, names] = [text.slice(0, Math.max(slash, 0)), text.slice(slash + 1)]
  if (!/^[a-z0-9.:[\]-]+$/.test(registry) || !looksLikeRegistry(registry)) return false
  return (
    text.length <= 256 && /^[a-z0-9*?._-]+(?:\/[a-z0-9*?._-]+)*$/.test(names) && (names.match(/\*+/g)?.length ?? 0) <= 8
  )
}
