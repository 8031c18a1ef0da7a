import { afterEach, expect, setDefaultTimeout, test } from 'bun:test'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeClock } from '../../test/fakes/clock.ts'
import { FakeContext } from '../../test/fakes/context.ts'
import { FakeNodeView, other, self } from '../../test/fakes/node-view.ts'
import { createAdmin, serveAdmin } from '../admin/admin.ts'
import { Secret } from '../config/secret.ts'
import { checks, type Finding } from '../doctor/finding.ts'
import { formatAddress } from '../listen.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { newClusterKey } from './keygen.ts'
import { run } from './program.ts'

// Every process of the machine is looked at, however many there are.
setDefaultTimeout(20_000)

const closers: (() => unknown)[] = []
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()))
})

/** A registry that answers `GET /v2/`, with a clock that is so many seconds ahead. */
function registry(ahead = 0, name = 'docker.io'): string {
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: ({ url }) =>
      new Response('', {
        status: new URL(url).pathname === '/v2/' ? 401 : 404,
        headers: { date: new Date(new FakeClock().wall() + ahead * 1000).toUTCString() },
      }),
  })
  closers.push(() => server.stop(true))
  return `${name}=http://127.0.0.1:${server.port}`
}

function node(view = new FakeNodeView(), token?: string): string {
  const app = createAdmin(view, createMetrics(), { ...(token ? { token: new Secret(token) } : {}), log: silentLog })
  const server = serveAdmin(app, { host: '127.0.0.1', port: 0 })
  closers.push(() => server.close())
  return formatAddress(server.address)
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'shoal-doctor-'))
  closers.push(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** What doctor says, with free ports for a node that is to be started, and the registry above. */
async function doctor(context: FakeContext, ...args: string[]) {
  const quiet = ['--registry-addr', '--peer-addr', '--p2p-addr'].flatMap((flag) => [flag, '127.0.0.1:0'])
  const usual = ['--data-dir', folder(), '--upstream', registry(), ...quiet]
  const code = await run(['doctor', '--json', ...usual, ...args], context)
  const { healthy, findings } = JSON.parse(context.printed.join('\n') || '{}') as {
    healthy: boolean
    findings: Finding[]
  }
  const of = (check: string) => findings.filter((finding) => finding.check === check)
  return { code, healthy, findings, of }
}

test('without a node it says so, and looks at the rest', async () => {
  const { code, healthy, findings, of } = await doctor(new FakeContext(), '--admin-addr', '127.0.0.1:1')
  expect(of('node')).toMatchObject([{ level: 'note', what: expect.stringContaining('no node runs on this host') }])
  expect(of('sources')).toMatchObject([{ level: 'good' }])
  expect({ code, healthy }).toEqual({ code: 0, healthy: true })
  const silent = new Set(checks.filter((check) => !findings.some((finding) => finding.check === check)))
  // Nobody is known, and the ports are for this host alone.
  expect([...silent]).toEqual(['cluster', 'members'])
})

test('what a running node tells is judged: a member that does not answer is a problem, and the exit code is 1', async () => {
  const view = new FakeNodeView()
  view.banned.push(other)
  view.members = () => {
    const common = { modes: ['peer'], secondsSinceHeard: 0 }
    return [
      { id: self, url: 'http://127.0.0.1:2', version: '1.2.3', self: true, ...common },
      { id: other, url: 'http://127.0.0.1:1', version: '1.2.4', self: false, ...common },
    ]
  }
  const { code, of } = await doctor(new FakeContext(), '--admin-addr', node(view))
  expect(code).toBe(1)
  expect(of('node').map(({ level }) => level)).toContain('good')
  expect(of('node').find(({ what }) => what.includes(other))?.level).toBe('note')
  expect(of('members').map(({ level, what }) => `${level}: ${what}`)).toEqual([
    'problem: 1 of 1 members do not answer at their peer port: http://127.0.0.1:1 (nothing listens there)',
    'warning: members run different versions: 1.2.3 on 1, 1.2.4 on 1',
  ])
})

test('what a running node is not ready for is a problem', async () => {
  const view = new FakeNodeView()
  view.notReady = ['the store is full']
  const { of } = await doctor(new FakeContext(), '--admin-addr', node(view))
  expect(of('node').find(({ level }) => level === 'problem')?.what).toBe('the node is not ready: the store is full')
})

test('a node that wants a token is asked with it; without, that is said and the rest is looked at', async () => {
  const context = new FakeContext()
  context.files = { '/t': 'correct-horse-battery\n' }
  const where = node(undefined, 'correct-horse-battery')
  const without = await doctor(new FakeContext(), '--admin-addr', where)
  expect(without.of('node')).toMatchObject([{ level: 'warning', what: expect.stringContaining('wants its token') }])
  expect(without.of('sources')).toHaveLength(1)
  const { of } = await doctor(context, '--admin-addr', where, '--token-file', '/t')
  expect(of('node')[0]).toMatchObject({ level: 'good' })
})

test('what is to be asked of a node that listens everywhere is asked here, with its token', async () => {
  const context = new FakeContext()
  context.files = { '/t': 'correct-horse-battery\n' }
  const view = new FakeNodeView()
  view.bans = () => [{ node: other, reason: 'x', until: '2026-01-01T00:00:00.000Z' }]
  const where = node(view, 'correct-horse-battery')
  const everywhere = `0.0.0.0:${where.split(':')[1]}`
  const { of } = await doctor(context, '--admin-addr', everywhere, '--admin-token-file', '/t')
  expect(of('node').find(({ what }) => what.includes('leaves alone'))?.remedy).toStartWith(
    `curl -X DELETE -H "Authorization: Bearer $(cat /t)" http://${where}/api/v1/bans/NODE`,
  )
})

test('a port that somebody has is named with who has it', async () => {
  const server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: () => new Response() })
  closers.push(() => server.stop(true))
  const { code, of } = await doctor(
    new FakeContext(),
    ...['--admin-addr', '127.0.0.1:1', '--registry-addr', `127.0.0.1:${server.port}`],
  )
  expect(code).toBe(1)
  expect(of('ports')[0]?.what).toMatch(
    new RegExp(`^127\\.0\\.0\\.1:${server.port} \\(--registry-addr\\) is taken by .+ \\(pid ${process.pid}\\)$`),
  )
})

