import { beforeEach, describe, expect, test } from 'bun:test'
import { FakeClock, settle } from '../../test/fakes/clock.ts'
import { FakeTraces } from '../../test/fakes/traces.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import type { Exchange } from '../registry/exchange.ts'
import { PullTracker } from '../registry/pulls.ts'
import type { RegistryRequest } from '../registry/request.ts'
import type { Source } from '../source/source.ts'
import type { Inbound, Outbound } from '../wire/wire.ts'
import { Tracing } from './tracing.ts'

const repository = repositoryOf('docker.io', 'library/debian')
const digest = digestOf(new TextEncoder().encode('layer'))
const location = { repository, kind: 'blob', digest } as const
const node = { id: 'b', url: 'http://b:1', p2p: [], modes: ['peer'], version: '1', epoch: '1' } as NodeInfo
const never = new AbortController().signal

let clock: FakeClock
let traces: FakeTraces
let tracing: Tracing
beforeEach(() => {
  clock = new FakeClock()
  traces = new FakeTraces()
  tracing = new Tracing(traces, clock)
})

/** What was not replaced is not to be called. */
function part<T extends object>(methods: Partial<T>): T {
  return methods as T
}

const within = <T>(work: () => T) => traces.begin('test', 'internal').within(work)

describe('what nodes ask of each other', () => {
  const reply = { parents: [], again: 100 }
  const request = { node, location, size: 1, pieces: 0, connected: [], failed: [], stalled: false } as never

  test('is a span at who asks and one below it at who answers', async () => {
    const schedule = tracing.schedule(() => reply)
    // The header goes from one to the other as it would over HTTP.
    const there = tracing.inbound(part<Inbound>({ schedule, order: () => {} }))
    const here = tracing.outbound(
      part<Outbound>({
        schedule: async (_, question) => traces.continued(traces.carried(), () => there.schedule(question)),
        order: async (_, order) => traces.continued(traces.carried(), () => there.order(order)),
      }),
    )
    await within(() => here.schedule(node, request))
    await within(() => here.order(node, { location }))
    expect(traces.paths).toEqual([
      'test',
      'test > ask for parents',
      'test > ask for parents > choose parents',
      'test',
      'test > order a seed',
      'test > order a seed > take an order',
    ])
    expect(traces.named('ask for parents').facts).toMatchObject({ peer: 'b', digest, parents: 0 })
  })

  test('is left alone when it is part of nothing', async () => {
    const here = tracing.outbound(part<Outbound>({ schedule: async () => reply }))
    expect(await here.schedule(node, request)).toEqual(reply)
    expect(await tracing.schedule(() => reply)(request)).toEqual(reply)
    expect(traces.spans).toEqual([])
  })

  test('fails as it would without, and that is told', async () => {
    const error = new Failure('unavailable', 'it is away')
    const here = tracing.outbound(part<Outbound>({ order: () => Promise.reject(error) }))
    const refusing = tracing.inbound(
      part<Inbound>({
        order: () => {
          throw error
        },
      }),
    )
    await expect(within(() => here.order(node, { location }))).rejects.toBe(error)
    expect(() => within(() => refusing.order({ location }))).toThrow(error)
    expect([traces.named('order a seed').error, traces.named('take an order').error]).toEqual([error, error])
  })

  test('of pieces, all that one node gets from another for a blob is one span at each', async () => {
    const offered = { piece: 1, path: '/p', start: 0, end: 10, done() {} }
    const there = tracing.inbound(part<Inbound>({ offer: async () => offered }))
    let fails = false
    const here = tracing.outbound(
      part<Outbound>({
        async piece(_, digest, wanted, signal) {
          if (fails) throw new Failure('too-many', 'busy')
          const answer = await traces.continued(traces.carried(), () => there.offer(digest, wanted, 'a', signal))
          answer.done(true)
          return { piece: 1, bytes: new Uint8Array(10) }
        },
      }),
    )
    const piece = () => here.piece(node, digest, { pieces: [1] }, never, () => {})
    await within(async () => {
      await Promise.all([piece(), piece()])
      clock.advance(500)
      await piece()
      fails = true
      await piece().catch(() => {})
    })
    expect(traces.paths.slice(1)).toEqual(['test > pieces from a node', 'test > pieces from a node > pieces to a node'])
    clock.advance(999)
    expect(traces.named('pieces from a node').ended).toBe(false)
    clock.advance(1)
    expect(traces.named('pieces from a node')).toMatchObject({
      ended: true,
      ago: 1_000,
      facts: { digest, peer: 'b', pieces: 3, bytes: 30, failed: 1 },
    })
    expect(traces.named('pieces to a node')).toMatchObject({ ended: true, facts: { peer: 'a', pieces: 3, bytes: 30 } })
    expect(clock.pending).toBe(0)
  })
})

