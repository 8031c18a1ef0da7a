import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { sample } from '../../test/conformance/blob-store.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { diskStores } from '../../test/fakes/disk-stores.ts'
import { commitEvery } from './catalog.ts'
import { Pins } from './pins.ts'

const { newDir, openStore } = diskStores()
const [one, two] = [sample(10, 1).digest, sample(10, 2).digest]

test('pins that are over are forgotten, those that hold are not', () => {
  let now = 0
  const pins = new Pins([], () => now)
  pins.add({ digest: one, reason: 'an image', until: 10 })
  pins.add({ digest: one, reason: 'a preheat', until: 20 })
  pins.add({ digest: two, reason: 'for good' })
  expect(pins.prune()).toBe(false)
  now = 10
  expect([pins.prune(), pins.prune()]).toEqual([true, false])
  expect(pins.until(one)).toBe(20)
  now = 20
  expect([pins.prune(), pins.until(one), pins.until(two)]).toEqual([true, undefined, Number.POSITIVE_INFINITY])
  // A clock that is set back brings nothing back that is forgotten.
  now = 0
  expect(pins.all().map(({ reason }) => reason)).toEqual(['for good'])
})

test('a store that runs keeps no records of pins that are over', async () => {
  const dir = newDir()
  const clock = new FakeClock()
  const store = await openStore(dir, { clock })
  store.pin({ digest: one, reason: 'an image', until: clock.wall() + 5000 })
  store.pin({ digest: two, reason: 'an image', until: clock.wall() + 3600_000 })
  const recorded = () => {
    using db = new Database(join(dir, 'shoal.db'), { readonly: true })
    return db.query<{ digest: string }, []>('SELECT digest FROM pins ORDER BY until').all()
  }
  clock.advance(commitEvery)
  expect(recorded()).toEqual([{ digest: one }, { digest: two }])
  clock.advance(20_000)
  expect(recorded()).toEqual([{ digest: two }])
})