test('a clock that differs from a registry is told by how much', async () => {
  const { of } = await doctor(
    new FakeContext(),
    '--admin-addr',
    '127.0.0.1:1',
    '--upstream',
    registry(3600, 'registry.test'),
  )
  expect(of('clock')).toMatchObject([{ what: 'the clock of registry.test is 60 minutes ahead of this one' }])
})

test('a cluster key that others may read is told with the command that mends it', async () => {
  const path = join(folder(), 'cluster.key')
  writeFileSync(path, newClusterKey())
  chmodSync(path, 0o644)
  const context = new FakeContext()
  context.files = { [path]: 'it is read where it lies' }
  const { of } = await doctor(context, '--admin-addr', '127.0.0.1:1', '--cluster-key-file', path)
  expect(of('cluster')).toMatchObject([{ level: 'warning', remedy: `chmod o= ${path}` }])
})

test('the token of the settings is used, wherever the command line names none', async () => {
  const context = new FakeContext()
  context.files = { '/t': 'correct-horse-battery\n' }
  const where = node(undefined, 'correct-horse-battery')
  const { of } = await doctor(context, '--admin-addr', where, '--admin-token-file', '/t')
  expect(of('node')[0]).toMatchObject({ level: 'good' })
})

test('an authority that is none is a finding about the sources, and the rest is looked at', async () => {
  const path = join(folder(), 'ca.pem')
  writeFileSync(path, 'no certificate')
  const context = new FakeContext()
  context.files = { [path]: 'it is read where it lies' }
  const { of } = await doctor(context, '--admin-addr', '127.0.0.1:1', '--ca-file', path)
  expect(of('sources')).toMatchObject([{ level: 'problem', what: `${path} holds no PEM certificate` }])
  expect(of('disk')).not.toEqual([])
})

test('wrong settings are findings too, and the rest is looked at with the defaults', async () => {
  const context = new FakeContext()
  context.variables = { SHOAL_ZONES: 'eu', SHOAL_ADMIN_ADDR: '127.0.0.1:1' }
  await run(['doctor', '--json'], context)
  const { findings } = JSON.parse(context.printed.join('\n')) as { findings: Finding[] }
  expect(findings.filter(({ check }) => check === 'settings')).toMatchObject([
    { level: 'problem', what: 'SHOAL_ZONES: there is no such variable; did you mean SHOAL_ZONE?' },
  ])
  expect(findings.some(({ check }) => check === 'disk')).toBe(true)
})

test('for people each finding is a line, with why and what to do below it, and a count at the end', async () => {
  const context = new FakeContext()
  const code = await run(['doctor', '--admin-addr', '127.0.0.1:1', '--upstream', registry()], context)
  const text = context.printed.join('\n')
  expect([0, 1]).toContain(code)
  expect(text).toMatch(/^note {2}node {6}no node runs on this host/)
  expect(text).toContain('\n                mend: shoal up')
  expect(text).toMatch(/\n\d+ problems?, \d+ warnings?, \d+ notes?, \d+ in order$/)
})
