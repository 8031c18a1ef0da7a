import { beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { FakeClock, settle } from '../../test/fakes/clock.ts'
import { FakeDoor } from '../../test/fakes/door.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { RecordedLog } from '../../test/fakes/registry-source.ts'
import { seededRandom } from '../clock.ts'
import type { LoginsFor } from '../config/settings.ts'
import { Failure } from '../failure.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { parseTag, type Repository, repositoryOf } from '../oci/reference.ts'
import type { Named } from '../source/door.ts'
import type { Location } from '../source/source.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { Rights, type Vouched } from './rights.ts'
import { allowedMs, lastWordMs } from './verdicts.ts'
import { type Visitor, visitorOf } from './visitor.ts'

const app = repositoryOf('ghcr.io', 'org/app')
const v1: Named = { repository: app, kind: 'manifest', reference: parseTag('v1') }
const layer: Named = { repository: app, kind: 'blob', reference: digestOf(Buffer.from('layer')) }
const minute = allowedMs
const isHome = ({ registry }: Repository) => registry === 'apps.corp'
const down = new Failure('unavailable', 'nothing listens there')

const visitor = (user: string | undefined, local: boolean): Visitor =>
  visitorOf(user && `Basic ${Buffer.from(`${user}:secret of ${user}`).toString('base64')}`, async () => local)
const ann = visitor('ann', false)
const bob = visitor('bob', false)
const stranger = visitor(undefined, false)
const root = visitor(undefined, true)

let clock: FakeClock
let door: FakeDoor
let store: MemoryStore
let log: RecordedLog
let rights: Rights
beforeEach(() => {
  clock = new FakeClock()
  door = new FakeDoor()
  store = new MemoryStore({ clock })
  log = new RecordedLog()
  rights = make()
})

function make(
  loginsFor: LoginsFor = 'root',
  renew?: () => Promise<void>,
  learned: (digest: Digest) => void = () => {},
): Rights {
  const metrics = createMetrics()
  const key = new Uint8Array(32)
  const random = seededRandom(1)
  const about = { store, door, clock, random, log, metrics, loginsFor, isHome, key, learned }
  return new Rights({ ...about, ...(renew ? { renew } : {}) })
}

async function outcome(who: Visitor, named: Named = v1, proof?: Promise<unknown>): Promise<string> {
  return rights.admit(who, named, proof).then(
    () => 'in',
    (error) => Failure.from(error).code,
  )
}

describe('a login of this node that its registry refuses', () => {
  const told = (who: Visitor) => rights.admit(who, v1).catch((error) => Failure.from(error).message)
  beforeEach(() => {
    door.login = true
  })

  test('is what the client hears of, with where it is and what to do', async () => {
    expect(await told(root)).toBe(
      'registry ghcr.io refused the login of this node (ann, from /config.json) for ghcr.io/org/app:v1, and does not ' +
        'give it to anyone; log in again with "docker login ghcr.io", or show credentials that may have it',
    )
    expect(await told(stranger)).not.toContain('ann')
    rights = make('everyone')
    expect(await told(stranger)).toContain('refused the login of this node for ghcr.io/org/app:v1, and does not give')
    door.login = false
    rights = make()
    expect(await told(root)).toContain('to a client without credentials')
  })

  test('is warned of once in a while, also where others may have it', async () => {
    const warned = () => log.lines.filter((line) => line.startsWith('a registry refused the login of this node'))
    door.let(app, 'anyone')
    expect(await outcome(root)).toBe('in')
    expect(warned()).toHaveLength(1)
    expect(warned()[0]).toContain('ann, from /config.json')
    clock.advance(5 * minute)
    await outcome(root)
    expect(warned()).toHaveLength(1)
    clock.advance(6 * minute)
    await outcome(root)
    expect(warned()).toHaveLength(2)
  })
})

describe('a client', () => {
  test('without credentials has what the source gives to anyone, and one question a minute is asked for all', async () => {
    door.let(app, 'anyone')
    for (let i = 0; i < 5; i++) expect(await outcome(i % 2 ? stranger : root)).toBe('in')
    clock.advance(minute - 1)
    expect(await outcome(stranger)).toBe('in')
    expect(door.asked).toEqual(['anyone ghcr.io/org/app v1'])
    clock.advance(1)
    expect(await outcome(stranger)).toBe('in')
    expect(door.asked).toHaveLength(2)
  })

  test('with credentials has what the source gives to them, for one question a minute', async () => {
    door.let(app, 'ann')
    for (let i = 0; i < 5; i++) expect(await outcome(ann)).toBe('in')
    clock.advance(minute)
    expect(await outcome(ann)).toBe('in')
    expect(door.asked).toEqual(['ann ghcr.io/org/app v1', 'ann ghcr.io/org/app v1'])
  })

  test('that the source lets in lends the node its credentials for that repository, and nobody else does', async () => {
    door.let(app, 'ann')
    for (const who of [ann, bob, stranger]) await outcome(who)
    expect(door.lent).toEqual(['ann ghcr.io/org/app'])
  })

  test('does not have what another one has', async () => {
    door.let(app, 'ann')
    expect(await outcome(ann)).toBe('in')
    expect(await outcome(bob)).toBe('denied')
    expect(await outcome(stranger)).toBe('unauthorized')
    expect(await outcome(visitorOf('Basic nonsense', async () => true))).toBe('denied')
  })

  test('with the right name and the wrong password is not who it says', async () => {
    door.let(app, 'ann')
    expect(await outcome(ann)).toBe('in')
    const impostor = visitorOf(`Basic ${Buffer.from('ann:guess').toString('base64')}`, async () => false)
    await outcome(impostor)
    expect(door.asked).toHaveLength(2)
  })

  test('whose rights are withdrawn has nothing a minute later', async () => {
    door.let(app, 'ann')
    expect(await outcome(ann)).toBe('in')
    door.let(app)
    clock.advance(minute)
    expect(await outcome(ann)).toBe('denied')
  })

  test('whose rights are given later has them soon', async () => {
    expect(await outcome(ann)).toBe('denied')
    expect(await outcome(ann)).toBe('denied')
    const questions = door.asked.length
    door.let(app, 'ann')
    clock.advance(10_000)
    expect(await outcome(ann)).toBe('in')
    expect(questions).toBe(2)
  })

  test('has public images also with credentials that nobody knows', async () => {
    door.let(app, 'anyone')
    expect(await outcome(bob)).toBe('in')
  })

  test('is not asked about in its own name once the repository is known to be public', async () => {
    door.let(app, 'anyone')
    rights.given(app, 'anyone')
    clock.advance(minute)
    expect(await outcome(ann)).toBe('in')
    expect(door.asked).toEqual(['anyone ghcr.io/org/app v1'])
    door.let(app, 'ann')
    clock.advance(minute)
    expect(await outcome(ann)).toBe('in')
    expect(await outcome(bob)).toBe('denied')
  })

  test('shows its credentials to no registry that the operator did not list', async () => {
    door.listed = ['docker.io']
    door.let(app, 'ann')
    expect(await outcome(ann)).toBe('denied')
    expect(await outcome(stranger)).toBe('denied')
    expect(door.asked).toEqual(['anyone ghcr.io/org/app v1'])
  })

  test('among many at once shares the question', async () => {
    door.let(app, 'ann')
    const { promise, resolve } = Promise.withResolvers<void>()
    door.gate = promise
    const waiting = Array.from({ length: 100 }, () => outcome(ann))
    await settle()
    resolve()
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['in']))
    expect(door.asked).toHaveLength(1)
  })

  test('among many at once that name several tags is told of its own whether it is there', async () => {
    door.let(app, 'anyone')
    door.absent.add('nope').add('none')
    const { promise, resolve } = Promise.withResolvers<void>()
    door.gate = promise
    const tags = ['nope', 'v1', 'none', 'v2', 'v1', 'none', 'nope']
    const waiting = tags.map((tag) => outcome(stranger, { ...v1, reference: parseTag(tag) }))
    await settle()
    expect(door.asked).toHaveLength(1)
    resolve()
    const none = 'no-manifest'
    expect(await Promise.all(waiting)).toEqual([none, 'in', none, 'in', 'in', none, none])
    expect(door.asked.map((asked) => asked.split(' ').at(-1))).toEqual(['nope', 'v1', 'none', 'v2'])
  })

  test('leaves no trace of its credentials in the log', async () => {
    door.let(app, 'ann')
    await Promise.all([outcome(ann), outcome(bob)])
    expect(log.lines.length).toBeGreaterThan(0)
    for (const line of log.lines) {
      expect(line).not.toContain('secret of')
      expect(line).not.toContain('ann')
    }
  })
})

