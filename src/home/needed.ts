/**
 * What images need that a backend has and the cluster's state does not tell of: all of them where the state was lost. They
 * share layers with what was pushed since, and no rule is about them: what they need stays when that goes.
 */
import pLimit from 'p-limit'
import { z } from 'zod'
import type { Clock } from '../clock.ts'
import { Failure, type FailureCode } from '../failure.ts'
import { parseJson } from '../json.ts'
import { lru } from '../lru.ts'
import type { Digest } from '../oci/digest.ts'
import { contentsOf, maxManifestBytes } from '../oci/media.ts'
import { formatReference, formatRepository, isTag, type Repository, type Tag } from '../oci/reference.ts'
import type { State } from '../state/state.ts'
import type { Backend } from './backends/backend.ts'
import { collected } from './backends/objects.ts'
import { parseReferrers } from './backends/referrer.ts'
import type { Homes } from './homes.ts'

export interface NeededParts {
  readonly backend: Pick<Backend, 'name' | 'resolve' | 'open' | 'pass'>
  readonly state: { readonly tags: Pick<State['tags'], 'get'>; readonly contents: Pick<State['contents'], 'find'> }
  /** Is told to which of those that stay nothing refers that the state does not know of. */
  readonly bare?: (staying: Digest) => void
}

const askedAtOnce = 16
const pageSize = 1000
const bareMs = 86_400_000
const mostBare = 100_000
const tagsSchema = z.object({ tags: z.array(z.string()).nullish() })

/**
 * Nothing where the repository has no backend from which anything is taken away. What refers to a manifest is asked again
 * a day after it was nothing.
 */
export function neededAt(homes: Homes, state: NeededParts['state'], clock: Pick<Clock, 'now'>) {
  const bareUntil = lru<string, number>(mostBare)
  return async (repository: Repository, staying: Iterable<Digest>): Promise<ReadonlySet<Digest>> => {
    const backend = homes.of(repository)?.backend
    if (!backend?.writes) return new Set()
    const now = clock.now()
    const keyOf = (digest: Digest) => formatReference({ ...repository, digest })
    const asked = [...staying].filter((digest) => (bareUntil.get(keyOf(digest)) ?? now) <= now)
    const bare = (digest: Digest) => void bareUntil.set(keyOf(digest), now + bareMs)
    return neededBeside({ backend, state, bare }, repository, asked)
  }
}

/**
 * Digests of all that tags lead to which the state never heard of, and of what refers to that or to `staying`, manifests
 * that the state knows of. @throws {Failure} where the backend does not say
 */
export async function neededBeside(
  parts: NeededParts,
  repository: Repository,
  staying: Iterable<Digest>,
): Promise<ReadonlySet<Digest>> {
  const limit = pLimit(askedAtOnce)
  const ofEach = async <A, B>(all: Iterable<A>, ask: (one: A) => Promise<B[]>) =>
    (await Promise.all([...all].map((one) => limit(() => ask(one))))).flat()

  const needed = new Set<Digest>()
  const tagged = await ofEach(await unheardTags(parts, repository), async (tag) => {
    const resolved = await unlessMissing(() => parts.backend.resolve(repository, tag))
    return resolved ? [resolved.digest] : []
  })
  const referring = await ofEach(staying, async (digest) => {
    const found = await unheardReferrers(parts, repository, digest)
    if (found.length === 0) parts.bare?.(digest)
    return found
  })
  for (let manifests = [...tagged, ...referring]; manifests.length > 0; ) {
    const fresh = new Set(manifests.filter((digest) => !needed.has(digest)))
    for (const digest of fresh) needed.add(digest)
    manifests = await ofEach(fresh, async (digest) => {
      const named = contentsOf(await manifestOf(parts, repository, digest))
      for (const blob of named.blobs) needed.add(blob.digest)
      const children = named.manifests.map((child) => child.digest)
      return [...children, ...(await unheardReferrers(parts, repository, digest))]
    })
  }
  return needed
}

/** Of these the state does not even know that they were deleted. */
async function unheardTags({ backend, state }: NeededParts, repository: Repository): Promise<Tag[]> {
  const found: Tag[] = []
  for await (const page of pagesOf(backend, repository, 'tags/list', `?n=${pageSize}`)) {
    for (const tag of tagsSchema.parse(page).tags ?? []) {
      if (isTag(tag) && !(await state.tags.get(repository, tag))) found.push(tag)
    }
  }
  return found
}

/** Those that the state knows of are judged as all that it knows of. */
async function unheardReferrers(
  { backend, state }: NeededParts,
  repository: Repository,
  subject: Digest,
): Promise<Digest[]> {
  const found: Digest[] = []
  const look = async () => {
    for await (const page of pagesOf(backend, repository, `referrers/${subject}`, '')) {
      for (const { digest } of parseReferrers(page)) {
        if (!(await state.contents.find(repository, digest))) found.push(digest)
      }
    }
  }
  // A registry that keeps no such list has them under tags.
  await look().catch(unless('unsupported'))
  return found
}

async function* pagesOf(
  backend: NeededParts['backend'],
  repository: Repository,
  path: string,
  search: string,
): AsyncGenerator<unknown, void, undefined> {
  for (let asked: string | undefined = search; asked !== undefined; ) {
    const query: string = asked
    const page = await unlessMissing(() => backend.pass(repository, path, query, undefined))
    if (!page) return
    if (page.status !== 200) {
      const what = `${path} of ${formatRepository(repository)}`
      throw new Failure('unsupported', `${backend.name} does not tell ${what}: it answers ${page.status}`)
    }
    yield parseJson(new TextDecoder().decode(page.body))
    asked = /<[^<>]*(\?[^<>#]*)>\s*;\s*rel="?next"?/.exec(page.headers.get('link') ?? '')?.[1]
    // Or there would be no end.
    if (asked === query) return
  }
}

/** Nothing where there is none: nobody can have it either. */
async function manifestOf({ backend }: NeededParts, repository: Repository, digest: Digest): Promise<Uint8Array> {
  const opened = await unlessMissing(() => backend.open({ repository, kind: 'manifest', digest }, 0))
  return opened ? collected(opened.body, maxManifestBytes, `manifest ${digest}`) : new Uint8Array()
}

async function unlessMissing<T>(ask: () => Promise<T>): Promise<T | undefined> {
  return ask().catch(unless('no-name', 'no-manifest', 'no-blob'))
}

function unless(...codes: readonly FailureCode[]) {
  return (error: unknown): undefined => {
    if (!codes.includes(Failure.from(error).code)) throw error
  }
}
