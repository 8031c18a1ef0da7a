/** Parts of the page as text: what they show for what is known. */
import { describe, expect, test } from 'bun:test'
import { h } from 'preact'
import { renderToString } from 'preact-render-to-string'
import { FakeNodeView, other, self } from '../../../test/fakes/node-view.ts'
import { told } from '../../../test/fakes/told.ts'
import { App, type AppProps } from './app.tsx'
import { Blobs, blobQuery, kindOf } from './blobs.tsx'
import type { Facts } from './facts.ts'
import { Faults } from './faults.tsx'
import { Header } from './header.tsx'
import { Members, matching } from './members.tsx'
import { Mounts, savedOf } from './mounts.tsx'
import { Preheats, stateOf } from './preheats.tsx'
import { Pulls } from './pulls.tsx'
import { Drawing, inWords } from './swarm.tsx'
import { savedBy } from './tiles.tsx'

const view = new FakeNodeView()
const now = Date.UTC(2026, 0, 1, 12, 5)
const nothing = () => {}
const wordsOf = (html: string) =>
  html
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll('&quot;', '"')
    .replaceAll(/\s+/g, ' ')
const page = () => ({ blobs: [...view.stored.values()], total: 3, limit: 15, offset: 0 })
const search = { filter: '', state: 'all' as const, offset: 0 }

describe('mounts', () => {
  const { mounts, layers, totals, ...mounter } = told({ mounts: 1, layers: 2 })
  const mounted = { mounters: [{ ...mounter, totals, secondsSinceHeard: 1 }], mounts, layers }

  test('show how far each is, and what was saved in all', () => {
    const html = renderToString(h(Mounts, { mounted }))
    expect(html).toContain('aria-label="Of docker.io/library/debian:13 at /srv/0"')
    expect(html.match(/aria-valuenow="30"/g)).toHaveLength(2)
    expect(wordsOf(html)).toContain('Mounts 150 B saved, for other layers have the same')
    expect(wordsOf(html)).toContain('debian:13 /srv/0 loads what is read 300 B of 1000 B, 50 B from other layers')
    expect(wordsOf(html)).toContain(
      'nginx 2 layers of snapshotter loads what is read 600 B of 1.9 KiB, 100 B from other layers',
    )
    expect(savedOf({ mounters: [] })).toBe('')
  })

  test('that are all here have no bar, and those in trouble say what it is', () => {
    const draw = (change: object) =>
      renderToString(h(Mounts, { mounted: { ...mounted, mounts: [{ ...mounts[0]!, ...change }], layers: [] } }))
    const whole = [{ digest: layers[0]!.digest, reason: 'one frame of zstd' }]
    const done = draw({ complete: true, here: 1000, deduped: 0, whole })
    expect(done).not.toContain('progressbar')
    expect(wordsOf(done)).toContain('all of it is here 1000 B 1 layer was fetched whole: one frame of zstd')
    expect(wordsOf(draw({ error: 'no node answers' }))).toContain('no node answers 300 B of 1000 B')
  })

  test('have a part of the page where there are some', () => {
    const page = (facts: Facts) => {
      const choice = { theme: 'auto', dark: false, span: '30m', search, members: '' }
      const rest = {
        choice: { ...choice, removing: undefined, refusal: undefined, token: undefined },
        silence: undefined,
        now,
        actions: {},
      }
      return renderToString(h(App, { facts, ...rest } as never))
    }
    expect(page({ mounted })).toContain('<h2 id="mounts">')
    expect(page({ mounted: { mounters: [], mounts: [], layers: [] } })).not.toContain('<h2 id="mounts">')
  })
})

const none = { pending: 0, running: 0, done: 0, failed: 0, cancelled: 0 }
const running = {
  id: 3,
  state: 'running' as const,
  what: ['docker.io/library/debian:13', 'docker.io/library/alpine:3'],
  platforms: 'all' as const,
  scope: 'all' as const,
  createdAt: new Date(now - 60_000).toISOString(),
  updatedAt: new Date(now - 60_000).toISOString(),
  bytes: 1024 ** 2,
  total: 4 * 1024 ** 2,
  counts: { ...none, running: 3, done: 1 },
}

