/** Logins that came with a request: for the repositories that it names, for as long as its job runs, from memory. */
import { Failure } from '../failure.ts'
import type { Repository } from '../oci/reference.ts'
import { parseRegistry } from '../oci/reference.ts'
import { visitorOf } from '../rights/visitor.ts'
import type { Credential } from '../source/docker-config.ts'
import type { Door } from '../source/door.ts'

export interface Lending {
  /** To be done again every few minutes: what is lent is forgotten after a while. */
  lend(): void
}

/**
 * @param authorizations `Authorization` values, by registry
 * @throws {Failure} `bad-request` for what is none, and for a registry to which this node sends no logins
 */
export function lendingOf(
  authorizations: Readonly<Record<string, string>>,
  repositories: readonly Repository[],
  door: Pick<Door, 'lend' | 'takesLogins'>,
): Lending {
  const credentials = new Map<string, Credential>()
  for (const [name, value] of Object.entries(authorizations)) {
    const registry = parseRegistry(name)
    const { credential } = visitorOf(value, async () => false)
    if (!credential) {
      throw new Failure('bad-request', `the authorization for ${registry} is neither "Basic ..." nor "Bearer ..."`)
    }
    if (!door.takesLogins(registry)) {
      throw new Failure('bad-request', `logins are sent to listed registries only: add --upstream ${registry}=<url>`)
    }
    credentials.set(registry, credential)
  }
  return {
    lend() {
      for (const repository of repositories) {
        const credential = credentials.get(repository.registry)
        if (credential) door.lend(repository, credential)
      }
    },
  }
}
