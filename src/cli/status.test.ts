import { afterEach, describe, expect, test } from 'bun:test'
import { FakeContext } from '../../test/fakes/context.ts'
import { FakeNodeView, other } from '../../test/fakes/node-view.ts'
import { told } from '../../test/fakes/told.ts'
import { createAdmin, serveAdmin } from '../admin/admin.ts'
import { systemClock } from '../clock.ts'
import { Secret } from '../config/secret.ts'
import { Failure } from '../failure.ts'
import { places } from '../install/places.ts'
import { Mounted } from '../lazy/mounted.ts'
import { formatAddress } from '../listen.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { run } from './program.ts'

const token = 'correct-horse-battery'
const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()))
})

/** A node's admin port on a free port of loopback; its address. */
function node(view = new FakeNodeView(), secret?: string): string {
  const options = secret === undefined ? {} : { token: new Secret(secret) }
  const app = createAdmin(view, createMetrics(), { ...options, log: silentLog })
  const server = serveAdmin(app, { host: '127.0.0.1', port: 0 })
  closers.push(() => server.close())
  return formatAddress(server.address)
}

async function status(context: FakeContext, ...args: string[]) {
  const code = await run(['status', ...args], context)
  return { code, out: context.printed.join('\n'), err: context.complained.join('\n') }
}

test('names who is banned whole, so that the ban can be lifted', async () => {
  const view = new FakeNodeView()
  view.banned.push(other)
  const { out } = await status(new FakeContext(), '--admin-addr', node(view))
  expect(out).toContain('Banned nodes (1)')
  expect(out).toMatch(new RegExp(`${other} +\\S+Z +sent wrong bytes`))
})

test('shows preheats that are under way, and goes without where nobody can say', async () => {
  const view = new FakeNodeView()
  const request = { what: ['debian:13'], platforms: 'all', target: { scope: 'all' } } as const
  await view.preheats.start(request)
  await view.preheats.cancel(1)
  await view.preheats.start(request)
  const { out } = await status(new FakeContext(), '--admin-addr', node(view))
  expect(out).toContain('Preheats (1 under way)')
  expect(out).toMatch(/^ *2 +docker\.io\/library\/debian:13 +2 running +25% of 8 KiB$/m)
  view.preheats.list = () => Promise.reject(new Failure('unavailable', 'no scheduler is known here'))
  const without = await status(new FakeContext(), '--admin-addr', node(view))
  expect([without.code, without.out.includes('Preheats')]).toEqual([0, false])
})

test('shows what is mounted on the host, how much of it is here and what that saved, where something is', async () => {
  const view = new FakeNodeView()
  const address = node(view)
  const shown = async (...more: string[]) => (await status(new FakeContext(), '--admin-addr', address, ...more)).out
  expect(await shown()).not.toContain('Mounts')
  const mounted = new Mounted(systemClock, createMetrics())
  mounted.hear(told({ mounts: 1, layers: 2 }))
  view.mountedNow = mounted.facts()
  const out = await shown()
  expect(out).toContain('Mounts (2)')
  expect(out).toMatch(/^ +at +what +size +here +fetched +saved +notes$/m)
  expect(out).toMatch(/^ +\/srv\/0 +docker.io\/library\/debian:13 +1000 B +30% +100 B +50 B$/m)
  expect(out).toMatch(/^ +2 layers of snapshotter +docker.io\/library\/nginx +1.95 KiB +30% +200 B +100 B$/m)
  expect(JSON.parse(await shown('--json')).mounted).toEqual(view.mountedNow)
})

test('says what it reads from the files of the engine, and from where', async () => {
  const view = new FakeNodeView()
  view.engine = [{ path: '/var/lib/containerd/blobs' }, { path: '/data/blobs', trouble: 'EACCES: permission denied' }]
  view.borrowed = { blobs: 1, bytes: 50 * 1024 ** 2 }
  const layer = [...view.stored.values()].find(({ size }) => size === 50 * 1024 ** 2)!
  view.stored.set(layer.digest, { ...layer, borrowed: true })
  const { out } = await status(new FakeContext(), '--admin-addr', node(view))
  const folders = '/var/lib/containerd/blobs and /data/blobs (EACCES: permission denied)'
  expect(out).toContain(`  engine   1 blob of 50 MiB is read from its files, in ${folders}`)
  expect(out).toContain('whole, of the engine')
})

