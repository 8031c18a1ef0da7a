import { describe, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { MemberTable } from '../cluster/member-table.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import { Failure } from '../failure.ts'
import { silentLog } from '../telemetry/log.ts'
import { Prober } from './prober.ts'

const node = (id: string, url = `http://${id}:4881`): NodeInfo => {
  return { id, url, p2p: [], modes: ['peer', 'seed', 'scheduler'], version: '1', epoch: 'e1' }
}

/** Nobody answers. */
function lonely() {
  const clock = new FakeClock()
  const table = new MemberTable(node('self'), () => clock.now())
  const pinged: string[] = []
  const prober = new Prober({
    table,
    ping: async ({ id }) => {
      pinged.push(id)
      throw new Failure('unavailable', 'it is gone')
    },
    clock,
    log: silentLog,
  })
  prober.start()
  return { clock, table, pinged, prober }
}

describe('a seed that was lost', () => {
  test('is looked for again, for an hour', async () => {
    const { clock, table, pinged, prober } = lonely()
    table.heard(node('a'), clock.now())
    await clock.run(20_000)
    expect(table.find('a')).toBeUndefined()
    pinged.length = 0
    await clock.run(60_000)
    expect(pinged).toContain('a')
    await clock.run(3_600_000)
    pinged.length = 0
    await clock.run(600_000)
    expect(pinged).toEqual([])
    prober.close()
  })

  test('is not looked for where another one lives, though a thousand came and went there', async () => {
    const { clock, table, pinged, prober } = lonely()
    for (let i = 0; i < 1000; i++) {
      table.heard(node(`host-${i}`, 'http://host:4881'), clock.now())
      await clock.run(100)
    }
    await clock.run(20_000)
    expect(table.size).toBe(1)
    pinged.length = 0
    await clock.run(120_000)
    expect(new Set(pinged)).toEqual(new Set(['host-999']))
    prober.close()
  })
})

test('of thousands that were lost, or invented, the last few hundred are looked for', async () => {
  const { clock, table, pinged, prober } = lonely()
  for (let i = 0; i < 2000; i++) {
    table.listed([node(`n${i}`)], 'reporter', clock.now())
    table.drop(`n${i}`, clock.now(), 'it does not answer')
  }
  await clock.run(1_000)
  pinged.length = 0
  await clock.run(10_000)
  expect(new Set(pinged).size).toBe(512)
  expect(pinged).toContain('n1999')
  prober.close()
})

describe('a node that answers no ping', () => {
  const silent = async (speaks: boolean) => {
    const { clock, table, pinged, prober } = lonely()
    table.heard(node('a'), clock.now())
    await clock.run(10)
    table.doubt('a')
    // Between the two pings.
    await clock.run(100)
    if (speaks) table.seen('a', clock.now())
    await clock.run(1_000)
    prober.close()
    return { pinged, there: table.find('a') !== undefined }
  }

  test('is gone', async () => {
    expect(await silent(false)).toEqual({ pinged: ['a', 'a'], there: false })
  })
  test('is there when something else is heard of it meanwhile', async () => {
    expect(await silent(true)).toEqual({ pinged: ['a', 'a'], there: true })
  })
})
