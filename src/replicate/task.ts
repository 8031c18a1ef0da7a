/** One tag, or one manifest without a tag, that is owed to a target: how it is kept in the queue. */
import { z } from 'zod'
import type { Digest } from '../oci/digest.ts'
import { isDigest } from '../oci/digest.ts'
import { isTag, type Repository, repositoryOf, type Tag } from '../oci/reference.ts'

export type Task = { readonly repository: Repository } & (
  | { readonly tag: Tag; readonly digest?: undefined }
  | { readonly digest: Digest; readonly tag?: undefined }
)

const schema = z.object({
  registry: z.string(),
  name: z.string(),
  tag: z.string().refine(isTag).optional(),
  digest: z.string().refine(isDigest).optional(),
})

/** A queue for each target: one that is out of reach keeps nobody waiting for another. */
export function kindOf(target: string): string {
  return `replicate ${target}`
}

export function taskBody(
  { registry, name }: Repository,
  what: { tag: Tag } | { digest: Digest },
): z.input<typeof schema> {
  return { registry, name, ...what }
}

/** Undefined for what is none: a later version may have written it. */
export function taskOf(body: unknown): Task | undefined {
  const { data } = schema.safeParse(body)
  if (!data) return undefined
  const { registry, name, tag, digest } = data
  const repository = repositoryOf(registry, name)
  if (tag !== undefined) return { repository, tag }
  return digest === undefined ? undefined : { repository, digest }
}
