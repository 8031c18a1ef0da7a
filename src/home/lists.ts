/** Lists of a repository of the cluster's own, as the OCI distribution API words them, a page at a time. */
import { Failure } from '../failure.ts'
import type { Digest } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { formatRepository, type Repository } from '../oci/reference.ts'
import type { State } from '../state/state.ts'
import type { ReferrerDescriptor } from './backends/referrer.ts'
import type { Beside } from './beside.ts'
import type { ListReply } from './calls.ts'

const mostTags = 1000
const mostRepositories = 1000
/** Each may have annotations: an answer between nodes has a megabyte at most. */
const mostReferrers = 200
const mostListBytes = 768 * 1024

/** `tags/list?n=<most>&last=<after>` @throws {Failure} `no-name`, `bad-request` */
export async function tagsOf(
  state: State,
  repository: Repository,
  search: string,
  beside?: Beside,
): Promise<ListReply> {
  const { limit, last } = pageIn(search, mostTags)
  const after = last === undefined ? {} : { after: last }
  // One more, to know whether there is another page.
  const known = await state.tags.list(repository, { ...after, limit: limit + 1 })
  const more = (await beside?.tags(repository, last ?? '', limit + 1, known.length > 0)) ?? []
  const found = [...new Set([...known, ...more])].sort().slice(0, limit + 1)
  const tags = found.slice(0, limit)
  if (found.length === 0 && !(await isKnown(state, repository))) {
    throw new Failure('no-name', `nothing was pushed to ${formatRepository(repository)}`)
  }
  const next = found.length > limit && tags.length > 0 ? tags.at(-1) : undefined
  return listOf('application/json', { name: repository.name, tags }, next && { n: String(limit), last: next })
}

/** `referrers/<digest>?artifactType=<type>`: an index of those that name it as their subject; empty if none does. */
export async function referrersOf(
  state: State,
  repository: Repository,
  subject: Digest,
  search: string,
  beside?: Beside,
): Promise<ListReply> {
  const parameters = new URLSearchParams(search)
  const { limit, last } = pageIn(search, mostReferrers)
  const type = parameters.get('artifactType') ?? ''
  const known = await state.contents.referrers(repository, subject)
  const more = (await beside?.referrers(repository, subject, known.length > 0)) ?? []
  const all = new Map([...more, ...known].map((each) => [each.digest, each]))
  const wanted = [...all.values()]
    .filter(
      ({ artifactType, digest }) => (type === '' || artifactType === type) && (last === undefined || digest > last),
    )
    .sort((a, b) => (a.digest < b.digest ? -1 : 1))
  const manifests: object[] = []
  let bytes = 0
  for (const content of wanted.slice(0, limit)) {
    const descriptor = descriptorOf(content)
    bytes += JSON.stringify(descriptor).length
    // One is always given, or there would be no end.
    if (manifests.length > 0 && bytes > mostListBytes) break
    manifests.push(descriptor)
  }
  const next = manifests.length < wanted.length ? wanted[manifests.length - 1]?.digest : undefined
  const filtered = type === '' ? {} : { artifactType: type }
  const reply = listOf(
    manifestTypes.ociIndex,
    { schemaVersion: 2, mediaType: manifestTypes.ociIndex, manifests },
    next && { ...filtered, last: next },
  )
  return type === '' ? reply : { ...reply, headers: { ...reply.headers, 'oci-filters-applied': 'artifactType' } }
}

/** `_catalog?n=<most>&last=<after>` */
export async function catalogOf(state: State, search: string): Promise<ListReply> {
  const { limit, last } = pageIn(search, mostRepositories)
  const found = await state.tags.repositories({ ...(last === undefined ? {} : { after: last }), limit: limit + 1 })
  const repositories = found.slice(0, limit).map(formatRepository)
  const next = found.length > limit ? repositories.at(-1) : undefined
  return listOf('application/json', { repositories }, next && { n: String(limit), last: next })
}

async function isKnown(state: State, repository: Repository): Promise<boolean> {
  const [some] = await state.contents.list(repository, { limit: 1 })
  return some !== undefined || (await state.tags.list(repository, { limit: 1 })).length > 0
}

function descriptorOf({ mediaType, digest, size, artifactType, annotations }: ReferrerDescriptor) {
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === undefined ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  }
}

/** @throws {Failure} `bad-request` */
function pageIn(search: string, most: number): { limit: number; last?: string } {
  const parameters = new URLSearchParams(search)
  const n = parameters.get('n')
  const last = parameters.get('last')
  if (n !== null && !/^\d{1,9}$/.test(n)) {
    throw new Failure('bad-request', `n is "${n.slice(0, 20)}"; expected how many to list at most`)
  }
  return {
    limit: n === null ? most : Math.min(most, Number(n)),
    ...(last === null ? {} : { last: last.slice(0, 600) }),
  }
}

/** The path of a link is that of the request, which the registry port knows. */
function listOf(type: string, body: object, next: Record<string, string> | undefined | ''): ListReply {
  const link = next ? { link: `<?${new URLSearchParams(next)}>; rel="next"` } : {}
  return { status: 200, headers: { 'content-type': type, ...link }, body: JSON.stringify(body) }
}
