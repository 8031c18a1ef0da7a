import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { keptOf } from '../../test/conformance/backend.ts'
import { refuses } from '../../test/conformance/source.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { infoOf } from '../../test/fakes/members.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { type PushEvent, type Pusher, pusherOver } from '../../test/fakes/pusher.ts'
import { RecordedLog } from '../../test/fakes/registry-source.ts'
import { MemberTable } from '../cluster/member-table.ts'
import type { NodeId } from '../cluster/node-info.ts'
import { keep } from '../config/rules.ts'
import { Failure } from '../failure.ts'
import { FolderObjects } from '../home/backends/folder-objects.ts'
import { ObjectBackend } from '../home/backends/object-backend.ts'
import { Homes } from '../home/homes.ts'
import { neededAt } from '../home/needed.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { manifestTypes } from '../oci/media.ts'
import { formatReference, parseTag, type Repository, repositoryOf } from '../oci/reference.ts'
import type { Location } from '../source/source.ts'
import { openSqlite } from '../state/sqlite.ts'
import type { State } from '../state/state.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { Calls } from '../wire/calls.ts'
import type { Outbound } from '../wire/wire.ts'
import { type KeepingDeps, keepingOf } from './assembly.ts'
import { Clocks, tellTime } from './clocks.ts'
import type { Keeping } from './keeping.ts'
import type { KeptRepository } from './kept.ts'
import type { Item } from './plan.ts'

const day = 86_400_000
const app = repositoryOf('apps.corp', 'team/app')
const octets = 'application/octet-stream'

let clock: FakeClock
let state: State
let store: MemoryStore
let pusher: Pusher
let events: PushEvent[]
let keepings: Keeping[]
let log: RecordedLog

beforeEach(async () => {
  clock = new FakeClock()
  clock.advance(1000 * day)
  state = await openSqlite(':memory:')
  store = new MemoryStore({ clock })
  log = new RecordedLog()
  events = []
  keepings = []
  pusher = pusherOver({ store, state, clock, log })
  pusher.onPushed(async (event) => void events.push(event))
})
afterEach(async () => {
  for (const keeping of keepings) await keeping.close()
  await pusher.uploads.close()
  await state.close()
})

function keeping(...rules: string[]): Keeping {
  return keepingWith({}, ...rules)
}
function keepingWith(parts: Partial<KeepingDeps>, ...rules: string[]): Keeping {
  const made = keepingOf({
    settings: { store: { keep: rules.map((rule) => keep.parse(rule)) } },
    ...{ state, store, clock, log },
    metrics: createMetrics(),
    homePin: 'home',
    isHome: ({ registry }) => registry === 'apps.corp',
    neededBeside: async () => new Set(),
    remover: pusher,
    clocks: { agreed: async () => clock.wall() },
    node: `n${keepings.length}` as NodeId,
    ...parts,
  })
  // These tests say when.
  void made.close()
  keepings.push(made)
  return made
}

async function blob(text: string, repository = app): Promise<Digest> {
  const upload = pusher.uploads.begin(repository, 'ann')
  const bytes = Buffer.from(text)
  await upload.append(
    (async function* () {
      yield bytes
    })(),
  )
  await pusher.finish(upload, digestOf(bytes))
  return digestOf(bytes)
}
const described = (digest: Digest, text: string, mediaType = octets) => ({ mediaType, digest, size: text.length })
function manifestOf(name: string, subject?: Digest, base = name) {
  const [config, layer] = [`config of ${name}`, `layer of ${base}`]
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: manifestTypes.ociManifest,
      config: described(digestOf(Buffer.from(config)), config),
      layers: [described(digestOf(Buffer.from(layer)), layer)],
      ...(subject ? { subject: { mediaType: manifestTypes.ociManifest, digest: subject, size: 1 } } : {}),
    }),
  )
}
const putManifest = (bytes: Uint8Array, tag?: string, repository = app) =>
  pusher.putManifest(repository, tag === undefined ? digestOf(bytes) : parseTag(tag), {
    bytes,
    mediaType: undefined,
    by: 'ann',
  })