describe("the node's own logins", () => {
  const cases: [LoginsFor, { root: string; stranger: string; bob: string }][] = [
    ['nobody', { root: 'unauthorized', stranger: 'unauthorized', bob: 'denied' }],
    ['root', { root: 'in', stranger: 'unauthorized', bob: 'denied' }],
    ['cluster', { root: 'in', stranger: 'unauthorized', bob: 'denied' }],
    ['everyone', { root: 'in', stranger: 'in', bob: 'denied' }],
  ]
  test.each(cases)('count for %s', async (whom, expected) => {
    door.login = true
    door.let(app, 'node')
    rights = make(whom)
    const found = { root: await outcome(root), stranger: await outcome(stranger), bob: await outcome(bob) }
    expect(found).toEqual(expected)
  })

  test('are not asked for when there are none', async () => {
    door.let(app, 'node')
    expect(await outcome(root)).toBe('unauthorized')
    expect(door.asked).toEqual(['anyone ghcr.io/org/app v1'])
  })

  test('are proven by what this node reads with them', async () => {
    door.login = true
    rights.given(app, 'node')
    expect(await outcome(root)).toBe('in')
    expect(door.asked).toEqual([])
    expect(await outcome(stranger)).toBe('unauthorized')
  })
})

describe('work under way', () => {
  test('that proves that anyone may have it spares the question', async () => {
    const proof = settle().then(() => rights.given(app, 'anyone'))
    expect(await outcome(stranger, v1, proof)).toBe('in')
    expect(door.asked).toEqual([])
  })

  test('that fails proves nothing', async () => {
    expect(await outcome(stranger, v1, Promise.reject(down))).toBe('unauthorized')
  })

  test('is not waited for by who shows credentials', async () => {
    door.let(app, 'ann')
    expect(await outcome(ann, v1, new Promise(() => {}))).toBe('in')
  })
})

