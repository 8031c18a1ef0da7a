import { expect, spyOn, test } from 'bun:test'
import { FakeClock, settle } from '../../test/fakes/clock.ts'
import { Identity } from '../cluster/identity.ts'
import { encrypt } from './encryption.ts'
import { wireRules } from './rules.ts'

test('a host that drops packets is given up in time and quietly, and a connection that stands later ends at once', async () => {
  const clock = new FakeClock()
  const identity = await Identity.temporary()
  const encryption = await encrypt(identity, clock)
  const connected = Promise.withResolvers<{ terminate(): void }>()
  const connect = spyOn(Bun, 'connect').mockReturnValue(connected.promise as never)
  const unhandled: unknown[] = []
  const note = (error: unknown) => unhandled.push(error)
  process.on('unhandledRejection', note)
  let terminated = 0
  try {
    const node = { id: identity.id, url: 'https://192.0.2.1:4881' }
    const trusted = encryption.trust(node)!.catch((error) => error)
    await settle()
    clock.advance(wireRules.pingDeadline)
    expect(await trusted).toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('no certificate within'),
    })
    await Bun.sleep(10)
    connected.resolve({ terminate: () => terminated++ })
    await Bun.sleep(10)
  } finally {
    process.off('unhandledRejection', note)
    connect.mockRestore()
  }
  expect([terminated, unhandled]).toEqual([1, []])
})