async function image(name: string, tag?: string, repository = app, subject?: Digest): Promise<Digest> {
  await blob(`config of ${name}`, repository)
  await blob(`layer of ${name}`, repository)
  return (await putManifest(manifestOf(name, subject), tag, repository)).digest
}
const layerOf = (name: string) => digestOf(Buffer.from(`layer of ${name}`))
const what = (item: Item) => (item.kind === 'tag' ? item.tag : item.kind)
const removed = (kept: readonly KeptRepository[]) => kept.flatMap(({ plan }) => plan.remove.map(what))
const pinnedFor = (digest: Digest) => store.pins(digest).map(({ reason }) => reason)
const has = async (repository: Repository, digest: Digest) =>
  (await state.contents.find(repository, digest)) !== undefined

describe('what a rule does not keep', () => {
  test('goes: the tag, then what it led to; what others need stays', async () => {
    for (const name of ['v1', 'v2', 'v3']) {
      await image(name, name)
      clock.advance(day)
    }
    await pusher.mount(repositoryOf('apps.corp', 'other'), layerOf('v1'), app)
    clock.advance(2 * day)
    const before = await state.contents.list(app, { limit: 100 })
    const planned = await keeping('apps.corp/team/*: tags=2').plan()
    expect(removed(planned)).toEqual([parseTag('v1'), 'manifest', 'blob', 'blob'])
    expect(await state.contents.list(app, { limit: 100 })).toEqual(before)
    const swept = await keepings[0]!.sweep()
    expect(removed(swept)).toEqual(removed(planned))
    expect(await state.tags.list(app, { limit: 10 })).toEqual([parseTag('v2'), parseTag('v3')])
    expect((await state.contents.list(app, { limit: 100 })).length).toBe(before.length - 3)
    expect(pinnedFor(digestOf(Buffer.from('config of v1')))).toEqual([])
    expect(pinnedFor(layerOf('v1'))).toEqual(['home'])
    expect(pinnedFor(layerOf('v2'))).toEqual(['home'])
    // Whoever keeps copies is told, and the log says why.
    const told = events.filter(({ kind }) => kind === 'removed').map((event) => event.kind)
    expect(told).toHaveLength(3)
    expect(events.at(-4)).toMatchObject({ kind: 'tag', tag: 'v1', entry: { by: 'a rule' } })
    expect(log.lines.filter((line) => line.startsWith('taken away by a rule'))).toHaveLength(4)
    expect(log.lines.join()).toContain('2 were set later, and 2 stay')
    expect(removed(await keepings[0]!.sweep())).toEqual([])
  })

  test('is not looked for where the first rule that matches is about what is cached', async () => {
    for (const name of ['v1', 'v2']) await image(name, name)
    clock.advance(2 * day)
    const rules = ['apps.corp/team/app: idle=30d', 'apps.corp/**: tags=1']
    expect(await keeping(...rules).plan()).toEqual([])
    expect(await keeping(...rules).sweep()).toEqual([])
    expect((await keeping(rules[1]!).sweep())[0]?.plan.remove).not.toEqual([])
  })

  test('is not touched in a repository of another rule, of none, or of the world', async () => {
    for (const name of ['team/app', 'team/kept', 'loose']) await image(name, 'v1', repositoryOf('apps.corp', name))
    await state.tags.set(repositoryOf('ghcr.io', 'org/app'), parseTag('v1'), {
      ...{ digest: layerOf('x'), mediaType: '', size: 1, at: clock.wall(), by: 'n1' },
    })
    clock.advance(100 * day)
    const rules = ['apps.corp/team/kept: all', 'apps.corp/team/*: age=10d', 'ghcr.io/**: age=1d']
    const swept = await keeping(...rules).sweep()
    expect(swept.map(({ repository, rule }) => [formatReference(repository), rule.text])).toEqual([
      ['apps.corp/team/app', rules[1]!],
      ['apps.corp/team/kept', rules[0]!],
    ])
    expect(removed(swept)).toEqual([parseTag('v1'), 'manifest', 'blob', 'blob'])
    expect(await state.tags.list(repositoryOf('ghcr.io', 'org/app'), { limit: 9 })).toHaveLength(1)
  })

  test('stays while an upload may be under way, and when somebody pinned it', async () => {
    await blob('of an upload that goes on')
    const pinned = await image('pinned', 'v1')
    await image('gone', 'v2')
    store.pin({ digest: pinned, reason: 'apps.corp/team/app:v1' })
    clock.advance(0.9 * day)
    expect(removed(await keeping('apps.corp/**: age=1h').sweep())).toEqual([])
    clock.advance(0.2 * day)
    expect(removed(await keepings[0]!.sweep())).toEqual([parseTag('v2'), 'manifest', 'blob', 'blob', 'blob'])
    expect(await has(app, pinned)).toBe(true)
  })

  test('stays that is about what stays, and goes with it', async () => {
    const subject = await image('signed', 'v1')
    const signature = await image('signature', undefined, app, subject)
    clock.advance(2 * day)
    expect(removed(await keeping('apps.corp/**: all').sweep())).toEqual([])
    await pusher.deleteTag(app, parseTag('v1'), 'ann')
    expect(removed(await keepings[0]!.sweep())).toHaveLength(6)
    expect(await has(app, signature)).toBe(false)
  })
})

