import { afterEach, beforeEach, expect, test } from 'bun:test'
import { FakeClock } from '../../test/fakes/clock.ts'
import { infoOf } from '../../test/fakes/members.ts'
import type { NodeInfo } from '../cluster/node-info.ts'
import type { IncomingPass } from '../cluster/tickets.ts'
import { silentLog } from '../telemetry/log.ts'
import { Control } from './control.ts'
import { Intake } from './intake.ts'
import { routes } from './rules.ts'
import { Uploads } from './uploads.ts'
import type { Inbound } from './wire.ts'

const [ann, bob] = [`12D3KooW${'a'.repeat(44)}`, `12D3KooW${'b'.repeat(44)}`]
const pass: IncomingPass = { bring: () => {}, seal: () => '', secret: () => new Uint8Array(32) }

let control: Control
let sender: string
/** What nodes said of themselves, as it was passed on. */
let heard: NodeInfo[]
let refused: string[]
beforeEach(() => {
  const clock = new FakeClock()
  heard = []
  refused = []
  const inbound: Pick<Inbound, 'announce' | 'schedule'> = {
    announce: ({ node }) => {
      heard.push(node)
      return { epoch: 'one' }
    },
    schedule: ({ node }) => {
      heard.push(node)
      return { parents: [], again: 1000 }
    },
  }
  control = new Control({
    inbound: () => inbound as Inbound,
    admit: () => ({ sender, pass }),
    refused: ({ reason }) => refused.push(reason),
    uploads: new Uploads(() => 0, clock),
    intake: new Intake(),
    clock,
    log: silentLog,
  })
})
afterEach(() => control.close())

async function says(from: string, node: NodeInfo): Promise<number> {
  sender = from
  const body = { node, uploads: 0, uploadSlots: 4, full: true, holdings: [], gone: [], leaving: false }
  const request = new Request(`http://node${routes.announce}`, { method: 'POST', body: JSON.stringify(body) })
  return (await control.announce(request, { requestIP: () => null })).status
}

test('a member that speaks for another is refused, and what it said is never taken for the word of that one', async () => {
  const own = infoOf(bob, { homes: ['registry.test/**'] })
  // Also for a node that has not spoken yet.
  expect(await says(ann, { ...own, homes: [] })).toBe(401)
  expect(await says(bob, own)).toBe(200)
  for (const forged of [{ version: '2' }, { homes: [] }, { zone: 'eu/b' }, { url: 'http://10.0.0.9:4881' }]) {
    expect(await says(ann, { ...own, ...forged })).toBe(401)
    expect(await says(bob, own)).toBe(200)
  }
  expect(heard).toEqual(Array(5).fill(own))
  // One object, however often it speaks.
  expect(new Set(heard).size).toBe(1)
  expect(refused).toEqual(Array(5).fill('other node'))
})
