/**
 * The OCI distribution API as its specification words it, in its four workflows: push, pull, content discovery, content
 * management. For a registry that is empty and may be written to and deleted from by whoever runs this.
 */
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type Digest, digestOf } from '../../src/oci/digest.ts'
import { manifestTypes } from '../../src/oci/media.ts'

export interface OpenRegistry {
  /** `http://127.0.0.1:4880` */
  readonly url: string
  close(): Promise<void>
}

const octets = { 'content-type': 'application/octet-stream' }
const missing = digestOf(Buffer.from('nobody ever pushed this'))

export function describeRegistry(name: string, repository: string, open: () => Promise<OpenRegistry>): void {
  describe(`${name} as a registry`, () => {
    let registry: OpenRegistry
    beforeAll(async () => {
      registry = await open()
    })
    afterAll(() => registry?.close())

    const at = (path: string, of = repository) => `${registry.url}/v2/${of}/${path}`
    const ask = (method: string, url: string, init: RequestInit = {}) => fetch(url, { method, ...init })
    /** Where an upload goes on, as an absolute URL, with more of a query. */
    const next = (response: Response, query: Record<string, string> = {}) => {
      const url = new URL(response.headers.get('location') ?? '', registry.url)
      for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value)
      return url.href
    }
    const codeIn = async (response: Response) => {
      const { errors } = (await response.json()) as { errors: { code: string }[] }
      return [response.status, errors[0]?.code]
    }
    const begin = (of = repository) => ask('POST', at('blobs/uploads/', of))
    const pushBlob = async (bytes: Uint8Array<ArrayBuffer>, of = repository) => {
      const digest = digestOf(bytes)
      const done = await ask('PUT', next(await begin(of), { digest }), { body: bytes, headers: octets })
      expect(done.status).toBe(201)
      return digest
    }
    const bytesOf = (text: string) => new Uint8Array(Buffer.from(text))
    const descriptor = (mediaType: string, bytes: Uint8Array) => ({
      mediaType,
      digest: digestOf(bytes),
      size: bytes.length,
    })
    const putManifest = (reference: string, manifest: object, of = repository, query = '') => {
      const body = JSON.stringify(manifest)
      const type = (manifest as { mediaType: string }).mediaType
      return ask('PUT', at(`manifests/${reference}${query}`, of), { body, headers: { 'content-type': type } })
    }
    /** An image of one layer, all parts of which are there. */
    const pushImage = async (text: string, reference?: string, more: object = {}, of = repository) => {
      const [config, layer] = [bytesOf('{}'), bytesOf(text)]
      await pushBlob(config, of)
      await pushBlob(layer, of)
      const manifest = {
        schemaVersion: 2,
        mediaType: manifestTypes.ociManifest,
        config: descriptor('application/vnd.oci.image.config.v1+json', config),
        layers: [descriptor('application/vnd.oci.image.layer.v1.tar', layer)],
        ...more,
      }
      const digest = digestOf(bytesOf(JSON.stringify(manifest)))
      const response = await putManifest(reference ?? digest, manifest, of)
      expect(response.status).toBe(201)
      return { digest, manifest, response, layer: digestOf(layer), size: bytesOf(JSON.stringify(manifest)).length }
    }

    describe('push', () => {
      const received = async (digest: Digest, bytes: Uint8Array) => {
        const blob = await ask('GET', at(`blobs/${digest}`))
        expect([blob.status, blob.headers.get('docker-content-digest')]).toEqual([200, digest])
        expect(Buffer.from(await blob.arrayBuffer()).equals(bytes)).toBe(true)
      }

      test('takes a blob in one request', async () => {
        const bytes = bytesOf('in one request')
        const digest = digestOf(bytes)
        const done = await ask('POST', at(`blobs/uploads/?digest=${digest}`), { body: bytes, headers: octets })
        expect([done.status, done.headers.get('docker-content-digest')]).toEqual([201, digest])
        expect((await ask('GET', next(done))).status).toBe(200)
        await received(digest, bytes)
      })

      test('takes a blob in POST and PUT', async () => {
        const bytes = bytesOf('in two requests')
        const begun = await begin()
        expect([begun.status, begun.headers.get('range')]).toEqual([202, '0-0'])
        expect(begun.headers.get('docker-upload-uuid')).toMatch(/^[0-9a-f-]{36}$/)
        const digest = digestOf(bytes)
        const done = await ask('PUT', next(begun, { digest }), { body: bytes, headers: octets })
        expect(done.status).toBe(201)
        await received(digest, bytes)
      })

      test('takes a blob in chunks, and says after each where the next one begins', async () => {
        const bytes = bytesOf('first second third')
        const digest = digestOf(bytes)
        let last = await begin()
        for (const [from, to] of [
          [0, 6],
          [6, 13],
        ] as const) {
          const headers = { ...octets, 'content-range': `${from}-${to - 1}` }
          last = await ask('PATCH', next(last), { body: bytes.slice(from, to), headers })
          expect([last.status, last.headers.get('range')]).toEqual([202, `0-${to - 1}`])
        }
        const status = await ask('GET', next(last))
        expect([status.status, status.headers.get('range')]).toEqual([204, '0-12'])
        const rest = { body: bytes.slice(13), headers: { ...octets, 'content-range': '13-17' } }
        expect((await ask('PUT', next(status, { digest }), rest)).status).toBe(201)
        await received(digest, bytes)
      })

      test('takes chunks that do not say where they belong, and an end without a body', async () => {
        const bytes = bytesOf('streamed')
        const digest = digestOf(bytes)
        const sent = await ask('PATCH', next(await begin()), { body: bytes, headers: octets })
        expect(sent.status).toBe(202)
        expect((await ask('PUT', next(sent, { digest }))).status).toBe(201)
        await received(digest, bytes)
      })

      test('refuses a chunk that belongs elsewhere, and says where the upload is', async () => {
        const begun = await begin()
        const chunk = (range: string) =>
          ask('PATCH', next(begun), { body: bytesOf('chunk'), headers: { ...octets, 'content-range': range } })
        expect((await chunk('0-4')).status).toBe(202)
        for (const wrong of ['0-4', '6-10']) {
          const refused = await chunk(wrong)
          expect([refused.status, refused.headers.get('range')]).toEqual([416, '0-4'])
          expect(next(refused)).toBe(next(begun))
        }
        expect(await codeIn(await chunk('5-6'))).toEqual([400, 'BLOB_UPLOAD_INVALID'])
        expect((await chunk('5-9')).status).toBe(202)
      })

      test('takes nothing whose digest is another, and the upload is over then', async () => {
        const begun = await begin()
        const wrong = await ask('PUT', next(begun, { digest: missing }), { body: bytesOf('other'), headers: octets })
        expect(await codeIn(wrong)).toEqual([400, 'DIGEST_INVALID'])
        expect(await codeIn(await ask('GET', next(begun)))).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
        expect((await ask('HEAD', at(`blobs/${missing}`))).status).toBe(404)
        expect(await codeIn(await ask('PUT', next(await begin())))).toEqual([400, 'DIGEST_INVALID'])
      })

      test('forgets an upload that is cancelled', async () => {
        const begun = await begin()
        expect((await ask('DELETE', next(begun))).status).toBe(204)
        for (const method of ['GET', 'PATCH', 'DELETE']) {
          const gone = await ask(method, next(begun), method === 'PATCH' ? { body: bytesOf('x'), headers: octets } : {})
          expect(await codeIn(gone)).toEqual([404, 'BLOB_UPLOAD_UNKNOWN'])
        }
      })

      test('takes an empty blob, and one by SHA-512', async () => {
        await received(await pushBlob(bytesOf('')), bytesOf(''))
        const bytes = bytesOf('longer digest')
        const digest = digestOf(bytes, 'sha512')
        const done = await ask('PUT', next(await begin(), { digest }), { body: bytes, headers: octets })
        expect(done.status).toBe(201)
        await received(digest, bytes)
      })

      test('mounts what another repository has, and begins an upload of what none has', async () => {
        const other = `${repository}-mounted`
        const digest = await pushBlob(bytesOf('to be mounted'))
        expect((await ask('HEAD', at(`blobs/${digest}`, other))).status).toBe(404)
        const mounted = await ask('POST', at(`blobs/uploads/?mount=${digest}&from=${repository}`, other))
        expect([mounted.status, next(mounted)]).toEqual([201, at(`blobs/${digest}`, other)])
        expect((await ask('HEAD', at(`blobs/${digest}`, other))).status).toBe(200)
        const begun = await ask('POST', at(`blobs/uploads/?mount=${missing}&from=${repository}`, other))
        expect(begun.status).toBe(202)
        expect((await ask('DELETE', next(begun))).status).toBe(204)
      })

      test('takes a manifest by tag and by digest, of every type', async () => {
        const image = await pushImage('types', 'by-tag')
        expect(image.response.headers.get('docker-content-digest')).toBe(image.digest)
        const child = { mediaType: manifestTypes.ociManifest, digest: image.digest, size: image.size }
        for (const type of [manifestTypes.ociIndex, manifestTypes.dockerList]) {
          const index = { schemaVersion: 2, mediaType: type, manifests: [child] }
          const digest = digestOf(bytesOf(JSON.stringify(index)))
          const put = await putManifest(digest, index)
          expect([put.status, next(put)]).toEqual([201, at(`manifests/${digest}`)])
          expect((await ask('GET', at(`manifests/${digest}`))).headers.get('content-type')).toBe(type)
        }
        const docker = { ...image.manifest, mediaType: manifestTypes.dockerManifest }
        expect((await putManifest('docker', docker)).status).toBe(201)
        const custom = { schemaVersion: 2, mediaType: 'application/vnd.example.thing.v1+json', more: { of: 'it' } }
        expect((await putManifest('custom', custom)).status).toBe(201)
      })

      test('puts a manifest under several tags at once', async () => {
        const { manifest, digest } = await pushImage('several tags')
        const put = await putManifest(digest, manifest, repository, '?tag=1.2.3&tag=1.2')
        expect([put.status, put.headers.get('oci-tag')]).toEqual([201, '1.2.3, 1.2'])
        for (const tag of ['1.2.3', '1.2']) {
          expect((await ask('HEAD', at(`manifests/${tag}`))).headers.get('docker-content-digest')).toBe(digest)
        }
      })

      test('takes no manifest that is not right, or comes before its parts', async () => {
        const layers = [{ mediaType: 'application/x', digest: missing, size: 1 }]
        const { manifest, digest } = await pushImage('for refusals')
        expect(await codeIn(await putManifest('early', { ...manifest, layers }))).toEqual([
          400,
          'MANIFEST_BLOB_UNKNOWN',
        ])
        const [layer] = manifest.layers
        const sized = { ...manifest, layers: [{ ...layer, size: 1 }] }
        expect(await codeIn(await putManifest('size', sized))).toEqual([400, 'MANIFEST_INVALID'])
        expect(await codeIn(await putManifest(digest, { ...manifest, annotations: {} }))).toEqual([
          400,
          'DIGEST_INVALID',
        ])
        const headers = { 'content-type': manifestTypes.ociManifest }
        for (const body of ['', 'no json', '[]', '{"schemaVersion":2}', JSON.stringify({ ...manifest, layers: 'x' })]) {
          const put = await ask('PUT', at('manifests/wrong'), { body, headers })
          expect(await codeIn(put)).toEqual([400, 'MANIFEST_INVALID'])
        }
        const other = { body: JSON.stringify(manifest), headers: { 'content-type': manifestTypes.ociIndex } }
        expect(await codeIn(await ask('PUT', at('manifests/other'), other))).toEqual([400, 'MANIFEST_INVALID'])
        const big = { body: ' '.repeat(4 * 1024 * 1024 + 1), headers }
        expect(await codeIn(await ask('PUT', at('manifests/big'), big))).toEqual([413, 'SIZE_INVALID'])
        expect((await ask('HEAD', at('manifests/wrong'))).status).toBe(404)
      })

      test('says that it has taken a subject, which need not be there', async () => {
        const subject = { mediaType: manifestTypes.ociManifest, digest: missing, size: 5 }
        const { response } = await pushImage('with a subject', undefined, { subject })
        expect(response.headers.get('oci-subject')).toBe(missing)
      })
    })

    describe('pull', () => {
      test('gives manifests by tag and digest, and blobs in parts', async () => {
        const { digest, manifest, layer } = await pushImage('to be pulled', 'pulled')
        for (const reference of ['pulled', digest]) {
          const head = await ask('HEAD', at(`manifests/${reference}`))
          expect([head.status, head.headers.get('docker-content-digest')]).toEqual([200, digest])
          const got = await ask('GET', at(`manifests/${reference}`))
          expect(await got.text()).toBe(JSON.stringify(manifest))
          expect(got.headers.get('content-type')).toBe(manifest.mediaType)
        }
        const head = await ask('HEAD', at(`blobs/${layer}`))
        expect([head.status, head.headers.get('content-length')]).toEqual([200, '12'])
        const part = await ask('GET', at(`blobs/${layer}`), { headers: { range: 'bytes=3-4' } })
        expect([part.status, await part.text(), part.headers.get('content-range')]).toEqual([206, 'be', 'bytes 3-4/12'])
      })

      test('says what is not there', async () => {
        const of = async (path: string) => codeIn(await ask('GET', at(path)))
        expect(await of('manifests/no-such-tag')).toEqual([404, 'MANIFEST_UNKNOWN'])
        expect(await of(`manifests/${missing}`)).toEqual([404, 'MANIFEST_UNKNOWN'])
        expect(await of('manifests/.INVALID_NAME')).toEqual([404, 'MANIFEST_UNKNOWN'])
        expect(await of(`blobs/${missing}`)).toEqual([404, 'BLOB_UNKNOWN'])
        // A blob is no manifest, whatever it looks like.
        const { layer } = await pushImage('a mere blob')
        expect(await of(`manifests/${layer}`)).toEqual([404, 'MANIFEST_UNKNOWN'])
      })
    })

    describe('content discovery', () => {
      const listed = `${repository}-listed`
      const tags = ['alpha', 'beta', 'delta', 'gamma']

      test('lists tags in order, and in pages', async () => {
        for (const tag of ['gamma', 'alpha', 'delta', 'beta']) await pushImage(tag, tag, {}, listed)
        const list = async (search = '') => {
          const response = await ask('GET', at(`tags/list${search}`, listed))
          expect(response.status).toBe(200)
          const { tags } = (await response.json()) as { tags: string[] }
          const link = /^<([^>]+)>; rel="next"$/.exec(response.headers.get('link') ?? '')?.[1]
          return { tags, link: link === undefined ? undefined : new URL(link, registry.url) }
        }
        expect(await list()).toEqual({ tags, link: undefined })
        const first = await list('?n=3')
        expect(first.tags).toEqual(tags.slice(0, 3))
        expect(await list(first.link!.search)).toEqual({ tags: ['gamma'], link: undefined })
        expect((await list('?n=2&last=alpha')).tags).toEqual(['beta', 'delta'])
        expect((await list('?n=0')).tags).toEqual([])
        expect(await codeIn(await ask('GET', at('tags/list', `${repository}-nobody`)))).toEqual([404, 'NAME_UNKNOWN'])
        expect((await ask('GET', at('tags/list?n=many', listed))).status).toBe(400)
      })

      test('lists repositories in pages', async () => {
        const catalog = async (search: string) => {
          const response = await ask('GET', `${registry.url}/v2/_catalog${search}`)
          const { repositories } = (await response.json()) as { repositories: string[] }
          return { repositories, link: response.headers.get('link') }
        }
        const { repositories } = await catalog('')
        expect(repositories.some((name) => name.endsWith(listed))).toBe(true)
        const first = await catalog('?n=1')
        expect(first.repositories).toEqual(repositories.slice(0, 1))
        const search = new URL(/<([^>]+)>/.exec(first.link ?? '')?.[1] ?? '', registry.url).search
        expect((await catalog(search)).repositories).toEqual(repositories.slice(1, 2))
      })

      test('lists what refers to a manifest, all or of one type', async () => {
        const { digest, size } = await pushImage('the subject', 'subject', {}, listed)
        const subject = { mediaType: manifestTypes.ociManifest, digest, size }
        const referrer = (artifactType: string) =>
          pushImage(
            `about it: ${artifactType}`,
            undefined,
            { subject, artifactType, annotations: { of: 'it' } },
            listed,
          )
        const [sbom, signature] = [await referrer('application/sbom'), await referrer('application/signature')]
        const list = async (search = '') => {
          const response = await ask('GET', at(`referrers/${digest}${search}`, listed))
          expect([response.status, response.headers.get('content-type')]).toEqual([200, manifestTypes.ociIndex])
          const { manifests } = (await response.json()) as { manifests: { digest: Digest; artifactType: string }[] }
          return { digests: manifests.map((each) => each.digest).sort(), manifests, response }
        }
        const all = await list()
        expect(all.digests).toEqual([sbom.digest, signature.digest].sort())
        expect(all.manifests[0]).toMatchObject({ mediaType: manifestTypes.ociManifest, annotations: { of: 'it' } })
        expect(all.response.headers.get('oci-filters-applied')).toBeNull()
        const some = await list('?artifactType=application/sbom')
        expect(some.digests).toEqual([sbom.digest])
        expect(some.response.headers.get('oci-filters-applied')).toBe('artifactType')
        const nobody = await ask('GET', at(`referrers/${missing}`, listed))
        expect(((await nobody.json()) as { manifests: [] }).manifests).toEqual([])
      })
    })

    describe('content management', () => {
      test('deletes a tag and leaves the manifest', async () => {
        const { digest } = await pushImage('tag to go', 'to-go')
        expect((await ask('DELETE', at('manifests/to-go'))).status).toBe(202)
        expect((await ask('GET', at('manifests/to-go'))).status).toBe(404)
        expect((await ask('GET', at(`manifests/${digest}`))).status).toBe(200)
        expect(await codeIn(await ask('DELETE', at('manifests/to-go')))).toEqual([404, 'MANIFEST_UNKNOWN'])
      })

      test('deletes a manifest with the tags that point to it, and no others', async () => {
        const { digest, manifest } = await pushImage('manifest to go', 'goes')
        await putManifest('goes-too', manifest)
        const { digest: stays } = await pushImage('manifest to stay', 'stays')
        expect((await ask('DELETE', at(`manifests/${digest}`))).status).toBe(202)
        for (const gone of [digest, 'goes', 'goes-too']) {
          expect((await ask('GET', at(`manifests/${gone}`))).status).toBe(404)
        }
        expect((await ask('HEAD', at('manifests/stays'))).headers.get('docker-content-digest')).toBe(stays)
        expect((await ask('DELETE', at(`manifests/${digest}`))).status).toBe(404)
        // Pushed again it is there again.
        expect((await putManifest('goes', manifest)).status).toBe(201)
        expect((await ask('GET', at('manifests/goes'))).status).toBe(200)
      })

      test('deletes a blob from one repository, not from another', async () => {
        const bytes = bytesOf('blob to go')
        const digest = await pushBlob(bytes)
        const other = `${repository}-keeps`
        await pushBlob(bytes, other)
        expect((await ask('DELETE', at(`blobs/${digest}`))).status).toBe(202)
        expect((await ask('GET', at(`blobs/${digest}`))).status).toBe(404)
        expect((await ask('GET', at(`blobs/${digest}`, other))).status).toBe(200)
        expect(await codeIn(await ask('DELETE', at(`blobs/${digest}`)))).toEqual([404, 'BLOB_UNKNOWN'])
      })
    })
  })
}
