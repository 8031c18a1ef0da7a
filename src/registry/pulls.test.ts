import { describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { type PullSummary, PullTracker } from './pulls.ts'

const encode = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))
const blob = (name: string, size: number) => ({ digest: digestOf(encode(name)), size, mediaType: 'a/b' })
const config = blob('config', 10)
const base = blob('base', 100)
const top = blob('top', 50)
const repository = 'docker.io/library/app'

function manifestOf(...blobs: { digest: Digest }[]) {
  const bytes = encode({ config: blobs[0], layers: blobs.slice(1) })
  return { bytes, digest: digestOf(bytes) }
}

function indexOf(...manifests: { digest: Digest; bytes: Uint8Array }[]) {
  const bytes = encode({ manifests: manifests.map(({ digest, bytes }) => ({ digest, size: bytes.length })) })
  return { bytes, digest: digestOf(bytes) }
}

function setUp(mostPulls?: number) {
  const clock = new FakeClock()
  const reports: PullSummary[] = []
  const pulls = new PullTracker({
    clock,
    report: (summary) => reports.push(summary),
    quietMs: 1000,
    ...(mostPulls ? { mostPulls } : {}),
  })
  const get = (manifest: { digest: Digest; bytes: Uint8Array }, tag?: string, client = 'me') =>
    pulls.manifest({ client, repository, ...(tag ? { tagged: `${repository}:${tag}` } : {}), ...manifest })
  const send = (blob: { digest: Digest; size: number }, from = 'store', client = 'me') =>
    pulls.sending(client, blob.digest)({ store: 0, swarm: 0, source: 0, [from]: blob.size })
  return { clock, reports, pulls, get, send }
}

test('a pull is reported once when its last blob has been sent', () => {
  const { clock, reports, pulls, get, send } = setUp()
  const app = manifestOf(config, base, top)
  get(app, '1.0')
  clock.advance(300)
  send(config, 'source')
  send(base, 'swarm')
  clock.advance(400)
  send(top, 'store')
  expect(reports).toEqual([
    {
      client: 'me',
      image: `${repository}:1.0`,
      digest: app.digest,
      bytes: { store: 50, swarm: 100, source: 10 },
      blobs: 3,
      sent: 3,
      milliseconds: 700,
    },
  ])
  expect(pulls.size).toBe(0)
  expect(clock.pending).toBe(0)
})

describe('the image is named', () => {
  test('by the tag that the client asked an index for', () => {
    const { reports, get, send } = setUp()
    const app = manifestOf(config)
    get(indexOf(app), 'latest')
    get(app)
    send(config)
    expect(reports[0]?.image).toBe(`${repository}:latest`)
  })
  test('by a tag that was only resolved', () => {
    const { reports, pulls, get, send } = setUp()
    const app = manifestOf(config)
    const index = indexOf(app)
    pulls.resolved({ client: 'me', repository, tagged: `${repository}:2`, ...index })
    get(index)
    get(app)
    send(config)
    expect(reports[0]?.image).toBe(`${repository}:2`)
  })
  test('by its digest when nobody said a tag, whatever others called it', () => {
    const { reports, get, send } = setUp()
    const app = manifestOf(config)
    get(app, '1.0', 'other')
    get(app)
    send(config)
    expect(reports[0]?.image).toBe(`${repository}@${app.digest}`)
  })
})

describe('a quiet time ends a pull', () => {
  test('of which the engine had the other layers', () => {
    const { clock, reports, get, send } = setUp()
    get(manifestOf(config, base, top))
    send(top)
    clock.advance(999)
    expect(reports).toEqual([])
    clock.advance(1)
    expect(reports).toMatchObject([{ blobs: 3, sent: 1, milliseconds: 0 }])
  })
  test('but not while a blob is on its way, however long that takes', () => {
    const { clock, reports, pulls, get } = setUp()
    get(manifestOf(config, base))
    const ended = pulls.sending('me', base.digest)
    clock.advance(1_000_000)
    expect(reports).toEqual([])
    ended({ store: 0, swarm: 100, source: 0 })
    clock.advance(1000)
    expect(reports).toMatchObject([{ sent: 1, milliseconds: 1_000_000 }])
  })
  test('without a word when only the manifest was asked for', () => {
    const { clock, reports, pulls, get } = setUp()
    get(manifestOf(config, base))
    clock.advance(1000)
    expect(reports).toEqual([])
    expect(pulls.size).toBe(0)
  })
  test('that begins again when the manifest is asked for again', () => {
    const { clock, pulls, get } = setUp()
    const app = manifestOf(config)
    get(app)
    clock.advance(900)
    get(app)
    clock.advance(900)
    expect(pulls.size).toBe(1)
    clock.advance(100)
    expect(pulls.size).toBe(0)
  })
})

test('a blob sent in ranges counts as sent when all its bytes went out', () => {
  const { reports, pulls, get } = setUp()
  get(manifestOf(base))
  for (const bytes of [60, 39]) pulls.sending('me', base.digest)({ store: bytes, swarm: 0, source: 0 })
  expect(reports).toEqual([])
  pulls.sending('me', base.digest)({ store: 1, swarm: 0, source: 0 })
  expect(reports).toMatchObject([{ sent: 1, bytes: { store: 100 } }])
})

test('an empty layer counts as sent once it was asked for', () => {
  const { reports, get, send } = setUp()
  const nothing = blob('nothing', 0)
  get(manifestOf(config, nothing))
  send(config)
  send(nothing)
  expect(reports).toMatchObject([{ blobs: 2, sent: 2 }])
})

test('a client does not finish the pull of another', () => {
  const { reports, get, send } = setUp()
  const app = manifestOf(config)
  get(app, undefined, 'a')
  get(app, undefined, 'b')
  send(config, 'store', 'b')
  expect(reports.map((report) => report.client)).toEqual(['b'])
})

test('a blob that belongs to no pull is ignored', () => {
  const { reports, pulls, send } = setUp()
  send(base)
  expect(reports).toEqual([])
  expect(pulls.size).toBe(0)
})

test('two images that share a layer get it counted once', () => {
  const { clock, reports, get, send } = setUp()
  get(manifestOf(base, top), 'a')
  get(manifestOf(base, config), 'b')
  send(base)
  send(top)
  send(config)
  clock.advance(1000)
  expect(reports.map(({ image, bytes }) => [image.slice(-1), bytes.store])).toEqual([
    ['a', 150],
    ['b', 10],
  ])
})

test('the oldest pull is given up when there are too many, and a late end of its blob changes nothing', () => {
  const { clock, reports, pulls, get, send } = setUp(2)
  get(manifestOf(config, base), 'first')
  send(config)
  const late = pulls.sending('me', base.digest)
  get(manifestOf(config, top), 'second')
  get(manifestOf(top, base), 'third')
  expect(pulls.size).toBe(2)
  expect(reports.map((report) => report.image)).toEqual([`${repository}:first`])
  late({ store: 100, swarm: 0, source: 0 })
  expect(reports).toHaveLength(1)
  clock.advance(1000)
  expect(pulls.size).toBe(0)
  expect(clock.pending).toBe(0)
})

test('closing reports what is under way', () => {
  const { clock, reports, pulls, get, send } = setUp()
  get(manifestOf(config, base))
  send(config)
  pulls.close()
  expect(reports).toMatchObject([{ sent: 1, blobs: 2 }])
  expect(clock.pending).toBe(0)
})