test('shows which endpoints of a registry are in use, where it has several', async () => {
  const view = new FakeNodeView()
  view.sources = [
    {
      registry: 'docker.io',
      endpoints: [
        { url: 'https://mirror/v2', state: 'down', since: '2026-01-01T12:00:00.000Z', reason: 'nothing listens there' },
        { url: 'https://registry-1.docker.io/v2', state: 'up' },
      ],
    },
  ]
  const { out } = await status(new FakeContext(), '--admin-addr', node(view))
  expect(out).toContain('Endpoints of docker.io (2)')
  expect(out).toMatch(/https:\/\/mirror\/v2 +down +2026-01-01T12:00:00.000Z +nothing listens there\n/)
  expect(out).toMatch(/https:\/\/registry-1.docker.io\/v2 +up\n/)
})

test('prints the node, its members, blobs and transfers for people', async () => {
  const { code, out, err } = await status(new FakeContext(), '--admin-addr', node())
  expect({ code, err }).toEqual({ code: 0, err: '' })
  expect(out).toMatchInlineSnapshot(`
    "Node 12D3KooWSelfSelfSelfSelfSelfSelfSelfSelfSelfSelfSe1f
      state    ready
      version  1.2.3 (abcdef012345), up 1h 2m
      modes    peer, seed, scheduler; zone eu/a
      cluster  open: whoever reaches this node may join; \`shoal keygen\` makes a key for --cluster-key-file
      mirror   127.0.0.1:4880
      peers    http://10.0.0.7:4881, /ip4/10.0.0.7/tcp/4882
      store    70 MiB of 20 GiB on disk, 2 whole, 1 in part, in /var/lib/shoal
      keeps    tags and jobs in postgres://shoal@db/images
      scrub    0 blobs due, 1 wrong piece found
      rates    10.5 MiB/s from peers, 512 B/s from sources, 0 B/s to peers

    Members (2)
      node        address               modes  zone  version  heard
      ..SelfSe1f  http://10.0.0.7:4881  peer   eu/a  1.2.3    this node
      ..her0ther  http://10.0.0.8:4881  peer         1.2.3    4s ago

    Blobs (3)
      digest               size      here   kind  repository
      sha256:dac1d7cfa950  50 MiB    whole  blob  docker.io/library/debian
      sha256:9834a14ab9bc  64 MiB    25%    blob  ghcr.io/org/app
      sha256:b79606fb3afe  1.46 KiB  whole  blob  docker.io/library/debian

    Downloads (1)
      digest               size    here  rate        from
      sha256:9834a14ab9bc  64 MiB  25%   10.5 MiB/s  ..her0ther 10.5 MiB/s

    Uploads (1)
      digest               sent     rate   to
      sha256:dac1d7cfa950  977 KiB  0 B/s  ..her0ther"
  `)
})

test('prints what the API tells as JSON, through the address in the variable', async () => {
  const context = new FakeContext()
  context.variables = { SHOAL_ADMIN_ADDR: node() }
  const { code, out } = await status(context, '--json')
  const view = new FakeNodeView()
  expect(code).toBe(0)
  expect(JSON.parse(out)).toMatchObject({
    node: view.node(),
    members: view.members(),
    blobs: { total: 3 },
    transfers: view.transfers(),
  })
})

test('says what is owed to backends as long as something is', async () => {
  const view = new FakeNodeView()
  const address = node(view)
  const shown = async () => (await status(new FakeContext(), '--admin-addr', address)).out
  expect(await shown()).not.toContain('owes')
  view.keeps = { ...view.keeps, waiting: 3 }
  expect(await shown()).toContain('\n  owes     3 to backends, the oldest for 2m 5s: GET /api/v1/home says why\n')
})

test('says what keeps a node from being ready, and that a quiet one has no transfers', async () => {
  const view = new FakeNodeView()
  view.notReady = ['the store is full']
  view.trouble = 'no room for sha256:0123456789ab'
  view.stateTrouble = 'connection refused'
  view.transfers = () => ({ downloads: [], uploads: [] })
  const { out } = await status(new FakeContext(), '--admin-addr', node(view))
  expect(out).toContain('not ready: the store is full')
  expect(out).toContain('\n  trouble  no room for sha256:0123456789ab\n')
  expect(out).toContain('\n  trouble  no tags and jobs: connection refused\n')
  expect(out).toContain('\n  keeps    tags and jobs in postgres://shoal@db/images\n')
  expect(out).toContain('Downloads: none\n\nUploads: none')
})