test('all goes in one sweep where the backend does not take it now: it is owed there', async () => {
  for (const name of ['a', 'b', 'c', 'last']) {
    await image(name, name)
    clock.advance(1000)
  }
  clock.advance(2 * day)
  const second = keeping('apps.corp/**: tags=1')
  const refused: Promise<Failure>[] = []
  pusher.onPushed(async ({ kind }) => {
    // Each takes as long as a backend that does not answer; nobody else takes over.
    clock.advance(2 * 60_000)
    if (kind === 'removed') refused.push(refuses(second.sweep(), 'try-later'))
    throw new Failure('try-later', 'it is here, but not where it is kept for good')
  })
  const gone = removed(await keeping('apps.corp/**: tags=1').sweep())
  expect(gone.map(String)).toEqual(['c', 'b', 'a', ...Array(3).fill('manifest'), ...Array(6).fill('blob')])
  expect(await Promise.all(refused)).toHaveLength(9)
  expect(await state.contents.list(app, { limit: 100 })).toHaveLength(3)
  expect(log.lines.filter((line) => line.startsWith('taken away by a rule'))).toHaveLength(12)
})

describe('what a backend has that the state was lost of', () => {
  const at = (digest: Digest, kind: 'blob' | 'manifest' = 'blob') => ({ repository: app, kind, digest })
  let dir: string
  let backend: ObjectBackend
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'shoal-keeping-'))
    backend = new ObjectBackend(new FolderObjects(dir, clock))
    for (const text of ['config of old', 'layer of old']) await put(Buffer.from(text), 'blob')
    const digest = await put(manifestOf('old'), 'manifest')
    const to = { digest, mediaType: manifestTypes.ociManifest, size: manifestOf('old').length }
    await backend.writes!.setTag(app, parseTag('old'), to, clock.wall())
    const kept = (location: Location) => backend.stat(location)
    const held = async (location: Location) => (await store.settled(location.digest)) || (await kept(location)).size > 0
    pusher = pusherOver({ store, state, clock, log, kept, held })
    pusher.onPushed(async (event) => {
      if (event.kind !== 'removed') return
      const { kind, digest } = event.content
      await backend.writes!.remove(at(digest, kind))
    })
  })
  afterEach(() => rm(dir, { recursive: true, force: true }))

  async function put(bytes: Uint8Array, kind: 'blob' | 'manifest'): Promise<Digest> {
    const digest = digestOf(bytes)
    await backend.writes!.put(at(digest, kind), keptOf(bytes, kind === 'blob' ? octets : manifestTypes.ociManifest))
    return digest
  }
  /** Two images: what is of the first goes. */
  async function pushTwo(): Promise<void> {
    // Its layer is at the backend: the client leaves it out.
    await blob('config of rebuilt')
    await putManifest(manifestOf('rebuilt', undefined, 'old'), 'rebuilt')
    await putManifest(manifestOf('old'), 'again')
    clock.advance(1000)
    await image('other', 'other')
    clock.advance(2 * day)
  }

  test('keeps what its images need: no rule is about these', async () => {
    await pushTwo()
    const neededBeside = neededAt(new Homes([{ pattern: 'apps.corp/**', backend }]), state, clock)
    const swept = await keepingWith({ neededBeside }, 'apps.corp/**: tags=1').sweep()
    expect(removed(swept).map(String).sort()).toEqual(['again', 'blob', 'manifest', 'rebuilt'])
    const reasons = swept[0]!.plan.keep.map(({ reason }) => reason)
    expect(reasons).toContain('an image at the backend needs it that the state does not tell of')
    for (const text of ['config of old', 'layer of old']) {
      expect((await backend.stat(at(digestOf(Buffer.from(text))))).size).toBe(text.length)
    }
    expect((await backend.stat(at(digestOf(manifestOf('old')), 'manifest'))).size).toBe(manifestOf('old').length)
    await refuses(backend.stat(at(digestOf(Buffer.from('config of rebuilt')))), 'no-blob')
  })

  test('keeps all but tags where the backend does not say what it has', async () => {
    await pushTwo()
    const neededBeside = () => Promise.reject(new Failure('unavailable', 'it is away'))
    const swept = await keepingWith({ neededBeside }, 'apps.corp/**: tags=1').sweep()
    expect(removed(swept).map(String).sort()).toEqual(['again', 'rebuilt'])
    const reasons = swept[0]!.plan.keep.map(({ reason }) => reason)
    expect(reasons).toContain('it cannot be told what else the backend has that needs it: it is away')
    expect(log.lines.join()).toContain('manifests and blobs stay')
  })
})

