import { describe, expect, test } from 'bun:test'
import { krakenBody, webhookBody } from '../../test/fakes/harbor.ts'
import { pushesIn } from './events.ts'
import type { Names } from './images.ts'

const digest = `sha256:${'b'.repeat(64)}`
const image = { endpoint: 'https://harbor.corp', repository: 'team/app', tag: 'v1', digest }
const names: Names = (url) => [{ registry: url.host, path: url.pathname.slice('/v2/'.length) }]
const told = (body: unknown, registry?: string) => {
  const { images, unclear } = pushesIn(body, names, registry)
  return { images: images.map(({ name }) => name), unclear }
}

/** As the distribution project sends it. */
function event(target: object, of: { action?: string; host?: string } = {}) {
  return {
    id: '320678d8-ca14-430f-8bb6-4ca139cd83f7',
    timestamp: '2026-01-01T12:00:00.402973972Z',
    action: of.action ?? 'push',
    target: { size: 708, length: 708, ...target },
    request: {
      id: '6df24a34-0959-4923-81ca-14f09767db19',
      addr: '192.168.64.11:42961',
      host: of.host ?? 'registry.corp:5000',
      method: 'PUT',
      useragent: 'skopeo/1.18.0',
    },
    actor: {},
    source: { addr: 'reg:5000', instanceID: 'a53db899-3b4b-4a62-a067-8dd013beaca4' },
  }
}
const oci = 'application/vnd.oci.image.manifest.v1+json'
const ofManifest = {
  mediaType: oci,
  digest,
  repository: 'team/app',
  url: `http://registry.corp:5000/v2/team/app/manifests/${digest}`,
  tag: 'v1',
}
const ofLayer = {
  mediaType: 'application/octet-stream',
  digest,
  repository: 'team/app',
  url: `http://registry.corp:5000/v2/team/app/blobs/${digest}`,
}

describe("a registry's notification", () => {
  test('names the manifests that were pushed, by tag and digest, each once', () => {
    const untagged = { ...ofManifest, tag: undefined }
    const body = { events: [event(ofLayer), event(untagged), event(ofManifest), event(ofManifest)] }
    expect(told(body).images).toEqual([
      `registry.corp:5000/team/app@${digest}`,
      `registry.corp:5000/team/app:v1@${digest}`,
    ])
  })

  test.each([
    'application/vnd.oci.image.index.v1+json',
    'application/vnd.docker.distribution.manifest.list.v2+json',
    'application/vnd.docker.distribution.manifest.v2+json',
    'application/vnd.cncf.model.manifest.v1+json',
  ])('of the media type %s counts', (mediaType) => {
    expect(told({ events: [event({ ...ofManifest, mediaType })] }).images).toHaveLength(1)
  })

  test.each(['pull', 'mount', 'delete'])('of a %s says nothing to warm', (action) => {
    expect(told({ events: [event(ofManifest, { action })] })).toEqual({ images: [], unclear: [] })
  })

  test('that comes from a registry which does not know its name counts for the one that is given', () => {
    const url = `http://localhost:5000/v2/team/app/manifests/${digest}`
    expect(told({ events: [event({ ...ofManifest, url })] }, 'apps.corp').images).toEqual([
      `apps.corp/team/app:v1@${digest}`,
    ])
  })

  test('without a URL is of the registry that was pushed to', () => {
    const { url: _, ...rest } = ofManifest
    expect(told({ events: [event(rest)] }).images).toEqual([`registry.corp:5000/team/app:v1@${digest}`])
  })

  test('keeps what is clear when other events are not', () => {
    const odd = event({ ...ofManifest, url: 'http://registry.corp:5000/v2/UPPER/manifests/v1', tag: 'v2' })
    const { images, unclear } = told({ events: [7, odd, event(ofManifest)] })
    expect(images).toEqual([`registry.corp:5000/team/app:v1@${digest}`])
    expect(unclear).toEqual([expect.stringContaining('"UPPER" is not a repository name')])
  })

  test('does not make up a name for what has none', () => {
    const nameless = { mediaType: oci, repository: 'team/app' }
    for (const registry of [undefined, 'registry.corp:5000']) {
      const { images, unclear } = told({ events: [event(nameless)] }, registry)
      expect([images, unclear]).toEqual([[], ['a push does not say a tag or a digest']])
    }
  })
})

describe('what Harbor sends', () => {
  test('to its Kraken provider is such a notification, in other letter case', () => {
    expect(told(JSON.parse(krakenBody(image))).images).toEqual([`harbor.corp/team/app:v1@${digest}`])
  })

  test.each(['Default', 'CloudEvents'] as const)('as a webhook in the format %s says what was pushed', (format) => {
    expect(told(JSON.parse(webhookBody(image, format))).images).toEqual([`harbor.corp/team/app:v1@${digest}`])
    const untagged = JSON.parse(webhookBody({ ...image, tag: '' }, format))
    expect(told(untagged).images).toEqual([`harbor.corp/team/app@${digest}`])
    expect(told(untagged, 'apps.corp').images).toEqual([`apps.corp/team/app@${digest}`])
  })

  test.each(['Default', 'CloudEvents'] as const)('as a webhook of a pull, in %s, says nothing to warm', (format) => {
    expect(told(JSON.parse(webhookBody(image, format, 'PULL_ARTIFACT')))).toEqual({ images: [], unclear: [] })
  })

  test('as a webhook that does not say what was pushed is refused', () => {
    expect(() => told({ type: 'PUSH_ARTIFACT', event_data: {} })).toThrow('expected resources')
  })
})

test.each([[null], [[]], ['push'], [{}], [{ events: 'all' }]])('%j is neither, and told so', (body) => {
  expect(() => told(body)).toThrow("expected a registry's notification")
})
