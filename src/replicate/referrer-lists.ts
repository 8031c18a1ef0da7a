/**
 * Registries without the referrers API: who pushes a manifest with a subject keeps the list of such manifests himself, as
 * an index under a tag made of the subject's digest. OCI distribution spec, "Referrers Tag Schema".
 */
import { parseReferrer, type ReferrerDescriptor, referrersIndex } from '../home/referrer.ts'
import { parseJson } from '../json.ts'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { formatReference, parseTag, type Repository, type Tag } from '../oci/reference.ts'
import type { RegistryWriter } from '../source/registry-writer.ts'

type Writer = Pick<RegistryWriter, 'manifest' | 'putManifest'>

export class ReferrerLists {
  /** Two that write one list at once would undo each other: they go one after the other. */
  readonly #lines = new Map<string, Promise<void>>()

  add(
    writer: Writer,
    repository: Repository,
    subject: Digest,
    descriptor: ReferrerDescriptor,
    signal: AbortSignal,
  ): Promise<void> {
    const tag = referrersTag(subject)
    const key = formatReference({ ...repository, tag })
    const before = this.#lines.get(key) ?? Promise.resolve()
    const work = before.catch(() => {}).then(() => extend(writer, repository, tag, descriptor, signal))
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

async function extend(
  writer: Writer,
  repository: Repository,
  tag: Tag,
  descriptor: ReferrerDescriptor,
  signal: AbortSignal,
): Promise<void> {
  const bytes = await writer.manifest(repository, tag, signal)
  const list = bytes === undefined ? [] : listed(bytes)
  if (list.some(({ digest }) => digest === descriptor.digest)) return
  const longer = referrersIndex([...list, descriptor])
  await writer.putManifest(repository, tag, { bytes: longer, mediaType: manifestTypes.ociIndex }, signal)
}

/** What is no descriptor is left out. */
function listed(bytes: Uint8Array): ReferrerDescriptor[] {
  const index = parseJson(new TextDecoder().decode(bytes))
  const manifests = typeof index === 'object' && index !== null && 'manifests' in index ? index.manifests : []
  return (Array.isArray(manifests) ? manifests : [])
    .map((one: unknown) => parseReferrer(Buffer.from(JSON.stringify(one))))
    .filter((one) => one !== undefined)
}
