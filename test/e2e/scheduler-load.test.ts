import { expect, test } from 'bun:test'
import { load } from '../load/load.ts'

test('a scheduler takes all that 200 simulated nodes say, names parents to them, and notices who ends', async () => {
  const outcome = await load({
    peers: 200,
    blobs: 40,
    seconds: 3,
    seed: 1,
    sockets: 32,
    spread: 10,
    address: '127.0.0.78',
    speed: 4,
  })
  for (const { phase, announces, failed } of outcome.phases) {
    expect({ phase, failed, announced: announces > 0 }).toEqual({ phase, failed: 0, announced: true })
  }
  const pull = outcome.phases.find(({ phase }) => phase === 'pull')!
  expect(pull.schedules).toBeGreaterThan(100)
  expect(pull.parentsNamed).toBeGreaterThan(pull.schedules)
  // Every second one of those that ended said so; the others may still be believed in.
  expect(outcome.members.known).toBeWithin(outcome.members.alive, 203)
}, 60_000)
