/** Another cluster, or any registry: what repositories are called there, and whether it is worth asking now. */
import picomatch from 'picomatch'
import type { Clock, Random } from '../clock.ts'
import type { ReplicationRule } from '../config/rules.ts'
import { isOrigin } from '../oci/file.ts'
import { formatRepository, parseRegistry, type Repository } from '../oci/reference.ts'
import { RegistryWriter, type RegistryWriterOptions } from '../source/registry-writer.ts'
import { Turns } from '../turns.ts'
import { ReferrerLists } from './referrer-lists.ts'

/** A repository there, and what writes to it. */
export interface Place {
  readonly writer: RegistryWriter
  readonly repository: Repository
  readonly referrers: ReferrerLists
  /** For blobs of its repositories: who comes for one that is on its way finds it there afterwards. */
  readonly turns: Turns
}

/** After the first failure; doubles with each further one. */
const firstPauseMs = 1000
/** An outage of a minute is over for good within two. */
const longestPauseMs = 30_000

export class Target {
  readonly rule: ReplicationRule
  /** Told apart from other rules by it, also after a restart. */
  readonly id: string
  readonly #matches: (name: string) => boolean
  readonly #referrers = new ReferrerLists()
  readonly #writers = new Map<string, Pick<Place, 'writer' | 'turns'>>()
  readonly #options: Omit<RegistryWriterOptions, 'upstreams'>
  readonly #registry: string
  readonly #clock: Clock
  readonly #random: Random
  #failures = 0
  #restsUntil = 0

  constructor(rule: ReplicationRule, options: Omit<RegistryWriterOptions, 'upstreams'>) {
    this.rule = rule
    this.id = `${rule.pattern}=${rule.target}`
    this.#matches = picomatch(rule.pattern)
    this.#options = options
    this.#registry = parseRegistry(new URL(rule.origin).host)
    this.#clock = options.clock
    this.#random = options.random
  }

  /** No file at a URL: registries have no place for it. */
  matches(repository: Repository): boolean {
    return !isOrigin(repository.registry) && this.#matches(formatRepository(repository))
  }

  place(repository: Repository): Place {
    const prefix = this.rule.prefix.replaceAll('{registry}', repository.registry)
    let writing = this.#writers.get(prefix)
    if (!writing) {
      const url = new URL(prefix === '' ? this.rule.origin : `${this.rule.origin}/v2/${prefix}`)
      const upstreams = new Map([[this.#registry, [{ url }]]])
      writing = { writer: new RegistryWriter({ ...this.#options, upstreams }), turns: new Turns() }
      this.#writers.set(prefix, writing)
    }
    return { ...writing, repository: { registry: this.#registry, name: repository.name }, referrers: this.#referrers }
  }

  /** Ms until it is asked again; 0: now. */
  get rest(): number {
    return Math.max(0, this.#restsUntil - this.#clock.now())
  }

  /** It was out of reach: everything that waits for it waits together. */
  failed(): void {
    // Those that were under way together failed together.
    if (this.rest > 0) return
    const pause = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(this.#failures, 10))
    this.#failures++
    this.#restsUntil = this.#clock.now() + pause * (0.5 + this.#random() / 2)
  }

  answered(): void {
    this.#failures = 0
  }
}