describe('what somebody pushes at that moment', () => {
  /** Pushes between the decision and the deed: right before the first thing goes. */
  async function whileSwept(rule: string, push: () => Promise<unknown>): Promise<KeptRepository[]> {
    const { expireTag, expireContent } = pusher
    let pushed: Promise<unknown> | undefined
    const once = () => {
      pushed ??= push()
      return pushed
    }
    pusher.expireTag = async (...args) => {
      await once()
      return expireTag.apply(pusher, args)
    }
    pusher.expireContent = async (...args) => {
      await once()
      return expireContent.apply(pusher, args)
    }
    return keeping(rule).sweep()
  }

  test('stays: a blob that is uploaded again', async () => {
    const digest = await blob('wanted')
    clock.advance(2 * day)
    const swept = await whileSwept('apps.corp/**: all', () => blob('wanted'))
    expect(removed(swept)).toEqual([])
    expect(swept[0]!.plan.keep[0]!.reason).toBe('it was asked for or changed meanwhile')
    expect([await has(app, digest), pinnedFor(digest)]).toEqual([true, ['home']])
  })

  test('stays: blobs that a manifest names which comes', async () => {
    await blob('config of late')
    await blob('layer of late')
    clock.advance(2 * day)
    expect(removed(await whileSwept('apps.corp/**: all', () => putManifest(manifestOf('late'), 'late')))).toEqual([])
    expect(await has(app, layerOf('late'))).toBe(true)
  })

  test('stays: a manifest that gets a tag, and a tag that is set again', async () => {
    const digest = await image('old', 'v1')
    clock.advance(1000)
    await image('newer', 'v2')
    clock.advance(2 * day)
    const swept = await whileSwept('apps.corp/**: tags=1', () => putManifest(manifestOf('old'), 'v1'))
    expect(removed(swept)).toEqual([])
    expect((await state.tags.get(app, parseTag('v1')))?.digest).toBe(digest)
    expect(await has(app, digest)).toBe(true)
  })

  test('is refused, or there whole: never a manifest without its blobs, whatever comes first', async () => {
    for (let i = 0; i < 40; i++) {
      const name = `race ${i}`
      await blob(`config of ${name}`)
      await blob(`layer of ${name}`)
      clock.advance(2 * day)
      const pushing = (async () => {
        for (let wait = 0; wait < i % 13; wait++) await Promise.resolve()
        return putManifest(manifestOf(name), `t${i}`)
      })()
      const [pushed] = await Promise.allSettled([pushing, keeping('apps.corp/**: all').sweep()])
      if (pushed.status === 'rejected') expect(Failure.from(pushed.reason).code).toBe('missing-parts')
      else {
        expect([await has(app, layerOf(name)), pinnedFor(layerOf(name))]).toEqual([true, ['home']])
        expect(pinnedFor(pushed.value.digest)).toEqual(['home'])
      }
    }
  })

  test('stays pinned: what the last repository lost while another got it', async () => {
    const other = repositoryOf('apps.corp', 'other')
    for (let i = 0; i < 40; i++) {
      const text = `shared ${i}`
      const digest = await blob(text)
      const content = (await state.contents.find(app, digest))!
      const coming = (async () => {
        for (let wait = 0; wait < i % 13; wait++) await Promise.resolve()
        return blob(text, other)
      })()
      await Promise.all([coming, pusher.expireContent(app, content)])
      expect([await has(other, digest), pinnedFor(digest)]).toEqual([true, ['home']])
    }
  })
})