describe('preheats', () => {
  const draw = (
    ...preheats: (typeof running | (Omit<typeof running, 'state'> & { state: 'failed'; reason: string }))[]
  ) => renderToString(h(Preheats, { preheats, now, refusal: '', onCancel: nothing }))

  test('one that runs shows how far it is, and can be cancelled; one that is over says how it ended', () => {
    const html = draw(running, { ...running, id: 2, state: 'failed', reason: 'no route to host' })
    expect(html).toContain('aria-valuenow="25"')
    expect(html.match(/aria-label="Cancel preheat 3"/g)).toHaveLength(1)
    expect(wordsOf(html)).toContain('debian:13 and 1 more Cancel 1 of 4 nodes has it 1 MiB of 4 MiB')
    expect(wordsOf(html)).toContain('1m ago failed, 1 of 4 nodes has it: no route to host 4 MiB')
  })

  test('how many nodes have it is said in words', () => {
    expect(stateOf({ state: 'running', counts: none })).toBe('no node yet')
    expect(stateOf({ state: 'done', counts: { ...none, done: 1 } })).toBe('1 of 1 node has it')
    expect(stateOf({ state: 'cancelled', counts: { ...none, done: 2, cancelled: 9 } })).toBe(
      'cancelled, 2 of 11 nodes have it',
    )
  })
})

