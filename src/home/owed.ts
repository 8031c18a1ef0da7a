/** What a seed owes to a backend: to make it say what the cluster's state says. Pure. */
import { z } from 'zod'
import type { Random } from '../clock.ts'
import { Failure, type FailureCode } from '../failure.ts'
import { isDigest } from '../oci/digest.ts'
import { formatRepository, isTag, type Repository } from '../oci/reference.ts'
import type { Pin } from '../store/pins.ts'

const repository = z.object({ registry: z.string(), name: z.string() })

/** Not what is to be written: that is looked up when it is done, so that the last word counts. */
const debtSchema = z.discriminatedUnion('what', [
  z.object({ what: z.literal('content'), repository, digest: z.string().refine(isDigest) }),
  z.object({ what: z.literal('tag'), repository, tag: z.string().refine(isTag) }),
])
export type Debt = z.infer<typeof debtSchema>

/** As it was written down, perhaps by another release. @throws {Failure} `bad-request` */
export function parseDebt(body: unknown): Debt {
  const parsed = debtSchema.safeParse(body)
  if (parsed.success) return parsed.data
  throw new Failure('bad-request', 'what is owed to the backend was written down in a way that is not known')
}

/** One debt for one thing; also for people: `tag apps.corp/app:v1`. */
export function keyOf(debt: Debt): string {
  const name = formatRepository(debt.repository)
  return debt.what === 'tag' ? `tag ${name}:${debt.tag}` : `content ${name}@${debt.digest}`
}

const pinnedFor = 'owed to the backend of '

/** Why content stays here that the backend does not have yet. */
export function owedPin(repository: Repository): string {
  return `${pinnedFor}${formatRepository(repository)}`
}

/** What a pin is for; undefined if it is another's. */
export function debtOf({ digest, reason }: Pin): Debt | undefined {
  if (!reason.startsWith(pinnedFor)) return undefined
  const [registry = '', ...path] = reason.slice(pinnedFor.length).split('/')
  return { what: 'content', repository: { registry, name: path.join('/') }, digest }
}

const firstMs = 2_000
const longestMs = 5 * 60_000

/** Ms until the next try, after `tries` that failed: doubled each time, spread by chance, five minutes at most. */
export function waitOf(tries: number, random: Random): number {
  return Math.min(longestMs, firstMs * 2 ** Math.min(tries, 20)) * (0.5 + random() / 2)
}

const hopeless: readonly FailureCode[] = ['bad-request', 'read-only', 'unsupported', 'bad-name', 'bad-digest']

/** No number of tries changes it: the backend cannot do that. */
export function isHopeless(failure: Failure): boolean {
  return hopeless.includes(failure.code)
}