describe('content that no manifest of the repository is known to list', () => {
  test('is asked for by itself, once, whatever else of the repository the client may have', async () => {
    door.let(app, 'anyone')
    await outcome(stranger)
    expect(await outcome(stranger, layer)).toBe('in')
    expect(await outcome(stranger, layer)).toBe('in')
    expect(door.asked).toEqual(['anyone ghcr.io/org/app v1', `anyone ghcr.io/org/app ${layer.reference}`])
    expect(store.repositoriesOf(digestOf(Buffer.from('layer')))).toEqual([app])
  })

  test('of another repository is not had by naming one that the client may read', async () => {
    const secret = digestOf(Buffer.from('of a private image'))
    rights.contains(repositoryOf('ghcr.io', 'org/private'), [secret])
    door.let(app, 'anyone', 'ann')
    door.absent.add(secret)
    for (const who of [stranger, ann, root]) {
      await outcome(who)
      expect(await outcome(who, { ...layer, reference: secret })).toBe('no-blob')
    }
    expect(store.repositoriesOf(secret)).toEqual([repositoryOf('ghcr.io', 'org/private')])
  })

  test('and is not there is not asked for again and again', async () => {
    door.let(app, 'anyone')
    door.absent.add(layer.reference)
    for (let i = 0; i < 5; i++) expect(await outcome(stranger, layer)).toBe('no-blob')
    expect(door.asked).toHaveLength(1)
    clock.advance(10_000)
    door.absent.clear()
    expect(await outcome(stranger, layer)).toBe('in')
  })

  test('is not given while the source cannot say', async () => {
    door.let(app, 'anyone')
    await outcome(stranger)
    door.failure = down
    expect(await outcome(stranger, layer)).toBe('unavailable')
  })

  test('is known after a restart', async () => {
    door.let(app, 'anyone')
    rights.contains(app, [digestOf(Buffer.from('layer'))])
    rights = make()
    await outcome(stranger)
    expect(await outcome(stranger, layer)).toBe('in')
    expect(door.asked).toHaveLength(1)
  })
})

