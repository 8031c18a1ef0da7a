import { beforeEach, describe, expect, test } from 'bun:test'
import { infoOf } from '../../test/fakes/members.ts'
import { MemberTable } from '../cluster/member-table.ts'
import type { Mode, NodeInfo } from '../cluster/node-info.ts'
import { rendezvous } from '../cluster/rendezvous.ts'
import { Failure } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import { silentLog } from '../telemetry/log.ts'
import type { Schedule, ScheduleReply } from '../wire/messages.ts'
import { Planner } from './planner.ts'

const digest = digestOf(Buffer.from('a layer'))
const location = { repository: repositoryOf('docker.io', 'library/debian'), kind: 'blob', digest } as const

/** What happened, in order. */
let trace: string[]
let table: MemberTable
let down: Set<string>
let providers: NodeInfo[]
let planner: Planner

function start(modes: Mode[] = ['peer'], local?: (request: Schedule) => ScheduleReply): void {
  trace = []
  down = new Set()
  providers = []
  table = new MemberTable(infoOf('self', { modes }), () => 0)
  table.onDoubt((id) => trace.push(`doubt ${id}`))
  const reach = (what: string, id: string) => {
    trace.push(`${what} ${id}`)
    if (down.has(id)) throw new Failure('unavailable', `${id} does not answer`)
  }
  planner = new Planner({
    membership: table,
    outbound: {
      schedule: async ({ id }) => {
        reach('schedule', id)
        return { parents: [], fetcher: id, again: 1000 }
      },
      order: async ({ id }) => reach('order', id),
    },
    directory: {
      provide: () => {},
      withdraw: () => {},
      find: async () => {
        trace.push('directory')
        return providers
      },
    },
    log: silentLog,
    ...(local ? { local } : {}),
  })
}
beforeEach(() => start())

const joins = (mode: Mode, ...ids: string[]) => {
  for (const id of ids) table.heard(infoOf(id, { modes: [mode], zone: 'eu/a' }), 0)
}
const plan = (rest: Partial<Schedule> = {}) =>
  planner.plan({ node: table.self, location, pieces: 0, connected: [], failed: [], stalled: false, ...rest })
const namesOf = (reply: ScheduleReply) => reply.parents.map(({ node }) => node.id)

describe('with schedulers', () => {
  test('the owner of the digest is asked, and nobody else', async () => {
    joins('scheduler', 'a', 'b', 'c')
    joins('seed', 's')
    const [owner] = rendezvous(digest, ['a', 'b', 'c'])
    expect((await plan()).fetcher).toBe(owner)
    expect(trace).toEqual([`schedule ${owner}`])
    expect(planner.owners(digest).map(({ id }) => id)).toEqual(rendezvous(digest, ['a', 'b', 'c']))
  })

  test('the next one is asked when the owner does not answer, and the owner is looked at', async () => {
    joins('scheduler', 'a', 'b', 'c')
    const [owner, second] = rendezvous(digest, ['a', 'b', 'c'])
    down.add(owner!)
    expect((await plan()).fetcher).toBe(second)
    expect(trace).toEqual([`schedule ${owner}`, `doubt ${owner}`, `schedule ${second}`])
  })

  test('three are tried, then it is done without', async () => {
    const ids = ['a', 'b', 'c', 'd']
    joins('scheduler', ...ids)
    down = new Set(ids)
    expect((await plan()).fetcher).toBe('self')
    expect(trace.filter((step) => step.startsWith('schedule'))).toHaveLength(3)
    expect(trace.at(-1)).toBe('directory')
  })

  test('a node that owns the digest itself asks itself', async () => {
    start(['scheduler'], () => ({ parents: [], fetcher: 'me', again: 7 }))
    expect((await plan()).fetcher).toBe('me')
    expect(trace).toEqual([])
  })
})

describe('without a scheduler', () => {
  test('the providers that the directory knows are the parents', async () => {
    joins('seed', 's')
    providers = [infoOf('p', { zone: 'eu/a' }), infoOf('q')]
    const reply = await plan()
    expect(reply.parents).toEqual([
      { node: { id: 'p', url: 'http://p:4881', zone: 'eu/a' }, pieces: 0, complete: false },
      { node: { id: 'q', url: 'http://q:4881' }, pieces: 0, complete: false },
    ])
    expect(reply.fetcher).toBeUndefined()
    expect(trace).toEqual(['directory'])
  })

  test('providers that are connected or have failed are not named again', async () => {
    providers = [infoOf('has'), infoOf('failed'), infoOf('fresh')]
    const failed = [{ node: 'failed', reason: 'reset' }]
    expect(namesOf(await plan({ connected: ['has'], failed }))).toEqual(['fresh'])
  })

  test('one seed is told to fetch when nobody provides the blob', async () => {
    joins('seed', 's', 't')
    const [first] = rendezvous(digest, ['s', 't'])
    const reply = await plan()
    expect(reply.fetcher).toBe(first)
    expect(reply.parents).toEqual([
      { node: { id: first!, url: `http://${first}:4881`, zone: 'eu/a' }, pieces: 0, complete: false },
    ])
    expect(trace).toEqual(['directory', `order ${first}`])
  })

  test('a node that stalls has a seed fetch although there are providers', async () => {
    joins('seed', 's')
    providers = [infoOf('p')]
    expect(namesOf(await plan({ stalled: true }))).toEqual(['s', 'p'])
  })

  test('the next seed is told when one does not answer or has failed this node', async () => {
    joins('seed', 's', 't', 'u')
    const [first, second, third] = rendezvous(digest, ['s', 't', 'u'])
    down.add(second!)
    const reply = await plan({ failed: [{ node: first!, reason: 'refused by the source' }] })
    expect(reply.fetcher).toBe(third)
    expect(trace).toEqual(['directory', `order ${second}`, `doubt ${second}`, `order ${third}`])
  })

  test('this node goes to the source itself when three seeds do not answer', async () => {
    const ids = ['s', 't', 'u', 'v', 'w']
    joins('seed', ...ids)
    down = new Set(ids)
    expect(await plan()).toMatchObject({ parents: [], fetcher: 'self' })
    expect(trace.filter((step) => step.startsWith('order'))).toHaveLength(3)
  })

  test('a seed that comes first itself goes to the source, and orders nobody', async () => {
    start(['seed'])
    expect((await plan()).fetcher).toBe('self')
    expect(trace).toEqual(['directory'])
  })

  test('a node alone goes to the source', async () => {
    expect(await plan()).toMatchObject({ parents: [], fetcher: 'self' })
  })
})
