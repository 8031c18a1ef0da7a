/**
 * Which image of this cluster a registry means. A registry names its content by the URL it has there itself; hosts name it
 * as they pull it, by a registry's name and a repository: the same unless `--upstream` gives that URL another name. Pure.
 */
import { Failure } from '../failure.ts'
import { isDigest } from '../oci/digest.ts'
import { formatReference, looksLikeRegistry, parseTag, type Reference, repositoryOf } from '../oci/reference.ts'

/** A registry as hosts name it, and the rest of the path behind `/v2/` as it is called there. */
export interface Named {
  readonly registry: string
  readonly path: string
}

/** By which names a URL of a registry's API is reached here, the most particular first; none for what is no such URL. */
export type Names = (url: URL) => readonly Named[]

export interface Image {
  readonly registry: string
  /** For a preheat: `harbor.corp/team/app:v1`. */
  readonly name: string
}

/**
 * What the URL of a manifest means; a digest that is known goes with its tag, which may point elsewhere already.
 * @throws {Failure} `bad-request`, `bad-name`, `bad-reference` for what is no manifest's URL
 */
export function imagesAt(text: string, names: Names, digest?: string): Image[] {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol)) throw bad(text, 'it is not an http or https URL')
  const found = names(new URL(url.pathname, url.origin)).map(({ registry, path }) => {
    const [, repository, reference] = /^(.+)\/manifests\/([^/]+)$/.exec(path) ?? []
    if (repository === undefined || reference === undefined) {
      throw bad(text, 'it is not the URL of a manifest, such as https://harbor.corp/v2/team/app/manifests/v1')
    }
    // A digest has a colon, which some encode.
    return imageOf(registry, repository, reference.replace(/%3a/i, ':'), digest)
  })
  if (found.length === 0) throw bad(text, 'it is not the URL of a manifest: /v2/ is not in it')
  return found
}

/** @throws {Failure} as {@link imagesAt} */
export function imageOf(registry: string, repository: string, reference: string | undefined, digest?: string): Image {
  const named = repositoryOf(registry, repository)
  if (!looksLikeRegistry(named.registry)) {
    throw new Failure(
      'bad-request',
      `"${named.registry}" cannot be told from a name at Docker Hub: call that registry by a name with a dot or a port, with --upstream NAME=URL`,
    )
  }
  const known = digest !== undefined && isDigest(digest) ? digest : undefined
  const byDigest = reference !== undefined && isDigest(reference) ? reference : undefined
  const exact = byDigest ?? known
  const full: Reference = {
    ...named,
    ...(reference === undefined || byDigest ? {} : { tag: parseTag(reference) }),
    ...(exact === undefined ? {} : { digest: exact }),
  }
  return { registry: named.registry, name: formatReference(full) }
}

function bad(text: string, why: string): Failure {
  return new Failure('bad-request', `"${text.slice(0, 200)}" cannot be warmed: ${why}`)
}