describe('what a node that holds it says', () => {
  const secret = digestOf(Buffer.from('of a private image'))
  const hers = repositoryOf('corp.example', 'org/private')
  const asked: Named = { repository: app, kind: 'blob', reference: secret }

  test('about whose it is counts for who was let in already, is passed on, and outlives a restart', async () => {
    const learned: Digest[] = []
    rights = make('root', undefined, (digest) => void learned.push(digest))
    door.let(app, 'anyone')
    expect(await outcome(stranger, asked)).toBe('in')
    expect(rights.doubtful(asked)).toBe(false)
    rights.owned(secret, [hers])
    expect([rights.doubtful(asked), rights.doubtful({ ...asked, repository: hers })]).toEqual([true, false])
    expect(rights.owners(secret)).toEqual([hers])
    await store.put({ digest: secret, kind: 'blob' }, Buffer.from('of a private image'))
    await expect(rights.settle(asked, 'anyone')).rejects.toMatchObject({ code: 'no-blob' })
    expect(learned).toEqual([secret])
    rights = make()
    expect(await outcome(stranger, asked)).toBe('no-blob')
  })

  test("of what is the cluster's own is no doubt about anything, whoever says so", async () => {
    const own = repositoryOf('apps.corp', 'team/app')
    const learned: Digest[] = []
    rights = make('root', undefined, (digest) => void learned.push(digest))
    door.let(app, 'anyone')
    expect(await outcome(stranger, asked)).toBe('in')
    rights.contains(own, [secret])
    rights.ordered({ repository: own, digest: secret })
    const claimed = repositoryOf('apps.corp', 'other')
    rights.owned(secret, [claimed])
    expect([rights.owners(secret), rights.doubtful(asked), learned]).toEqual([[], false, []])
    rights.owned(secret, [own, hers])
    expect([rights.owners(secret), rights.doubtful(asked)]).toEqual([[hers], true])
    expect(store.repositoriesOf(secret)).not.toContainEqual(claimed)
  })

  test('of another repository of the registry is asked about once, by this node or by a scheduler for it', async () => {
    const sibling = repositoryOf('ghcr.io', 'org/sibling')
    door.let(app, 'ann', 'node')
    rights.owned(secret, [sibling])
    expect(await outcome(ann, asked)).toBe('in')
    expect(await outcome(ann, asked)).toBe('in')
    expect(door.asked).toEqual([`ann ghcr.io/org/app ${secret}`])
    door.asked.length = 0
    door.login = true
    const inquired: Location[] = []
    rights = new Rights({
      ...{ store, door, clock, random: seededRandom(1), log, metrics: createMetrics(), loginsFor: 'root', isHome },
      key: new Uint8Array(32),
      inquire: async (location) => {
        inquired.push(location)
        rights.contains(app, [location.digest])
        return true
      },
    })
    const fresh = digestOf(Buffer.from('another'))
    rights.owned(fresh, [sibling])
    await outcome(root, v1)
    door.asked.length = 0
    expect(await outcome(root, { ...asked, reference: fresh })).toBe('in')
    expect([inquired.length, door.asked]).toEqual([1, []])
  })

  test('is looked up once for a layer that thousands of repositories have, however often it is asked for', async () => {
    for (let i = 0; i < 3000; i++) store.seenIn(secret, repositoryOf('ghcr.io', `org/app${i}`))
    door.let(app, 'ann')
    const looked = spyOn(store, 'repositoriesOf')
    for (let i = 0; i < 100; i++) expect(await outcome(ann, asked)).toBe('in')
    rights.contains(hers, [secret])
    expect(rights.owners(secret)).toContainEqual(hers)
    expect(looked).toHaveBeenCalledTimes(1)
  })

  test('counts from when the source gives it to nobody but some any more', async () => {
    const theirs: Named = { repository: hers, kind: 'manifest', reference: parseTag('v1') }
    door.let(hers, 'anyone')
    await outcome(stranger, theirs)
    rights.contains(hers, [secret])
    expect(rights.owners(secret)).toEqual([])
    door.let(hers, 'ann')
    clock.advance(minute)
    expect(await outcome(stranger, theirs)).toBe('unauthorized')
    expect(rights.owners(secret)).toEqual([hers])
  })

  test('of what is for anyone is told to nobody', async () => {
    door.let(app, 'anyone')
    expect(await outcome(stranger, asked)).toBe('in')
    expect(rights.owners(secret)).toEqual([])
  })
})

