import { afterEach, beforeEach, expect, test } from 'bun:test'
import { FakeContext } from '../../test/fakes/context.ts'
import { FakeNodeView } from '../../test/fakes/node-view.ts'
import { type AdminServer, createAdmin, serveAdmin } from '../admin/admin.ts'
import { formatAddress } from '../listen.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { run } from './program.ts'
import { enter, leave } from './screen.ts'

let view: FakeNodeView
let server: AdminServer
let context: FakeContext
beforeEach(() => {
  view = new FakeNodeView()
  server = serve(0)
  context = new FakeContext()
})
afterEach(() => server.close())

function serve(port: number): AdminServer {
  return serveAdmin(createAdmin(view, createMetrics(), { log: silentLog }), { host: '127.0.0.1', port })
}

/** Runs until it is over. The node answers over a real socket, so what it leads to is waited for. */
const watching = (...args: string[]) =>
  run(['status', '--watch', '--admin-addr', formatAddress(server.address), ...args], context)

async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + 4_000
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not so in time: ${holds}`)
    await Bun.sleep(5)
  }
}

/** Its next look comes when the clock says so, and it waits for that. */
async function later(ms: number): Promise<void> {
  await until(() => context.clock.pending > 0)
  context.clock.advance(ms)
}

function terminal() {
  const drawn: string[] = []
  return { drawn, screen: { size: () => ({ columns: 100, rows: 60 }), write: (text: string) => drawn.push(text) } }
}

test('without a terminal it is a line each time, until a signal ends it with 0', async () => {
  const code = watching()
  await until(() => context.printed.length === 1)
  view.notReady = ['the node is shutting down']
  await later(2_000)
  await until(() => context.printed.length === 2)
  context.signal('SIGINT')
  expect(await code).toBe(0)
  const [first, second] = context.printed
  expect(first).toBe(
    '2026-01-01T00:00:00.000Z  ready  members=2  downloads=1  uploads=1  from-peers=10.5MiB/s  ' +
      'from-sources=512B/s  to-peers=0B/s  store=70MiB',
  )
  expect(second).toMatch(/^2026-01-01T00:00:02\.000Z {2}not ready \(the node is shutting down\)/)
  expect([context.listening, context.clock.pending]).toEqual([false, 0])
})

test('on a terminal it is drawn in place, on the other screen, and what was seen last stays when it ends', async () => {
  const { drawn, screen } = terminal()
  Object.assign(context, { screen })
  const code = watching('--interval', '500ms')
  await until(() => drawn.length === 2)
  await later(500)
  await until(() => drawn.length === 3)
  expect(context.printed).toEqual([])
  context.signal('SIGTERM')
  expect(await code).toBe(0)
  expect([drawn[0], drawn.at(-1)]).toEqual([enter, leave])
  expect(drawn[1]).toContain('00:00:00 UTC, every 0.5 s; Ctrl-C ends')
  expect(drawn[2]).toContain('Members (2)')
  expect(context.printed.join('\n')).toMatch(/^Node 12D3/)
})

test('a node that does not answer for a while is waited for, and what was seen of it stays in sight', async () => {
  const { drawn, screen } = terminal()
  Object.assign(context, { screen })
  const code = watching()
  await until(() => drawn.length === 2)
  const { port } = server.address
  await server.close()
  await later(2_000)
  await until(() => drawn.length === 3)
  expect(drawn[2]).toMatch(/no node answers at 127/)
  expect(drawn[2]).toContain('Members (2)')
  server = serve(port)
  await later(2_000)
  await until(() => drawn.length === 4)
  expect(drawn[3]).not.toContain('no node answers')
  context.signal('SIGINT')
  expect(await code).toBe(0)
})

test('as JSON it is an object a line, on a terminal too', async () => {
  Object.assign(context, terminal())
  const code = watching('--json')
  await until(() => context.printed.length === 1)
  await later(2_000)
  await until(() => context.printed.length === 2)
  context.signal('SIGINT')
  expect(await code).toBe(0)
  for (const line of context.printed) expect(JSON.parse(line).node.version).toBe('1.2.3')
})

test('a node that never answered is no node to be watched', async () => {
  await server.close()
  expect(await watching()).toBe(1)
  expect(context.complained.join()).toContain('no node answers')
})

test.each([
  [['--watch', '--interval', '10ms'], 'a duration of 100ms or more'],
  [['--interval', '5s'], '--interval wants --watch'],
])('%p is refused', async (args, said) => {
  expect(await run(['status', '--admin-addr', formatAddress(server.address), ...args], context)).toBe(2)
  expect(context.complained.join()).toContain(said)
})