describe('the page', () => {
  const choice: AppProps['choice'] = {
    theme: 'auto',
    dark: false,
    span: '30m',
    search,
    members: '',
    removing: undefined,
    refusal: undefined,
    token: undefined,
  }
  const actions = { choose: nothing, token: nothing, remove: nothing, lift: nothing, cancelPreheat: nothing }
  const draw = (facts: Facts, change: Partial<AppProps['choice']> = {}) =>
    renderToString(h(App, { facts, choice: { ...choice, ...change }, silence: undefined, now, actions }))

  test('shows each part as soon as it is known, and nothing of the others', async () => {
    const headings = (html: string) => [...html.matchAll(/<h2[^>]*>([^<]*)/g)].map(([, text]) => text!.trim())
    expect(headings(draw({}))).toEqual([])
    expect(headings(draw({ members: view.members() }))).toEqual(['Members'])
    const all: Facts = {
      node: view.node(),
      members: view.members(),
      transfers: view.transfers(),
      cluster: await view.cluster(),
      blobs: page(),
      bans: view.bans(),
      faults: await view.faults(),
      history: await view.history(),
      clusterHistory: await view.clusterHistory(),
    }
    const html = draw(all)
    expect(headings(html)).toEqual(['Swarm', 'Pulls in progress', 'Over time', 'Members', 'Blobs', 'Bans and faults'])
    expect(html).not.toMatch(/undefined|NaN|\[object/)
  })

  test('asks for the token and nothing else, and says what was wrong with the last', () => {
    expect(draw({})).not.toContain('<dialog')
    expect(wordsOf(draw({}, { token: '' }))).toContain('Token of this node')
    expect(draw({}, { token: 'that was not it' })).toContain('role="alert">that was not it')
  })

  test.each(['removal', 'preheats', 'bans'] as const)('says where it was tried why it was refused: %s', async (of) => {
    const preheats = [{ ...running, id: 3 }]
    const facts = { node: view.node(), bans: view.bans(), faults: await view.faults(), preheats }
    const html = draw(facts, { removing: [...view.stored.values()][0]!, refusal: { of, why: 'it is pinned' } })
    const parts = html.split(/(?=<section|<dialog)/)
    const shown = parts.filter((part) => part.includes('role="alert">it is pinned<'))
    const heading = { removal: '<h2 id="remove">', preheats: '<h2 id="preheats">', bans: '<h2 id="faults">' }[of]
    expect(shown).toEqual([expect.stringContaining(heading)])
  })

  test('asks before it removes, and names what and how much', () => {
    const [, layer] = view.stored.values()
    expect(wordsOf(draw({}, { removing: layer! }))).toContain(
      '50 MiB of docker.io/library/debian. Other nodes keep theirs',
    )
  })
})

test('the state of a node is told in words: ready, not ready, or no answer', () => {
  const header = (change: object, silence?: string) =>
    renderToString(h(Header, { node: { ...view.node(), ...change }, silence, theme: 'auto', onTheme: nothing }))
  expect(header({})).toContain('role="status">ready')
  expect(header({ notReady: ['it ends'] })).toContain('>not ready<')
  expect(header({}, 'the node answered 502')).toContain('title="the node answered 502">no answer')
})

describe('members', () => {
  const many = Array.from({ length: 130 }, (_, i) => ({
    id: `12D3KooWmember${i}`,
    url: `http://10.0.0.${i}:4881`,
    modes: i < 3 ? ['seed'] : ['peer'],
    version: '1',
    self: i === 20,
    secondsSinceHeard: 1,
  }))

  test('are this node first, then by address, and are found by any of their words', () => {
    const hosts = (words: string) => matching(many, words).map(({ url }) => url.slice(14, -5))
    expect(hosts('').slice(0, 4)).toEqual(['20', '0', '1', '2'])
    expect([hosts('SEED'), hosts('10.0.0.99:'), hosts('member129')]).toEqual([['0', '1', '2'], ['99'], ['129']])
  })

  test('are not all drawn when there are many, and a zone is a column where there is one', () => {
    const draw = (members = many) => wordsOf(renderToString(h(Members, { members, search: '', onSearch: nothing })))
    expect(draw()).toContain('30 members more: search for them.')
    expect(draw()).not.toContain('Zone')
    expect(draw(view.members() as never)).toContain('eu/a')
  })
})

describe('blobs', () => {
  test('are asked for by what was searched, page by page', () => {
    expect(blobQuery(search)).toBe('/api/v1/blobs?limit=15&offset=0')
    expect(blobQuery({ filter: ' ghcr.io/a b ', state: 'partial', offset: 30 })).toBe(
      '/api/v1/blobs?limit=15&offset=30&filter=ghcr.io%2Fa+b&state=partial',
    )
  })

  test('show how much of them is here, and of whom they are', () => {
    const draw = (change: object, blobSearch: typeof search = search) =>
      wordsOf(
        renderToString(
          h(Blobs, { page: { ...page(), ...change }, search: blobSearch, now, onSearch: nothing, onRemove: nothing }),
        ),
      )
    expect(draw({})).toMatch(/docker\.io\/library\/debian \w+ and 1 more/)
    expect(draw({})).toContain('64 MiB 25% 3m ago Remove')
    expect(draw({ blobs: [], total: 0 })).toContain('The store is empty.')
    expect(draw({ blobs: [], total: 0 }, { ...search, filter: 'x' })).toContain('No blob fits.')
    expect(draw({})).not.toContain('Older')
    expect(draw({ total: 40, offset: 15 })).toContain('16 to 18 of 40 blobs')
  })

  test('are called by what their media type says', () => {
    const kinds = [
      ['manifest', 'application/vnd.oci.image.index.v1+json', 'index'],
      ['manifest', 'application/vnd.docker.distribution.manifest.v2+json', 'manifest'],
      ['blob', 'application/vnd.docker.container.image.v1+json', 'config'],
      ['blob', 'application/vnd.docker.image.rootfs.diff.tar.gzip', 'layer'],
      ['blob', 'application/octet-stream', 'blob'],
    ] as const
    for (const [kind, mediaType, word] of kinds) expect(kindOf({ kind, mediaType })).toBe(word)
  })
})

describe('the swarm', () => {
  const nodes = [
    { id: self, url: 'http://10.0.0.7:4881', self: true, progress: 0.5 },
    { id: other, url: 'http://10.0.0.8:4881', self: false },
  ]
  const size = { width: 640, height: 384 }

  test('is told in words, for who does not see it', () => {
    expect(inWords(nodes, [])).toBe('The swarm: 2 nodes, 1 fetching, nothing between nodes, nothing from the source.')
    const flows = [
      { from: other, to: self, rate: 2 * 1024 ** 2 },
      { from: 'source', to: self, rate: 1024 ** 2 },
    ]
    expect(inWords(nodes, flows)).toBe(
      'The swarm: 2 nodes, 1 fetching, 2 MiB/s between nodes, 1 MiB/s from the source.',
    )
    const html = renderToString(h(Drawing, { nodes, flows, size }))
    expect(html).toContain('<title>10.0.0.8 to 10.0.0.7: 2 MiB/s</title>')
    expect(html).toContain('<title>the source to 10.0.0.7: 1 MiB/s</title>')
  })

  test('says that it rests, or that there is none', () => {
    const draw = (some: typeof nodes) => wordsOf(renderToString(h(Drawing, { nodes: some, flows: [], size })))
    expect(draw(nodes)).toContain('Nothing moves right now.')
    expect(draw(nodes.slice(0, 1))).toContain('This node is alone.')
  })
})

test('a pull shows its parts and its end, and other hosts how far they are', () => {
  const { downloads } = view.transfers()
  const pull = { ...downloads[0]!, repository: 'docker.io/library/debian' }
  const others = [{ id: other, url: 'http://10.0.0.8:4881', size: 200, have: 50, rate: 4096 }]
  const html = renderToString(
    h(Pulls, { downloads: [pull, { ...pull, digest: `${pull.digest.slice(0, -1)}0` as never }], others }),
  )
  expect(wordsOf(html)).toContain('debian 20.9 MiB/s 32 MiB of 128 MiB, from 1 node 4s left 2 layers')
  expect(wordsOf(html)).toContain('On other hosts 10.0.0.8 25% 4 KiB/s')
  expect(html).toContain(
    'aria-label="Of docker.io/library/debian" aria-valuemin="0" aria-valuemax="100" aria-valuenow="25"',
  )
  expect(wordsOf(renderToString(h(Pulls, { downloads: [], others: [] })))).toContain('Nothing is being fetched.')
})

test('what was saved is that of all nodes which answered, and says of how many', () => {
  const totals = { engines: 800, source: 100, received: 0, sent: 0 }
  const node = { id: self, rates: { received: 0, sent: 0, source: 0 }, totals, flows: [] }
  const seed = { ...node, totals: { ...totals, engines: 0 } }
  expect(savedBy({ nodes: [node, seed], silent: 0, unasked: 0 })).toEqual({
    bytes: 600,
    words: '75% of 800 B on 2 nodes',
  })
  expect(savedBy({ nodes: [node], silent: 1, unasked: 1 }).words).toBe('87% of 800 B on 1 of 3 nodes')
  expect(savedBy({ nodes: [node], silent: 0, unasked: 0 }).words).toBe('87% of 800 B')
  expect(savedBy({ nodes: [seed], silent: 0, unasked: 0 })).toEqual({ bytes: 0, words: undefined })
})

test('faults are shown with what stands in the way first, and a good day is told as one', async () => {
  const draw = (props: Partial<Parameters<typeof Faults>[0]>) =>
    wordsOf(
      renderToString(
        h(Faults, {
          node: view.node(),
          bans: [],
          faults: { counts: [], recent: [] },
          now,
          refusal: '',
          onLift: nothing,
          ...props,
        }),
      ),
    )
  expect(draw({})).toContain('Nobody is banned, and nothing went wrong')
  const trouble = {
    ...view.node(),
    notReady: ['the node is shutting down'],
    store: { ...view.node().store, trouble: 'no room' },
  }
  const bans = [{ node: other, reason: 'sent wrong bytes', until: new Date(now + 60_000).toISOString() }]
  const text = draw({ node: trouble, bans, faults: await view.faults() })
  expect(text).toContain('the node is shutting down no room')
  expect(text).toContain(
    'sent wrong bytes 1m Lift Nodes banned 1 Said lately 2m ago node banned for an hour reason wrong bytes',
  )
})