describe('a blob on its way', () => {
  const finished = Promise.withResolvers<never>()
  const transfer = { location, bytes: { swarm: 7, source: 3 }, blob: { size: 10 }, finished: finished.promise } as never
  const begin = () => {
    traces.begin('something it does', 'internal').end()
    return transfer
  }

  test('has all that is done for it below it, whoever sets that off, and nothing else', async () => {
    const here = tracing.outbound(
      part<Outbound>({
        session: async () => ({ carried: traces.carried() }) as never,
        schedule: async () => ({ parents: [], again: 1 }),
        piece: async (_, _digest, _wanted, _signal, chosen, queued) => {
          queued?.(true)
          chosen(0)
          return { piece: 0, bytes: new Uint8Array(1) }
        },
      }),
    )
    const source = tracing.source(part<Source>({ stat: async () => ({ size: 10, mediaType: 'a/b' }) }))
    within(() => tracing.transfers.bring(location, begin))
    // A session outlives what it was opened for.
    expect(await within(() => here.session(node))).toMatchObject({ carried: undefined })
    // As a timer, or a frame of another node, would.
    const told: (number | boolean)[] = []
    const tell = (news: number | boolean) => told.push(news)
    await here.piece(node, digest, { pieces: [0] }, never, tell, tell)
    expect(told).toEqual([true, 0])
    await here.schedule(node, { location } as never)
    await source.stat(location)
    expect(traces.paths.filter((path) => path.includes('bring'))).toEqual([
      'test > bring a blob',
      'test > bring a blob > something it does',
      'test > bring a blob > pieces from a node',
      'test > bring a blob > ask for parents',
      'test > bring a blob > look at the source',
    ])
    const error = new Failure('unavailable', 'nobody has it')
    finished.reject(error)
    await settle()
    expect(traces.named('bring a blob')).toMatchObject({ ended: true, error, facts: { size: 10, swarm: 7, source: 3 } })
    await source.stat(location)
    expect(traces.paths.filter((path) => path.endsWith('look at the source'))).toHaveLength(1)
  })

  test('that belongs to no trace begins none', () => {
    expect(tracing.transfers.bring(location, () => transfer)).toBe(transfer)
    expect(traces.spans).toEqual([])
  })
})

describe('what is read from a source', () => {
  const body = async function* (chunks: number) {
    for (let i = 0; i < chunks; i++) yield new Uint8Array(5)
  }
  const source = (chunks: number) =>
    tracing.source(part<Source>({ open: async () => ({ size: 10, mediaType: 'a/b', body: body(chunks) }) }))

  test('is a span until its last byte', async () => {
    const opened = await within(() => source(2).open(location, 0))
    expect(traces.named('read from the source').ended).toBe(false)
    for await (const chunk of opened.body) expect(chunk).toHaveLength(5)
    expect(traces.named('read from the source')).toMatchObject({ ended: true, facts: { bytes: 10 }, error: undefined })
  })

  test('or until nobody reads on', async () => {
    const opened = await within(() => source(2).open(location, 0))
    for await (const _ of opened.body) break
    expect(traces.named('read from the source')).toMatchObject({ ended: true, facts: { bytes: 5 }, error: undefined })
  })
})

