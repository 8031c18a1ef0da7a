/**
 * A manifest and all that it leads to, from here to another registry: what a manifest names is there before the manifest,
 * and the tag comes last. So whoever reads there meets nothing that is not whole, and what is there needs no second look.
 */
import pLimit from 'p-limit'
import type { Content, Manifest } from '../content/content.ts'
import { Failure } from '../failure.ts'
import { type ReferrerDescriptor, referrerOf } from '../home/backends/referrer.ts'
import type { Digest } from '../oci/digest.ts'
import { contentsOf, isElsewhere } from '../oci/media.ts'
import type { Repository, Tag } from '../oci/reference.ts'
import type { Readable, RegistryWriter } from '../source/registry-writer.ts'
import type { Place } from './target.ts'

export interface Copy {
  readonly from: Repository
  readonly to: Pick<Place, 'repository' | 'referrers' | 'turns'> & {
    readonly writer: Pick<RegistryWriter, 'has' | 'manifest' | 'putManifest' | 'putBlob'>
  }
  readonly content: Pick<Content, 'manifest' | 'open'>
  /** Repositories there that may have the blob. */
  readonly elsewhere: (digest: Digest) => Promise<Repository[]>
  /** Manifests of the repository here that have the subject. */
  readonly referrers: (subject: Digest) => Promise<readonly ReferrerDescriptor[]>
  readonly sent: (bytes: number) => void
  readonly signal: AbortSignal
}

const blobsAtOnce = 3
/** An index of indexes is rare; one of itself cannot be. */
const deepest = 4

/** False if there was nothing to do. @throws {Failure} of here and of there */
export async function copyManifest(copy: Copy, digest: Digest, tag?: Tag): Promise<boolean> {
  const { to, from, content, signal } = copy
  const { writer, repository } = to
  const there = await writer.has({ repository, kind: 'manifest', digest }, signal)
  if (there && tag === undefined) return false
  const manifest = await here(content.manifest(from, digest, signal))
  if (!there) await copyParts(copy, manifest, 0)
  await put(copy, manifest, tag ?? digest)
  return true
}

/**
 * For a manifest with a subject that is there: whoever put it there may have ended before it was listed, and only a
 * registry that is told of it again says whether it keeps such lists itself.
 * @throws {Failure} of here and of there
 */
export async function listReferrer(copy: Copy, digest: Digest): Promise<void> {
  await put(copy, await here(copy.content.manifest(copy.from, digest, copy.signal)), digest)
}

async function copyParts(copy: Copy, manifest: Manifest, depth: number): Promise<void> {
  const { to, from, content, signal } = copy
  const { manifests, blobs } = contentsOf(manifest.bytes)
  if (depth === deepest && manifests.length > 0) {
    throw new Failure('bad-request', `${manifest.digest} is an index of indexes, ${deepest} deep`)
  }
  for (const { digest } of manifests) {
    if (await to.writer.has({ repository: to.repository, kind: 'manifest', digest }, signal)) continue
    const child = await here(content.manifest(from, digest, signal))
    await copyParts(copy, child, depth + 1)
    await put(copy, child, digest)
  }
  const limit = pLimit(blobsAtOnce)
  const own = new Map(blobs.filter(({ mediaType }) => !isElsewhere(mediaType)).map((blob) => [blob.digest, blob]))
  // None is begun after one has failed, and all have ended before another try begins.
  let failed: { readonly error: unknown } | undefined
  const copied = [...own.values()].map(({ digest, size }) =>
    limit(async () => {
      if (failed) return
      try {
        await copyBlob(copy, digest, size)
      } catch (error) {
        failed ??= { error }
      }
    }),
  )
  await Promise.all(copied)
  if (failed) throw (failed as { error: unknown }).error
}

async function copyBlob(copy: Copy, digest: Digest, size: number): Promise<void> {
  const { to, content, from, signal, elsewhere, sent } = copy
  const blob: Readable = {
    digest,
    size,
    async *read(start) {
      const reader = await here(content.open(from, digest, { start }, signal))
      try {
        if (reader.size !== size) {
          throw new Failure('corrupt', `${digest} has ${reader.size} bytes, and a manifest says that it has ${size}`)
        }
        for await (const bytes of reader.read({ start, end: size }, signal)) {
          yield bytes
          sent(bytes.length)
        }
      } catch (error) {
        throw ofHere(error)
      } finally {
        reader.close()
      }
    },
  }
  // A tag and the manifest that it leads to are two tasks, and images have layers in common. Sent twice at once, a layer is
  // sent for nothing, and distribution 2 may refuse the manifest of whoever was first (MANIFEST_BLOB_UNKNOWN).
  await to.turns.alone(`${to.repository.name} ${digest}`, async () => {
    await to.writer.putBlob(to.repository, blob, { from: await elsewhere(digest), signal })
  })
}

async function put(copy: Copy, manifest: Manifest, reference: Tag | Digest): Promise<void> {
  const { writer, repository, referrers } = copy.to
  const { subject } = await writer.putManifest(repository, reference, manifest, copy.signal)
  const referrer = referrerOf(manifest.bytes, manifest.mediaType)
  if (!referrer || subject) return
  await referrers.add(
    {
      writer,
      repository,
      subject: referrer.subject,
      known: async () => [referrer.descriptor, ...(await here(copy.referrers(referrer.subject)))],
    },
    copy.signal,
  )
}

/** What was wrong here says nothing about the target. */
function ofHere(error: unknown): Failure {
  const { code, message, detail } = Failure.from(error)
  return new Failure(code, message, { cause: error, detail: { ...detail, here: 1 } })
}

function here<T>(promise: Promise<T>): Promise<T> {
  return promise.catch((error: unknown) => {
    throw ofHere(error)
  })
}

/** Whether it is the target that nothing can be sent to for now. */
export function isOutOfReach({ code, detail }: Failure): boolean {
  return (code === 'unavailable' || code === 'too-many') && detail.here === undefined
}
