/** A source's door in memory: who is let into which repository, what is there, and what it was asked. */
import { Failure } from '../../src/failure.ts'
import { formatRepository, type Repository } from '../../src/oci/reference.ts'
import type { Credential } from '../../src/source/docker-config.ts'
import type { Asker, Door, Login, Named } from '../../src/source/door.ts'
import type { Passed } from '../../src/source/source.ts'

export class FakeDoor implements Door {
  /** `ann ghcr.io/org/app v1`, in order. */
  readonly asked: string[] = []
  /** By repository: `anyone`, `node`, and names of users. */
  readonly lets = new Map<string, readonly string[]>()
  /** Tags and digests that are in no repository. */
  readonly absent = new Set<string>()
  /** Registries that clients' credentials may go to; all unless given. */
  listed: readonly string[] | undefined
  /** What a registry can show of what it says it has: `ghcr.io/org/app sha256:...`. */
  readonly has = new Map<string, Uint8Array>()
  /** What the node may read by whose credentials. */
  readonly lent: string[] = []
  /** The node has a login. */
  login = false
  /** Thrown by every question while set. */
  failure: Failure | undefined
  /** Awaited by every question. */
  gate: Promise<void> | undefined

  let(repository: Repository, ...askers: string[]): void {
    this.lets.set(formatRepository(repository), askers)
  }

  async admits({ repository, kind, reference }: Named, asker: Asker): Promise<void> {
    this.#called(repository, asker, reference)
    await this.gate
    if (this.failure) throw this.failure
    this.#enter(repository, asker)
    if (this.absent.has(reference)) throw new Failure(kind === 'blob' ? 'no-blob' : 'no-manifest', 'it is not there')
  }

  async shows({ repository, kind, reference }: Named, asker: Asker, start: number, bytes: Uint8Array): Promise<void> {
    this.#called(repository, asker, `bytes of ${reference}`)
    await this.gate
    if (this.failure) throw this.failure
    this.#enter(repository, asker)
    const has = this.has.get(`${formatRepository(repository)} ${reference}`)
    if (has && Buffer.compare(has.subarray(start, start + bytes.length), bytes) === 0) return
    throw new Failure(kind === 'blob' ? 'no-blob' : 'no-manifest', 'it has other bytes')
  }

  async passFor(asker: Asker, repository: Repository, path: string): Promise<Passed> {
    this.#called(repository, asker, path)
    if (this.failure) throw this.failure
    this.#enter(repository, asker)
    return { status: 200, headers: new Headers(), body: Buffer.from(nameOf(asker)) }
  }

  async hasLogin(): Promise<boolean> {
    return this.login
  }

  async loginAt(registry: string): Promise<Login | undefined> {
    return this.login ? { who: 'ann, from /config.json', account: registry } : undefined
  }

  lend(repository: Repository, credential: Credential): void {
    this.lent.push(`${nameOf(credential)} ${formatRepository(repository)}`)
  }

  borrows(repository: Repository): boolean {
    return this.lent.some((said) => said.endsWith(` ${formatRepository(repository)}`))
  }

  lender(repository: Repository): number {
    return this.lent.findLastIndex((said) => said.endsWith(` ${formatRepository(repository)}`)) + 1
  }

  takesLogins(registry: string): boolean {
    return this.listed?.includes(registry) ?? true
  }

  #called(repository: Repository, asker: Asker, what: string): void {
    this.asked.push(`${nameOf(asker)} ${formatRepository(repository)} ${what}`)
  }

  #enter(repository: Repository, asker: Asker): void {
    if (this.lets.get(formatRepository(repository))?.includes(nameOf(asker))) return
    throw new Failure('denied', 'not you')
  }
}

function nameOf(asker: Asker): string {
  if (typeof asker === 'string') return asker
  return asker.kind === 'basic' ? asker.username : 'bearer'
}
