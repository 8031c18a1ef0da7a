import { afterEach, expect, test } from 'bun:test'
import { FakeContext } from '../../test/fakes/context.ts'
import { FakeNodeView } from '../../test/fakes/node-view.ts'
import { createAdmin, serveAdmin } from '../admin/admin.ts'
import { formatAddress } from '../listen.ts'
import { silentLog } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { run } from './program.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  await Promise.all(closers.splice(0).map((close) => close()))
})

function node() {
  const view = new FakeNodeView()
  const server = serveAdmin(createAdmin(view, createMetrics(), { log: silentLog }), { host: '127.0.0.1', port: 0 })
  closers.push(() => server.close())
  const shoal = async (command: string, ...args: string[]) => {
    const context = new FakeContext()
    const code = await run([command, '--admin-addr', formatAddress(server.address), ...args], context)
    return { code, out: context.printed.join('\n'), err: context.complained.join('\n') }
  }
  return { view, shoal }
}

test('an image is pinned for a time, listed and unpinned by its name, slashes and all', async () => {
  const { view, shoal } = node()
  const name = 'ghcr.io/org/app:v1'
  const { code, out } = await shoal('pin', name, '--for', '7m')
  expect([code, out]).toEqual([0, `${name}  until 2026-01-01T12:07:00.000Z: 2 blobs, 1 of them not here yet, 3 MiB`])
  expect([...view.pinned.keys()]).toEqual([name])
  expect((await shoal('pin')).out).toBe(out)
  expect(JSON.parse((await shoal('pin', '--json')).out)).toMatchObject({ pins: [{ name, blobs: 2 }] })
  expect(await shoal('unpin', name)).toMatchObject({ code: 0, out: `unpinned ${name}` })
  expect((await shoal('pin')).out).toBe('nothing is pinned')
})

test('without a time it is pinned until it is unpinned', async () => {
  const { shoal } = node()
  expect((await shoal('pin', 'debian')).out).toStartWith('debian  until it is unpinned: 2 blobs')
})

test('what is not pinned cannot be unpinned, and the command says so', async () => {
  const { code, err } = await node().shoal('unpin', 'debian')
  expect(code).toBe(1)
  expect(err).toContain('nothing is pinned by the name debian')
})

test.each(['soon', '7', '1s'])('--for %s is wrong usage', async (time) => {
  const { code, err } = await node().shoal('pin', 'debian', '--for', time)
  expect(code).toBe(2)
  expect(err).toContain('such as 24h or 7d')
})