describe('while the source cannot be asked', () => {
  beforeEach(async () => {
    door.let(app, 'ann')
    await outcome(ann)
    await outcome(stranger)
    door.failure = down
    clock.advance(minute)
  })

  test('its last word counts: yes for who had it, no for who did not', async () => {
    expect(await outcome(ann)).toBe('in')
    expect(await outcome(bob)).toBe('unavailable')
    expect(await outcome(stranger)).toBe('unavailable')
  })

  test('who is not let in is told why it cannot be asked', async () => {
    await expect(rights.admit(bob, layer)).rejects.toThrow(`never said so before: ${down.message}`)
  })

  test('it is asked once in a while, not by every client', async () => {
    const before = door.asked.length
    for (let i = 0; i < 10; i++) await outcome(ann)
    expect(door.asked.length).toBe(before + 1)
    clock.advance(5_000)
    await outcome(ann)
    expect(door.asked.length).toBe(before + 2)
  })

  test('about one repository, it is asked about another', async () => {
    const other = repositoryOf('ghcr.io', 'org/other')
    door.let(other, 'anyone')
    await outcome(stranger)
    door.failure = undefined
    expect(await outcome(stranger, { ...v1, repository: other })).toBe('in')
    expect(await outcome(bob)).toBe('unavailable')
    const refused = await rights.admit(bob, { ...v1, repository: repositoryOf('ghcr.io', 'org/none') }).catch(String)
    expect(refused).not.toContain(down.message)
  })

  test('a login counts for a day longer', async () => {
    clock.advance(lastWordMs.login - minute - 1)
    expect(await outcome(ann)).toBe('in')
    clock.advance(1)
    expect(await outcome(ann)).toBe('unavailable')
  })

  test('a public image is served for thirty days, also after a restart', async () => {
    rights.given(app, 'anyone')
    rights = make()
    clock.advance(lastWordMs.anyone - 1)
    expect(await outcome(stranger)).toBe('in')
    clock.advance(1)
    expect(await outcome(stranger)).toBe('unavailable')
  })

  test('an answer that makes no sense to one client does not stand for the registry', async () => {
    door.failure = new Failure('corrupt', 'HTTP 418')
    await outcome(bob)
    door.failure = undefined
    expect(await outcome(ann)).toBe('in')
    door.let(app)
    clock.advance(minute)
    expect(await outcome(ann)).toBe('denied')
  })
})

describe('another node', () => {
  test('that says a repository is public spares the question for as long as its word is fresh', async () => {
    rights.heard(app, { open: 20_000 })
    expect(await outcome(stranger)).toBe('in')
    clock.advance(minute - 20_000)
    expect(await outcome(stranger)).toBe('unauthorized')
    expect(door.asked).toHaveLength(1)
  })

  test('is asked again before the source is, which it may have asked for all', async () => {
    door.failure = down
    rights = make('root', async () => rights.heard(app, { open: 0 }))
    rights.heard(app, { open: 0 })
    clock.advance(minute)
    expect(await outcome(stranger)).toBe('in')
    expect(door.asked).toEqual([])
  })

  test('lets those in who are root here, where its operator shares its logins', async () => {
    rights.heard(app, { shared: 0 })
    expect(await outcome(root)).toBe('in')
    expect(await outcome(stranger)).toBe('unauthorized')
    rights = make('nobody')
    rights.heard(app, { shared: 0 })
    expect(await outcome(root)).toBe('unauthorized')
  })

  test('that shares its logins no more is believed, and its last word counts when nobody can ask the source', async () => {
    let reply: Vouched = { shared: 0 }
    rights = make('root', async () => rights.heard(app, reply))
    rights.heard(app, reply)
    reply = { shared: minute }
    clock.advance(minute)
    expect(await outcome(root)).toBe('in')
    rights.heard(app, { open: undefined }, false)
    expect(await outcome(root)).toBe('in')
    reply = {}
    clock.advance(minute)
    expect(await outcome(root)).toBe('unauthorized')
  })

  test('is told what this one knows, and of its logins as the operator wants', async () => {
    const vouched = (whom: LoginsFor) => {
      rights = make(whom)
      return rights.vouch(v1)
    }
    expect(await vouched('everyone')).toEqual({})
    rights.given(app, 'node')
    clock.advance(500)
    expect(await vouched('nobody')).toEqual({})
    expect(await vouched('root')).toEqual({})
    expect(await vouched('cluster')).toEqual({ shared: 500 })
    expect(await vouched('everyone')).toEqual({ open: 500 })
    rights.given(app, 'anyone')
    clock.advance(10)
    expect(await vouched('root')).toEqual({ open: 10 })
    expect(await vouched('everyone')).toEqual({ open: 10 })
  })

  test('is told that the source gives to anyone what it gave this one by its login, for one question a minute', async () => {
    door.let(app, 'node', 'anyone')
    rights.given(app, 'node')
    expect(await Promise.all([rights.vouch(v1), rights.vouch(layer)])).toEqual([{ open: 0 }, { open: 0 }])
    expect(door.asked).toEqual(['anyone ghcr.io/org/app v1'])
    clock.advance(minute)
    rights.given(app, 'node')
    expect(await rights.vouch(v1)).toEqual({ open: 0 })
    expect(door.asked).toHaveLength(2)
    door.let(app, 'node')
    clock.advance(minute)
    expect(await rights.vouch(v1)).toEqual({})
    clock.advance(minute - 1)
    expect(await rights.vouch(v1)).toEqual({})
    expect(door.asked).toHaveLength(3)
    expect(clock.pending).toBe(0)
  })

  test('is not kept waiting when the source does not say so soon', async () => {
    door.gate = new Promise(() => {})
    rights.given(app, 'node')
    const told = rights.vouch(v1)
    await settle()
    clock.advance(2_000)
    expect(await told).toEqual({})
  })

  test('hears nothing of what a client showed', async () => {
    door.let(app, 'ann')
    await outcome(ann)
    rights = make('everyone')
    expect(await rights.vouch(v1)).toEqual({})
  })
})