describe('a pull', () => {
  const manifest = new TextEncoder().encode(
    JSON.stringify({
      schemaVersion: 2,
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest, size: 5 },
      layers: [],
    }),
  )
  const bytes = { store: 0, swarm: 5, source: 0 }
  const asked = (header?: string): Exchange => ({
    ...{ method: 'GET', target: '/', client: '10.0.0.1', signal: never, outgoing: undefined, socket: undefined },
    header: (name) => (name === 'traceparent' ? header : undefined),
  })
  const of = { manifest: { kind: 'manifest', repository, reference: '13' }, blob: { kind: 'blob', repository, digest } }
  const request = (kind: keyof typeof of, work: () => Promise<Response>, header?: string) =>
    tracing.pulls.request(asked(header), of[kind] as RegistryRequest, work)
  const ok = async () => new Response()
  const tracker = () => new PullTracker({ clock, report: (summary) => tracing.pulls.pulled(summary) })

  test('is one trace of all its requests, and over when the image is there', async () => {
    const pulls = tracing.pulls.tracked(tracker())
    const told = { client: '10.0.0.1', repository: 'docker.io/library/debian', digest, bytes: manifest }
    await request('manifest', async () => {
      pulls.manifest({ ...told, tagged: 'docker.io/library/debian:13' })
      return new Response()
    })
    let over = (_: typeof bytes) => {}
    await request('blob', async () => {
      over = pulls.sending('10.0.0.1', digest)
      return new Response()
    })
    expect(traces.named('pull').ended).toBe(false)
    over(bytes)
    await settle()
    expect(traces.paths).toEqual(['pull', 'pull > GET manifest', 'pull > GET blob', 'pull > GET blob > send a blob'])
    expect(traces.spans.every(({ ended }) => ended)).toBe(true)
    expect(traces.named('pull').facts).toMatchObject({
      image: 'docker.io/library/debian:13',
      swarm: 5,
      blobs: 1,
      sent: 1,
    })
    expect(traces.named('send a blob').facts).toMatchObject(bytes)
  })

  test('of which nothing more is asked is over after a while, as of its last request', async () => {
    await request('manifest', ok)
    clock.advance(34_999)
    expect(traces.named('pull').ended).toBe(false)
    await request('manifest', ok)
    clock.advance(35_000)
    expect(traces.named('pull')).toMatchObject({ ended: true, ago: 35_000 })
    await request('manifest', ok)
    expect(traces.paths.filter((path) => path === 'pull')).toHaveLength(2)
    tracing.pulls.close()
    expect([traces.spans.every(({ ended }) => ended), clock.pending]).toEqual([true, 0])
  })

  test('without end, of ever new content, keeps what was asked for last', async () => {
    const blobs = Array.from({ length: 5000 }, (_, i) => digestOf(new TextEncoder().encode(String(i))))
    for (const each of blobs) await tracing.pulls.request(asked(), { ...of.blob, digest: each } as RegistryRequest, ok)
    const pulls = tracing.pulls.tracked(tracker())
    pulls.sending('10.0.0.1', blobs[0]!)
    clock.advance(20_000)
    const over = pulls.sending('10.0.0.1', blobs.at(-1)!)
    clock.advance(40_000)
    // The last belongs to it, and keeps it open; the first does not any more.
    expect(traces.named('pull').ended).toBe(false)
    over(bytes)
    clock.advance(35_000)
    expect(traces.named('pull')).toMatchObject({ ended: true, ago: 35_000 })
    tracing.pulls.close()
  })

  test('by a client that traces is in its trace', async () => {
    traces.begin('build', 'client')
    await request('manifest', ok, '0')
    expect(traces.paths).toEqual(['build', 'build > GET manifest'])
  })

  test('that fails says so, and other requests have no span', async () => {
    const error = new Failure('unavailable', 'it is away')
    await expect(request('blob', () => Promise.reject(error))).rejects.toBe(error)
    expect(traces.named('GET blob').error).toBe(error)
    await tracing.pulls.request(asked(), { kind: 'base' }, ok)
    expect(traces.spans).toHaveLength(2)
    tracing.pulls.close()
  })
})