test('nothing goes while others say that it is another time, and the log says why; it does once they agree', async () => {
  await image('young', 'v1')
  const theirs = new FakeClock()
  theirs.advance(1000 * day)
  const calls = new Calls()
  tellTime(calls, theirs)
  const membership = new MemberTable(infoOf('a'.repeat(44)), () => clock.now())
  membership.heard(infoOf('b'.repeat(44), { modes: ['seed'] }), clock.now())
  const outbound: Pick<Outbound, 'call'> = {
    call: async (_to, { name, reply }, request) => reply.parse(await calls.answer(name, request)),
  }
  const clocks = new Clocks({ membership, outbound, clock, random: () => 0 })
  const policy = keepingWith({ clocks }, 'apps.corp/**: age=30d')
  const orphan = await blob('of a repository that another node emptied')
  await state.contents.remove(app, orphan)
  clock.set(31 * day)
  await policy.tend()
  expect(await state.tags.list(app, { limit: 9 })).toEqual([parseTag('v1')])
  expect(log.lines.join()).toContain(`is ${(31 * day) / 1000} s ahead of that of http://bbb`)
  await refuses(policy.plan(), 'unavailable')
  // That has nothing to do with the time.
  expect(pinnedFor(orphan)).toEqual([])
  theirs.set(31 * day)
  await policy.tend()
  expect(await state.tags.list(app, { limit: 9 })).toEqual([])
})

test('one node does it at a time, and another when that has died', async () => {
  await image('old', 'v1')
  clock.advance(2 * day)
  const [first, second] = [keeping('apps.corp/**: age=1h'), keeping('apps.corp/**: age=1h')]
  const { promise: held, resolve: go } = Promise.withResolvers<void>()
  const { expireTag } = pusher
  pusher.expireTag = async (...args) => {
    await held
    return expireTag.apply(pusher, args)
  }
  const sweeping = first.sweep()
  while ((await state.jobs.list('keep', 1))[0]?.leasedUntil === undefined) await Bun.sleep(1)
  const refused = await second.sweep().then(
    () => 'swept',
    (error) => Failure.from(error).code,
  )
  expect(refused).toBe('try-later')
  clock.advance(6 * 60_000)
  const instead = second.sweep()
  go()
  await Promise.allSettled([instead, sweeping])
  const gone = log.lines.filter((line) => line.startsWith('taken away by a rule') && line.includes('team/app:v1'))
  expect(gone).toHaveLength(1)
  expect(await state.tags.list(app, { limit: 9 })).toEqual([])
})

test('what another node took away is let go of here', async () => {
  const digest = await blob('elsewhere')
  await state.contents.remove(app, digest)
  expect(pinnedFor(digest)).toEqual(['home'])
  await keeping().tend()
  expect(pinnedFor(digest)).toEqual([])
})