describe('content asked for by digest', () => {
  const { reference: digest } = layer as Named & { reference: Digest }
  let inquiries: boolean[]
  let others: Vouched | undefined

  beforeEach(() => {
    inquiries = []
    others = undefined
    const inquire = async (location: Location, widely: boolean) => {
      inquiries.push(widely)
      if (!others) throw down
      rights.heard(location.repository, others, false)
      rights.contains(location.repository, [location.digest])
      return true
    }
    const metrics = createMetrics()
    const [random, key] = [seededRandom(1), new Uint8Array(32)]
    rights = new Rights({ store, door, clock, random, log, metrics, loginsFor: 'root', isHome, key, inquire })
  })

  test('is asked of whoever asks the source for the cluster, and the source is spared', async () => {
    others = { open: 0 }
    expect(await outcome(stranger, layer)).toBe('in')
    expect(await outcome(root, layer)).toBe('in')
    expect(inquiries).toEqual([false])
    expect(door.asked).toEqual([])
  })

  test('is asked of the source in the own name by who shows a login, which tells both', async () => {
    others = { open: 0 }
    door.let(app, 'ann')
    expect(await outcome(ann, layer)).toBe('in')
    expect(inquiries).toEqual([])
    expect(door.asked).toEqual([`ann ghcr.io/org/app ${digest}`])
  })

  test('of a public repository is given while the source is down, if another node knows it', async () => {
    door.failure = down
    expect(await outcome(stranger, layer)).toBe('unavailable')
    others = { open: 20 * minute }
    clock.advance(10_000)
    expect(await outcome(stranger, layer)).toBe('in')
    expect(inquiries).toEqual([false, true, false])
  })

  test('of a private one is given then to who has proved the right here, and to nobody else', async () => {
    door.let(app, 'ann')
    await outcome(ann)
    door.failure = down
    others = {}
    clock.advance(minute)
    expect(await outcome(ann, layer)).toBe('in')
    for (const who of [bob, stranger, root]) expect(await outcome(who, layer)).toBe('unavailable')
  })
})

describe('work is begun early', () => {
  test('for who had the repository, not for a stranger', async () => {
    door.login = true
    door.let(app, 'ann')
    expect(await rights.expects(ann, layer)).toBe(false)
    await outcome(ann)
    clock.advance(minute)
    expect(await rights.expects(ann, layer)).toBe(true)
    expect(await rights.expects(bob, layer)).toBe(false)
    expect(await rights.expects(stranger, layer)).toBe(false)
    rights.given(app, 'anyone')
    expect(await rights.expects(stranger, layer)).toBe(true)
  })

  test('for anyone by a node that has no login to do it with', async () => {
    expect(await rights.expects(stranger, layer)).toBe(true)
  })

  test('not by a login that a client lent, for anybody but clients that had the repository', async () => {
    door.let(app, 'ann')
    // Its login is what the node may have to read by.
    expect(await rights.expects(ann, v1)).toBe(false)
    expect(await rights.expects(stranger, v1)).toBe(true)
    await outcome(ann)
    for (const named of [v1, layer]) {
      expect(await rights.expects(ann, named)).toBe(true)
      for (const other of [bob, stranger, root]) expect(await rights.expects(other, named)).toBe(false)
    }
  })
})