test('goes to the node itself, whatever proxy the environment names', async () => {
  // Nothing listens on port 1: were the proxy asked, there would be no answer.
  const before = process.env.HTTP_PROXY
  process.env.HTTP_PROXY = 'http://127.0.0.1:1'
  try {
    const where = node()
    await expect(fetch(`http://${where}/healthz`)).rejects.toThrow()
    expect((await status(new FakeContext(), '--admin-addr', where)).code).toBe(0)
  } finally {
    if (before === undefined) delete process.env.HTTP_PROXY
    else process.env.HTTP_PROXY = before
  }
})

describe('a node behind a token', () => {
  test('is asked with the token in the file', async () => {
    const context = new FakeContext()
    context.files = { '/t': `${token}\n` }
    const { code } = await status(context, '--admin-addr', node(undefined, token), '--token-file', '/t')
    expect(code).toBe(0)
  })

  test('or with that in the file of the variable that the node itself reads', async () => {
    const context = new FakeContext()
    context.files = { '/t': `${token}\n` }
    context.variables = { SHOAL_ADMIN_ADDR: node(undefined, token), SHOAL_ADMIN_TOKEN_FILE: '/t' }
    expect((await status(context)).code).toBe(0)
    context.variables.SHOAL_ADMIN_TOKEN_FILE = '/none'
    expect(await status(context)).toMatchObject({
      code: 2,
      err: 'shoal: SHOAL_ADMIN_TOKEN_FILE "/none": there is no such file',
    })
  })

  test('says what is missing when it is asked without', async () => {
    const where = node(undefined, token)
    const { code, err } = await status(new FakeContext(), '--admin-addr', where)
    expect(code).toBe(1)
    expect(err).toBe(`shoal: the node at ${where} wants its token; name the file it is in with --token-file`)
  })

  test('says that it is another token, and where the right one is', async () => {
    const where = node(undefined, token)
    const refused = async (file: string, unit: Record<string, string> = {}) => {
      const context = Object.assign(new FakeContext(), { files: { [file]: 'staple-battery-horse\n', ...unit } })
      return (await status(context, '--admin-addr', where, '--token-file', file)).err
    }
    const [other, service] = ['/t', '/etc/shoal/admin.token'].map(
      (file) => `shoal: the node at ${where} does not take the token in ${file}; `,
    )
    expect(await refused('/t')).toBe(`${other}name the node's --admin-token-file`)
    expect(await refused('/t', { [places.unit]: '' })).toBe(`${other}the service's is in /etc/shoal/admin.token`)
    expect(await refused('/etc/shoal/admin.token', { [places.unit]: '' })).toBe(
      `${service}systemctl reload shoal has the service read it again`,
    )
  })
})

describe('without an answer to print', () => {
  test('no node: says how to start one', async () => {
    const where = node()
    await closers.pop()!()
    const { code, err } = await status(new FakeContext(), '--admin-addr', where)
    expect(code).toBe(1)
    expect(err).toBe(
      `shoal: no node answers at ${where}; start one with \`shoal up\`, or name its admin address with --admin-addr or SHOAL_ADMIN_ADDR`,
    )
  })

  test('no node where the service is installed: says how to start that, and of another host nothing of the kind', async () => {
    const where = node()
    await closers.pop()!()
    const context = () => Object.assign(new FakeContext(), { files: { [places.unit]: '' } })
    const { err } = await status(context(), '--admin-addr', where)
    expect(err).toStartWith(`shoal: no node answers at ${where}; start the service: systemctl start shoal`)
    expect(err).not.toContain('shoal up')
    const away = await status(context(), '--admin-addr', 'nowhere.invalid:1')
    expect(away.err).toStartWith('shoal: no node answers at nowhere.invalid:1; see that one runs there, or name')
  })

  test.each([
    ['no JSON', () => new Response('<html>')],
    ['other JSON', () => Response.json({ hello: 'world' })],
  ])('another program (%s): says that it is none', async (_, fetch) => {
    const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch })
    closers.push(() => server.stop(true))
    const { code, err } = await status(new FakeContext(), '--admin-addr', `127.0.0.1:${server.port}`)
    expect(code).toBe(1)
    expect(err).toContain(`what answers at 127.0.0.1:${server.port} is no shoal node of this version`)
  })

  test('a node that fails: passes on what it says', async () => {
    const view = new FakeNodeView()
    view.members = () => {
      throw new Error('membership is gone')
    }
    const where = node(view)
    const { code, err } = await status(new FakeContext(), '--admin-addr', where)
    expect(code).toBe(1)
    expect(err).toBe(`shoal: the node at ${where} could not answer /api/v1/members: membership is gone`)
  })
})
