/**
 * What registries tell of pushes, in the forms that are around: the distribution project's envelope of events, the same
 * with other letter case as Harbor sends it to its provider "Kraken", and Harbor's webhooks, in its own format and as
 * CloudEvents. What is no push of a manifest is left out: a registry tells of pulls and of single layers too. Pure.
 */
import { z } from 'zod'
import { Failure } from '../failure.ts'
import { manifestTypes } from '../oci/media.ts'
import { type Image, imageOf, imagesAt, type Names } from './images.ts'

const text = z.string().max(2048).nullish()

/** Its `Host` is what the client that pushed called the registry. */
const eventSchema = z.object({
  action: z.string(),
  target: z.object({ mediatype: text, digest: text, repository: text, url: text, tag: text }).nullish(),
  request: z.object({ host: text }).nullish(),
})
const envelopeSchema = z.object({ events: z.array(z.unknown()) })

const dataSchema = z.object({
  resources: z.array(z.object({ digest: text, tag: text, resource_url: text })).max(1000),
  repository: z.object({ repo_full_name: text }).nullish(),
})
const webhookSchema = z.object({ type: z.string(), event_data: z.unknown().optional(), data: z.unknown().optional() })
/** Harbor's word for it, its format before 2.8 and the CloudEvents. */
const pushes = new Set(['PUSH_ARTIFACT', 'harbor.artifact.pushed'])

export interface Pushes {
  readonly images: readonly Image[]
  /** Pushes of manifests that cannot be told where they are, each with the reason. */
  readonly unclear: readonly string[]
}

/**
 * `registry`: as hosts name it, where the receiver was told; it counts more than what the event says.
 * @throws {Failure} `bad-request` for what is neither
 */
export function pushesIn(body: unknown, names: Names, registry?: string): Pushes {
  const lowered = lowerKeys(body)
  const envelope = envelopeSchema.safeParse(lowered).data
  const webhook = webhookSchema.safeParse(lowered).data
  if (!envelope && !webhook) {
    throw new Failure(
      'bad-request',
      'expected a registry\'s notification ({"events": [...]}) or a webhook of Harbor\'s ({"type": "PUSH_ARTIFACT", ...})',
    )
  }
  const found = envelope
    ? envelope.events.map((event) => () => ofEvent(event, names, registry))
    : webhook
      ? ofWebhook(webhook, names, registry)
      : []
  const images = new Map<string, Image>()
  const unclear: string[] = []
  for (const look of found) {
    try {
      for (const image of look()) images.set(image.name, image)
    } catch (error) {
      unclear.push(Failure.from(error).message)
    }
  }
  return { images: [...images.values()], unclear }
}

function ofEvent(event: unknown, names: Names, registry: string | undefined): Image[] {
  const { data } = eventSchema.safeParse(event)
  if (data?.action !== 'push' || !data.target) return []
  const { mediatype, digest, repository, url, tag } = data.target
  // Each layer and config is told as well, and comes with the manifest that names it.
  if (!url?.includes('/manifests/') && !Object.values<string>(manifestTypes).includes(mediatype ?? '')) return []
  const reference = () => wanted(tag || digest, 'a tag or a digest')
  if (registry !== undefined) return [imageOf(registry, wanted(repository, 'a repository'), reference(), digest ?? '')]
  // By the digest: a URL of distribution has it and not the tag, one of Harbor's has the tag.
  if (url && tag) return imagesAt(url.replace(/[^/]+$/, encodeURIComponent(tag)), names, digest ?? '')
  if (url) return imagesAt(url, names, digest ?? '')
  const host = wanted(data.request?.host, 'the URL of the manifest')
  return imagesAt(
    `https://${host}/v2/${wanted(repository, 'a repository')}/manifests/${reference()}`,
    names,
    digest ?? '',
  )
}

function ofWebhook(
  { type, event_data, data }: z.infer<typeof webhookSchema>,
  names: Names,
  registry: string | undefined,
): (() => Image[])[] {
  if (!pushes.has(type)) return []
  const told = dataSchema.safeParse(data ?? event_data)
  if (!told.success) throw new Failure('bad-request', 'this webhook does not say what was pushed: expected resources')
  const { resources, repository } = told.data
  return resources.map(({ digest, tag, resource_url }) => () => {
    // `harbor.corp/team/app:v1`, or `...@sha256:...` where it has no tag; a tag of an artifact without one is its digest.
    const [, host, path] = /^(?:https?:\/\/)?([^/]+)\/(.+?)(?:@[^@/]+|:[^:/]+)$/.exec(resource_url ?? '') ?? []
    const name = wanted(repository?.repo_full_name ?? path, 'a repository')
    const reference = wanted(tag || digest, 'a tag or a digest')
    if (registry !== undefined) return [imageOf(registry, name, reference, digest ?? '')]
    const url = `https://${wanted(host, 'where the registry is')}/v2/${name}/manifests/${encodeURIComponent(reference)}`
    return imagesAt(url, names, digest ?? '')
  })
}

function wanted(value: string | null | undefined, what: string): string {
  if (value) return value
  throw new Failure('bad-request', `a push does not say ${what}`)
}

/** As deep as the parser let it be. */
function lowerKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(lowerKeys)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, of]) => [key.toLowerCase(), lowerKeys(of)]))
}
