/** Answers of the distribution API that are made here rather than passed on: a page of tags, referrers. */
import { manifestTypes } from '../../oci/media.ts'
import type { Repository } from '../../oci/reference.ts'
import type { Passed } from '../../source/source.ts'
import { type ReferrerDescriptor, referrersIndex } from './referrer.ts'

/** What a page has when nobody says; and what it has at most. */
export const mostListed = 1000
/** Who asks for more than a page is a seed that puts two lists together. */
const mostAsked = 10_000

export interface TagsAsked {
  readonly after: string
  readonly limit: number
}

/** `?n=..&last=..`: what is not a number counts as not said. */
export function tagsAsked(search: string): TagsAsked {
  const query = new URLSearchParams(search)
  const n = query.get('n') ?? ''
  const limit = /^\d{1,9}$/.test(n) ? Math.min(Number(n), mostAsked) : mostListed
  return { after: query.get('last') ?? '', limit }
}

/** `more`: there are tags after the last of them. */
export function tagsPage(repository: Repository, tags: readonly string[], limit: number, more: boolean): Passed {
  const headers = new Headers({ 'content-type': 'application/json' })
  const last = tags.at(-1)
  if (more && last !== undefined) {
    headers.set('link', `</v2/${repository.name}/tags/list?n=${limit}&last=${encodeURIComponent(last)}>; rel="next"`)
  }
  return { status: 200, headers, body: Buffer.from(JSON.stringify({ name: repository.name, tags })) }
}

export function referrersPage(search: string, referrers: readonly ReferrerDescriptor[]): Passed {
  const type = new URLSearchParams(search).get('artifactType')
  const some = type === null ? referrers : referrers.filter(({ artifactType }) => artifactType === type)
  const headers = new Headers({ 'content-type': manifestTypes.ociIndex })
  if (type !== null) headers.set('oci-filters-applied', 'artifactType')
  return { status: 200, headers, body: referrersIndex(some) }
}
