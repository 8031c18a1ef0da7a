/** What came of asking a source whether somebody may have something, and what the client is told of it. Pure. */
import { Failure } from '../failure.ts'
import { isDigest } from '../oci/digest.ts'
import { formatReference } from '../oci/reference.ts'
import type { Login, Named } from '../source/door.ts'

export type Outcome = 'allowed' | 'refused' | 'missing' | 'unknown'

export interface Circumstances {
  /** Why the registry last could not say. */
  readonly trouble: string | undefined
  /** The client has shown no credentials, and if it did they would be sent to the registry. */
  readonly shows: boolean
  /** The registry was asked by this node's login, and refused; the login itself where the client may hear of it. */
  readonly refused?: { readonly login: Login | undefined } | undefined
}

/** @returns what to tell a client that nobody let in */
export function refusal(
  named: Named,
  outcomes: readonly Outcome[],
  { trouble, shows, refused }: Circumstances,
): Failure {
  const what = formatNamed(named)
  const { registry } = named.repository
  if (outcomes.includes('unknown')) {
    const never = `registry ${registry} cannot be asked now whether this client may have ${what}, and it never said so before`
    return new Failure('unavailable', trouble ? `${never}: ${trouble}` : never)
  }
  if (outcomes.includes('refused')) return refusedBy(registry, what, { shows, refused })
  return new Failure(named.kind === 'manifest' ? 'no-manifest' : 'no-blob', `registry ${registry} has no ${what}`)
}

/** `what` was refused in every name in which the registry was asked. */
export function refusedBy(
  registry: string,
  what: string,
  { shows, refused }: Pick<Circumstances, 'shows' | 'refused'>,
): Failure {
  if (refused) {
    const { login } = refused
    const whose = login ? ` (${login.who})` : ''
    const mend = login ? `log in again with "docker login ${login.account}"` : 'its log says which'
    const other = shows ? ', or show credentials that may have it' : ''
    return new Failure(
      shows ? 'unauthorized' : 'denied',
      `registry ${registry} refused the login of this node${whose} for ${what}, and does not give it to anyone; ${mend}${other}`,
    )
  }
  if (!shows) return new Failure('denied', `registry ${registry} does not give ${what} to this client`)
  return new Failure(
    'unauthorized',
    `registry ${registry} does not give ${what} to a client without credentials; show some, or let this node's count (--logins-for)`,
  )
}

export function outcomeOf(failure: Failure | undefined): Outcome {
  if (!failure) return 'allowed'
  const { code } = failure
  if (code === 'denied') return 'refused'
  return code === 'no-manifest' || code === 'no-blob' || code === 'no-name' ? 'missing' : 'unknown'
}

export function formatNamed({ repository, reference }: Named): string {
  const name = isDigest(reference) ? { digest: reference } : { tag: reference }
  return formatReference({ ...repository, ...name })
}
