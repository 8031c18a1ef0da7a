import { beforeEach, describe, expect, test } from 'bun:test'
import { FakeContent } from '../../test/fakes/content.ts'
import { Failure } from '../failure.ts'
import { parseReferrers, type ReferrerDescriptor, referrerOf } from '../home/backends/referrer.ts'
import { parseJson } from '../json.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { repositoryOf, type Tag } from '../oci/reference.ts'
import { Turns } from '../turns.ts'
import { type Copy, copyManifest, listReferrer } from './copy.ts'
import { ReferrerLists, referrersTag } from './referrer-lists.ts'

const app = repositoryOf('apps.corp', 'team/app')
const subject = digestOf(Buffer.from('an image'))
const list = referrersTag(subject)

/** A registry without the referrers API. */
class Registry {
  readonly manifests = new Map<Tag | Digest, Uint8Array>()
  /** Called once, before a list is written. */
  beforeList: (() => Promise<void>) | undefined
  readonly has = async ({ digest }: { digest: Digest }) => this.manifests.has(digest)
  readonly manifest = async (_: unknown, reference: Tag | Digest) => this.manifests.get(reference)
  /** Of blobs: how often each was asked to be taken, and the most at one moment. */
  readonly taken = new Map<Digest, { times: number; now: number; most: number }>()
  readonly putBlob = async (_: unknown, { digest }: { digest: Digest }) => {
    const taken = this.taken.get(digest) ?? { times: 0, now: 0, most: 0 }
    this.taken.set(digest, taken)
    taken.times++
    taken.most = Math.max(taken.most, ++taken.now)
    await Bun.sleep(5)
    taken.now--
    return 'there already' as const
  }
  async putManifest(_: unknown, reference: Tag | Digest, { bytes }: { bytes: Uint8Array }) {
    const before = reference === list ? this.beforeList : undefined
    this.beforeList = before ? undefined : this.beforeList
    await before?.()
    this.manifests.set(reference, bytes)
    return { subject: false }
  }
  get listed(): Digest[] {
    const bytes = this.manifests.get(list)
    return bytes ? parseReferrers(parseJson(new TextDecoder().decode(bytes))).map(({ digest }) => digest) : []
  }
}

let registry: Registry
let content: FakeContent
let known: ReferrerDescriptor[]
let turns: Turns

beforeEach(() => {
  registry = new Registry()
  content = new FakeContent()
  known = []
  turns = new Turns()
})

/** As another node copies it: what one of them knows, they all know. */
const copy = (): Copy => ({
  from: app,
  to: { writer: registry, repository: app, referrers: new ReferrerLists(), turns },
  content,
  elsewhere: async () => [],
  referrers: async () => known,
  sent: () => {},
  signal: new AbortController().signal,
})

function signature(text: string): Digest {
  const mediaType = manifestTypes.ociManifest
  const config = { mediaType: 'application/vnd.oci.empty.v1+json', digest: digestOf(Buffer.from('{}')), size: 2 }
  const about = { mediaType, digest: subject, size: 1 }
  const annotations = { text }
  const bytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [], subject: about, annotations }),
  )
  known.push(referrerOf(bytes, mediaType)!.descriptor)
  return content.addManifest('apps.corp/team/app', bytes)
}

test('a layer that two images have goes there once at a time', async () => {
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: subject, size: 8 }
  const image = (text: string) =>
    content.addManifest(
      'apps.corp/team/app',
      Buffer.from(
        JSON.stringify({
          schemaVersion: 2,
          mediaType: manifestTypes.ociManifest,
          config,
          layers: [],
          annotations: { text },
        }),
      ),
    )
  await Promise.all(['one', 'two', 'three'].map((text) => copyManifest(copy(), image(text))))
  expect(registry.taken.get(subject)).toEqual({ times: 3, now: 0, most: 1 })
})

describe('what refers to something, at a registry that keeps no lists of that', () => {
  test('is listed when it is copied once more, where the list could not be written before', async () => {
    const digest = signature('by ann')
    registry.beforeList = async () => {
      throw new Failure('too-many', 'come again')
    }
    expect(await copyManifest(copy(), digest).catch((error) => error.code)).toBe('too-many')
    expect(registry.manifests.has(digest)).toBe(true)
    expect(await copyManifest(copy(), digest)).toBe(false)
    await listReferrer(copy(), digest)
    expect(registry.listed).toEqual([digest])
  })

  test('is listed though another node wrote the list at the same time', async () => {
    const [one, two] = [signature('by ann'), signature('by ben')]
    registry.beforeList = async () => void (await copyManifest(copy(), two))
    await copyManifest(copy(), one)
    expect(registry.listed.toSorted()).toEqual([one, two].toSorted())
  })

  test('is not listed before it is there', async () => {
    const one = signature('by ann')
    signature('by ben')
    await copyManifest(copy(), one)
    expect(registry.listed).toEqual([one])
  })
})
