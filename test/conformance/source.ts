/**
 * What every {@link Source} must do, whatever is behind it. The fixture puts `image` there under `repository:tag`,
 * two more tags `a` and `b` of the same, and tells how to make the source.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Failure, type FailureCode } from '../../src/failure.ts'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { manifestTypes } from '../../src/oci/media.ts'
import { parseTag, type Repository, repositoryOf } from '../../src/oci/reference.ts'
import type { Location, Source } from '../../src/source/source.ts'

export interface SourceFixture {
  readonly source: Source
  readonly repository: Repository
  readonly tag: string
  readonly manifest: Uint8Array
  /** A layer of some MiB. */
  readonly layer: Uint8Array
  /** False for what cannot tell what it has; then it says so. */
  readonly lists?: boolean
  stop(): Promise<void>
}

export function sourceConformance(name: string, start: () => Promise<SourceFixture>): void {
  describe(`${name} is a source`, () => {
    let fixture: SourceFixture
    beforeAll(async () => {
      fixture = await start()
    }, 20_000)
    afterAll(() => fixture.stop())

    const layer = (): Location => locate('blob', digestOf(fixture.layer))
    const manifest = (): Location => locate('manifest', digestOf(fixture.manifest))
    const locate = (kind: Location['kind'], digest: Digest) => ({ repository: fixture.repository, kind, digest })
    const nowhere = digestOf(Buffer.from('nobody has this'))

    test('resolves a tag to the digest, size and media type of its manifest', async () => {
      expect(await fixture.source.resolve(fixture.repository, parseTag(fixture.tag))).toEqual({
        digest: digestOf(fixture.manifest),
        size: fixture.manifest.length,
        mediaType: manifestTypes.ociManifest,
      })
    })

    test('says no-manifest for a tag that is not there', async () => {
      await refuses(fixture.source.resolve(fixture.repository, parseTag('missing')), 'no-manifest')
    })

    test('tells the size of a blob and of a manifest without fetching them', async () => {
      expect((await fixture.source.stat(layer())).size).toBe(fixture.layer.length)
      expect(await fixture.source.stat(manifest())).toEqual({
        size: fixture.manifest.length,
        mediaType: manifestTypes.ociManifest,
      })
    })

    test('says no-blob and no-manifest for digests that are not there', async () => {
      await refuses(fixture.source.stat(locate('blob', nowhere)), 'no-blob')
      await refuses(fixture.source.open(locate('blob', nowhere), 0), 'no-blob')
      await refuses(fixture.source.open(locate('manifest', nowhere), 0), 'no-manifest')
    })

    test('streams a blob whole', async () => {
      const open = await fixture.source.open(layer(), 0)
      expect(open.size).toBe(fixture.layer.length)
      expect(digestOf(await collect(open.body))).toBe(digestOf(fixture.layer))
    })

    test('streams a manifest whole', async () => {
      const open = await fixture.source.open(manifest(), 0)
      expect(open.mediaType).toBe(manifestTypes.ociManifest)
      expect(Buffer.from(await collect(open.body)).equals(fixture.manifest)).toBe(true)
    })

    test('streams a blob from the middle, and states its whole size', async () => {
      const start = 1_234_567
      const open = await fixture.source.open(layer(), start)
      expect(open.size).toBe(fixture.layer.length)
      expect(digestOf(await collect(open.body))).toBe(digestOf(fixture.layer.subarray(start)))
    })

    test('has no bytes from the end on, and refuses to start beyond it', async () => {
      const open = await fixture.source.open(layer(), fixture.layer.length)
      expect(await collect(open.body)).toHaveLength(0)
      await refuses(fixture.source.open(layer(), fixture.layer.length + 1), 'bad-range')
    })

    test('lets go of a body that is read in part', async () => {
      const open = await fixture.source.open(layer(), 0)
      for await (const chunk of open.body) {
        expect(chunk.length).toBeGreaterThan(0)
        break
      }
      expect((await fixture.source.stat(layer())).size).toBe(fixture.layer.length)
    })

    test('gives up with cancelled when the caller does', async () => {
      const controller = new AbortController()
      const open = await fixture.source.open(layer(), 0, controller.signal)
      const reading = (async () => {
        for await (const _ of open.body) controller.abort()
      })()
      await refuses(reading, 'cancelled')
      await refuses(fixture.source.stat(layer(), controller.signal), 'cancelled')
    })

    test('passes a tag list through; its links lead from page to page, and name no host', async () => {
      const { source, repository, tag, lists = true } = fixture
      if (!lists) {
        await refuses(source.pass(repository, 'tags/list', '', undefined), 'unsupported')
        return
      }
      const found: string[] = []
      let search: string | undefined = '?n=2'
      while (search !== undefined) {
        const page = await source.pass(repository, 'tags/list', search, undefined)
        expect(page.status).toBe(200)
        found.push(...tagsOf(page.body))
        const link = page.headers.get('link')
        search = link === null ? undefined : /^<\/v2\/(.+)\/tags\/list(\?[^>]*)>; *rel="next"$/.exec(link)?.[2]
        if (link !== null) expect(link).toStartWith(`</v2/${repository.name}/tags/list?`)
      }
      expect(found.sort()).toEqual(['a', 'b', tag].sort())
    })

    test('says no-name for the tags of a repository that is not there', async () => {
      const elsewhere = repositoryOf(fixture.repository.registry, 'no/such/thing')
      const code = (fixture.lists ?? true) ? 'no-name' : 'unsupported'
      await refuses(fixture.source.pass(elsewhere, 'tags/list', '', undefined), code)
    })
  })
}

export async function collect(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of body) parts.push(chunk)
  return Buffer.concat(parts)
}

/** The failure that the promise is rejected with; anything else fails the test. */
export async function refuses(promise: Promise<unknown>, code: FailureCode): Promise<Failure> {
  const error = await promise.then(
    (value) => new Error(`expected the failure ${code}, got ${Bun.inspect(value)}`),
    (error: unknown) => error,
  )
  if (!(error instanceof Failure)) throw error
  expect(`${error.code}: ${error.message}`).toStartWith(`${code}: `)
  return error
}

function tagsOf(body: Uint8Array): string[] {
  return (JSON.parse(new TextDecoder().decode(body)) as { tags: string[] }).tags
}
