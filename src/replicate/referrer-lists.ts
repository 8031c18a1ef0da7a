/**
 * Registries without the referrers API: who pushes a manifest with a subject keeps the list of such manifests himself, as
 * an index under a tag made of the subject's digest. OCI distribution spec, "Referrers Tag Schema".
 */
import { Failure } from '../failure.ts'
import { parseReferrer, type ReferrerDescriptor, referrersIndex } from '../home/backends/referrer.ts'
import { parseJson } from '../json.ts'
import { algorithmOf, type Digest, hexOf, shortDigest } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { formatReference, parseTag, type Repository, type Tag } from '../oci/reference.ts'
import type { RegistryWriter } from '../source/registry-writer.ts'

export interface ReferrerList {
  readonly writer: Pick<RegistryWriter, 'has' | 'manifest' | 'putManifest'>
  /** There. */
  readonly repository: Repository
  readonly subject: Digest
  /** All that have the subject, as far as it is known here; some may not be there yet. */
  known(): Promise<readonly ReferrerDescriptor[]>
}

/** Others write it as well; who reads it as often as this and still misses something comes again later. */
const mostTurns = 5

export class ReferrerLists {
  /** Two that write one list at once would undo each other: they go one after the other. */
  readonly #lines = new Map<string, Promise<void>>()

  /** Resolves when all that are known here and are there have been read in the list. @throws {Failure} */
  add(list: ReferrerList, signal: AbortSignal): Promise<void> {
    const tag = referrersTag(list.subject)
    const key = formatReference({ ...list.repository, tag })
    const before = this.#lines.get(key) ?? Promise.resolve()
    const work = before.catch(() => {}).then(() => extend(list, tag, signal))
    const line = work.finally(() => {
      if (this.#lines.get(key) === line) this.#lines.delete(key)
    })
    this.#lines.set(key, line)
    return line
  }
}

export function referrersTag(subject: Digest): Tag {
  return parseTag(`${algorithmOf(subject)}-${hexOf(subject)}`.slice(0, 128))
}

/**
 * Another node may have read the list before this one wrote it, and write it after: so it is read again, until nothing is
 * missing that is there by then, and who writes last has seen to the others.
 */
async function extend(list: ReferrerList, tag: Tag, signal: AbortSignal): Promise<void> {
  const { writer, repository } = list
  for (let turn = 0; turn < mostTurns; turn++) {
    const bytes = await writer.manifest(repository, tag, signal)
    const found = bytes === undefined ? [] : listed(bytes)
    const missing = await missingIn(found, list, signal)
    if (missing.length === 0) return
    const longer = referrersIndex([...found, ...missing])
    await writer.putManifest(repository, tag, { bytes: longer, mediaType: manifestTypes.ociIndex }, signal)
  }
  throw new Failure('try-later', `the list of what refers to ${shortDigest(list.subject)} is changed by somebody else`)
}

async function missingIn(
  found: readonly ReferrerDescriptor[],
  { writer, repository, known }: ReferrerList,
  signal: AbortSignal,
): Promise<ReferrerDescriptor[]> {
  const seen = new Set(found.map(({ digest }) => digest))
  const missing: ReferrerDescriptor[] = []
  for (const one of await known()) {
    const { digest } = one
    if (seen.has(digest)) continue
    seen.add(digest)
    if (await writer.has({ repository, kind: 'manifest', digest }, signal)) missing.push(one)
  }
  return missing
}

/** What is no descriptor is left out. */
function listed(bytes: Uint8Array): ReferrerDescriptor[] {
  const index = parseJson(new TextDecoder().decode(bytes))
  const manifests = typeof index === 'object' && index !== null && 'manifests' in index ? index.manifests : []
  return (Array.isArray(manifests) ? manifests : [])
    .map((one: unknown) => parseReferrer(Buffer.from(JSON.stringify(one))))
    .filter((one) => one !== undefined)
}
