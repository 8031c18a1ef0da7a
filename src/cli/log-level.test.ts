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
  const level = async (...args: string[]) => {
    const context = new FakeContext()
    const code = await run(['log-level', '--admin-addr', formatAddress(server.address), ...args], context)
    return { code, out: context.printed.join('\n'), err: context.complained.join('\n') }
  }
  return { view, level }
}

test('says what it is, and changes it, for a time where one is given', async () => {
  const { view, level } = node()
  expect(await level()).toEqual({ code: 0, out: 'info', err: '' })
  expect((await level('warn')).out).toBe('warn (by its settings: info)')
  expect((await level('debug', '--for', '10m')).out).toBe('debug until 2026-01-01T12:10:00.000Z, then info')
  expect(JSON.parse((await level('--json')).out)).toEqual({ ...view.level })
})

test.each([
  [['chatty'], /level: .*"debug"\|"info"\|"warn"\|"error"/],
  [['debug', '--for', '2d'], /a day at most/],
  [['debug', '--for', 'soon'], /duration such as 90s or 10m/],
  [['debug', '--for', '0'], /duration such as 90s or 10m/],
  [['--for', '10m'], /wants a level/],
])('%p is refused, and nothing changes', async (args, said) => {
  const { view, level } = node()
  const { code, err } = await level(...args)
  expect(code).not.toBe(0)
  expect(err).toMatch(said)
  expect(view.level.level).toBe('info')
})
