import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { FakeClock } from '../../../test/fakes/clock.ts'
import { Failure } from '../../failure.ts'
import { digestOf } from '../../oci/digest.ts'
import { repositoryOf } from '../../oci/reference.ts'
import { type Brought, bringIndex } from './index-of.ts'
import type { IndexAnswer, NodeClient } from './node-client.ts'
import { Traffic } from './traffic.ts'

const digest = digestOf(new TextEncoder().encode('a layer'))
const blob = { repository: repositoryOf('registry.test', 'app'), digest }
const layer = { digest, diffId: digestOf(new TextEncoder().encode('unpacked')), compressedSize: 10 }
const making: IndexAnswer = { state: 'making', retryMs: 1000, done: 0, total: 10 }
const away = () => new Failure('unavailable', 'no seed can be asked')

describe('a node that is asked for an index', () => {
  let clock: FakeClock
  /** What it answers at that time, in seconds. */
  let answer: (second: number) => IndexAnswer | Failure
  let outcome: Brought | Failure | undefined
  let stop: AbortController

  const begin = () => {
    const client: Pick<NodeClient, 'index'> = {
      index: async () => {
        const said = answer(clock.now() / 1000)
        if (said instanceof Failure) throw said
        return said
      },
    }
    const options = { clock, traffic: new Traffic(clock), signal: stop.signal, log: () => {} }
    bringIndex(layer, blob, client as NodeClient, options).then(
      (brought) => {
        outcome = brought
      },
      (error: Failure) => {
        outcome = error
      },
    )
  }

  beforeEach(() => {
    clock = new FakeClock()
    stop = new AbortController()
    outcome = undefined
  })
  afterEach(() => stop.abort())

  test('may have no answer for a while, also after it said for long that it is at it', async () => {
    const none: IndexAnswer = { state: 'cannot', reason: 'one zstd frame' }
    answer = (second) => (second < 40 ? making : second < 65 ? away() : second < 100 ? making : none)
    begin()
    await clock.run(90_000)
    expect(outcome).toBeUndefined()
    await clock.run(20_000)
    expect(outcome).toEqual({ reason: 'one zstd frame' })
  })

  test('has that half a minute once it has none, and not less', async () => {
    answer = (second) => (second < 40 ? making : away())
    begin()
    await clock.run(68_000)
    expect(outcome).toBeUndefined()
    await clock.run(5000)
    expect(outcome).toMatchObject({ code: 'unavailable' })
  })
})
