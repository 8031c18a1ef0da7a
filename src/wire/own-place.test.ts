import { expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { type Interfaces, pickPlace } from '../cluster/advertise.ts'
import { silentLog } from '../telemetry/log.ts'
import { followPlace, lookEvery } from './own-place.ts'

const eth0 = (address: string): Interfaces => ({
  eth0: [{ address, family: 'IPv4', internal: false, netmask: '', mac: '', cidr: null }],
})

class Stage {
  readonly clock = new FakeClock()
  readonly moves: string[] = []
  readonly errors: string[] = []
  fails = false
  blind = false
  has: Interfaces

  constructor(has: Interfaces) {
    this.has = has
  }

  follow(): () => Promise<void> {
    return followPlace({
      place: pickPlace(this.has, '0.0.0.0'),
      listenHost: '0.0.0.0',
      interfaces: () => {
        if (this.blind) throw new Error('too many open files')
        return this.has
      },
      move: async (address) => {
        this.moves.push(address)
        if (this.fails) throw new Error('the port is taken')
      },
      clock: this.clock,
      log: { ...silentLog, error: (message) => void this.errors.push(message) },
    })
  }
}

test('a node moves to the address that its host has got, once, when two looks have found it', async () => {
  const stage = new Stage({})
  const stop = stage.follow()
  await stage.clock.run(60_000)
  expect(stage.moves).toEqual([])
  stage.has = eth0('10.0.0.7')
  await stage.clock.run(lookEvery)
  expect(stage.moves).toEqual([])
  await stage.clock.run(60_000)
  expect(stage.moves).toEqual(['10.0.0.7'])
  stage.has = eth0('10.0.0.8')
  await stage.clock.run(60_000)
  expect(stage.moves).toEqual(['10.0.0.7', '10.0.0.8'])
  await stop()
  expect(stage.clock.pending).toBe(0)
})

test('an interface that is set up anew has no address for a moment, and the node stays where it is', async () => {
  const stage = new Stage(eth0('10.0.0.7'))
  const stop = stage.follow()
  for (let i = 0; i < 10; i++) {
    stage.has = i % 2 === 0 ? eth0('10.0.0.9') : eth0('10.0.0.7')
    await stage.clock.run(lookEvery)
  }
  expect(stage.moves).toEqual([])
  await stop()
})

test('a move that fails is told, and tried again', async () => {
  const stage = new Stage(eth0('10.0.0.7'))
  stage.fails = true
  const stop = stage.follow()
  stage.has = eth0('10.0.0.8')
  await stage.clock.run(3 * lookEvery)
  expect(stage.errors).toHaveLength(2)
  stage.fails = false
  await stage.clock.run(60_000)
  expect(stage.moves).toEqual(['10.0.0.8', '10.0.0.8', '10.0.0.8'])
  await stop()
})

test('a look that fails says nothing, and the next ones go on from the last that did', async () => {
  const stage = new Stage(eth0('10.0.0.7'))
  const stop = stage.follow()
  stage.has = eth0('10.0.0.8')
  await stage.clock.run(lookEvery)
  stage.blind = true
  await stage.clock.run(60_000)
  expect(stage.moves).toEqual([])
  stage.blind = false
  await stage.clock.run(lookEvery)
  expect(stage.moves).toEqual(['10.0.0.8'])
  await stop()
})
