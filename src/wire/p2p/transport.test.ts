import { afterAll, beforeAll, expect, test } from 'bun:test'
import { multiaddr } from '@multiformats/multiaddr'
import { systemClock } from '../../clock.ts'
import { Identity } from '../../cluster/identity.ts'
import { silentLog } from '../../telemetry/log.ts'
import { Seldom } from '../../telemetry/seldom.ts'
import { type Host, startHost } from './host.ts'

let host: Host
const silent = Bun.listen({ hostname: '127.0.0.1', port: 0, socket: { data() {} } })
const uncaught: unknown[] = []
const catcher = (error: unknown) => uncaught.push(error)

beforeAll(async () => {
  const identity = await Identity.temporary()
  const address = { host: '127.0.0.1', port: 0 }
  host = await startHost({
    identity,
    address,
    advertise: () => '127.0.0.1',
    ring: undefined,
    mdns: false,
    log: silentLog,
    seldom: new Seldom(systemClock),
  })
  process.on('uncaughtException', catcher)
})
afterAll(async () => {
  process.off('uncaughtException', catcher)
  silent.stop(true)
  await host.stop()
})

test('a dial that is given up, at whatever moment, fails and does no more harm', async () => {
  const outcomes: string[] = []
  for (let moment = 0; moment < 40; moment++) {
    const controller = new AbortController()
    const dial = host.dial(multiaddr(`/ip4/127.0.0.1/tcp/${silent.port}`), { signal: controller.signal })
    const outcome = dial.then(
      () => 'connected',
      () => 'failed',
    )
    for (let i = 0; i < moment; i++) await null
    controller.abort()
    outcomes.push(await outcome)
  }
  // An error of a forgotten socket would come a little later.
  await Bun.sleep(50)
  expect(outcomes).toEqual(outcomes.map(() => 'failed'))
  expect(uncaught).toEqual([])
})
