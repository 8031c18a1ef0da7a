import { beforeEach, describe, expect, spyOn, test } from 'bun:test'
import { FakeClock, settle } from '../../test/fakes/clock.ts'
import { FakeDoor } from '../../test/fakes/door.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { noise } from '../../test/fakes/registry.ts'
import { seededRandom } from '../clock.ts'
import { Secret } from '../config/secret.ts'
import { Failure } from '../failure.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { parseTag, type Repository, repositoryOf } from '../oci/reference.ts'
import type { Asker } from '../source/door.ts'
import { mostSkippedBytes } from '../source/same-bytes.ts'
import { Possession, type PossessionOptions } from './possession.ts'
import { nameOf as nameOfLogin } from './visitor.ts'

const hers = repositoryOf('corp.example', 'org/private')
const other = repositoryOf('corp.example', 'org/other')
const evil = repositoryOf('evil.example', 'x/y')
const bytes = noise(700_000)
const digest = digestOf(bytes)
const named = (repository: Repository, reference: Digest = digest) => ({ repository, kind: 'blob', reference }) as const
const down = new Failure('unavailable', 'nothing listens there')

let clock: FakeClock
let store: MemoryStore
let door: FakeDoor
let open: Repository[]
let possession: Possession
let options: PossessionOptions
/** What schedulers say that the source told them. */
let said: boolean | Failure
let inquiries: number
beforeEach(async () => {
  clock = new FakeClock()
  store = new MemoryStore({ clock })
  door = new FakeDoor()
  door.let(evil, 'anyone')
  open = []
  said = false
  inquiries = 0
  const inquire = async () => {
    inquiries++
    if (said instanceof Failure) throw said
    return said
  }
  const isPublic = ({ registry }: Repository) => open.some((one) => one.registry === registry)
  const nameOf = (asker: Asker) => (typeof asker === 'string' ? asker : nameOfLogin(asker, new Uint8Array(1)))
  options = { store, door, clock, random: seededRandom(3), isPublic, nameOf, inquire }
  possession = new Possession(options)
})
/** As rights say it. */
function see(of: Digest, repository: Repository): void {
  store.seenIn(of, repository)
  possession.seen(of, repository)
}

/** From now on that registry gives what it has to anyone, and no other one. */
function publish(...repositories: Repository[]): void {
  open = repositories
  possession.publicityChanged()
}

const outcome = (asker: Asker | undefined) =>
  possession.prove(named(evil), asker).then(
    () => 'shown',
    (error) => Failure.from(error).code,
  )

describe('what a registry gives', () => {
  test('is not questioned where nothing else is known of it', () => {
    expect(possession.disputed(named(evil))).toBe(false)
    see(digest, evil)
    expect(possession.disputed(named(evil))).toBe(false)
  })

  test('is not questioned where another gave it to anyone', () => {
    publish(hers)
    see(digest, hers)
    expect(possession.disputed(named(evil))).toBe(false)
  })

  test('is questioned within the registry until that has said that the repository has it too', () => {
    see(digest, hers)
    expect([possession.disputed(named(hers)), possession.disputed(named(other))]).toEqual([false, true])
    see(digest, other)
    expect([possession.disputed(named(hers)), possession.disputed(named(other))]).toEqual([true, true])
    possession.said(named(other))
    expect([possession.disputed(named(hers)), possession.disputed(named(other))]).toEqual([true, false])
    publish(hers)
    expect(possession.disputed(named(hers))).toBe(false)
  })

  test('is questioned by another registry also once it has only said so', () => {
    see(digest, hers)
    possession.said(named(evil))
    expect(possession.disputed(named(evil))).toBe(true)
  })

  test('is questioned where it is of a private repository of another, also when both have listed it', () => {
    see(digest, hers)
    expect(possession.disputed(named(evil))).toBe(true)
    see(digest, evil)
    expect(possession.disputed(named(evil))).toBe(true)
    publish(evil)
    expect(possession.disputed(named(hers))).toBe(false)
  })

  test('is questioned where this node read it of a private repository for another node', () => {
    possession.brought({ repository: hers, digest })
    expect(possession.disputed(named(evil))).toBe(true)
    expect(possession.disputed(named(hers))).toBe(false)
    publish(hers)
    expect(possession.disputed(named(evil))).toBe(false)
  })

  test('is questioned by digest; a tag is of its registry', () => {
    see(digest, hers)
    expect(possession.disputed({ repository: evil, kind: 'manifest', reference: parseTag('v1') })).toBe(false)
  })
})

describe('whose it is', () => {
  const repositories = Array.from({ length: 3000 }, (_, i) => repositoryOf('corp.example', `org/app${i}`))

  test('is looked up once where thousands of repositories have it, and what is learned later counts at once', () => {
    for (const repository of repositories) store.seenIn(digest, repository)
    const looked = spyOn(store, 'repositoriesOf')
    for (let i = 0; i < 100; i++) expect(possession.disputed(named(repositories[i]!))).toBe(true)
    expect(possession.owners(digest)).toEqual(repositories.slice(0, 2))
    see(digest, evil)
    const mirror = repositoryOf('mirror.example', 'org/private')
    possession.brought({ repository: mirror, digest })
    expect(possession.owners(digest)).toEqual([repositories[0]!, evil, mirror, repositories[1]!])
    expect(looked).toHaveBeenCalledTimes(1)
  })

  test('is looked up again when a repository has become public, or is one no more, and once in a while', () => {
    for (const repository of [hers, evil]) store.seenIn(digest, repository)
    expect(possession.owners(digest)).toEqual([hers, evil])
    publish(evil)
    expect(possession.owners(digest)).toEqual([hers])
    publish()
    expect(possession.owners(digest)).toEqual([hers, evil])
    publish(evil)
    expect(possession.owners(digest)).toEqual([hers])
    open = []
    clock.advance(10 * 60_000)
    expect(possession.owners(digest)).toEqual([hers, evil])
  })
})

describe('what other nodes say of private repositories', () => {
  test('is passed on, one of each registry and then a second one, and nothing that is for anyone', () => {
    const mirror = repositoryOf('mirror.example', 'org/private')
    const third = repositoryOf('corp.example', 'org/third')
    for (const repository of [hers, other, third, evil, mirror]) see(digest, repository)
    possession.brought({ repository: mirror, digest })
    publish(evil)
    expect(possession.owners(digest)).toEqual([mirror, hers, other])
  })

  test('is news of two repositories of each registry, and of so many only', () => {
    const third = repositoryOf('corp.example', 'org/third')
    const news = [hers, hers, other, third].map((repository) => possession.told(digest, repository))
    expect(news).toEqual([true, false, true, false])
    const told = Array.from({ length: 100 }, (_, i) => possession.told(digest, repositoryOf(`r${i}.example`, 'x')))
    expect(told.filter(Boolean)).toHaveLength(14)
  })

  test('makes what is read by the name of another registry doubtful, until that has shown it', async () => {
    expect(possession.doubtful(named(evil))).toBe(false)
    possession.told(digest, hers)
    see(digest, hers)
    expect([evil, other, hers].map((each) => possession.doubtful(named(each)))).toEqual([true, true, false])
    await store.put({ digest, kind: 'blob' }, bytes)
    door.has.set(`evil.example/x/y ${digest}`, bytes)
    expect(await outcome('anyone')).toBe('shown')
    expect(possession.doubtful(named(evil))).toBe(false)
  })
})

describe('what is questioned', () => {
  beforeEach(async () => {
    await store.put({ digest, kind: 'blob' }, bytes)
    see(digest, hers)
    door.listed = []
  })

  test('is given once the registry has shown a part of it, and not questioned again', async () => {
    door.has.set(`evil.example/x/y ${digest}`, bytes)
    expect(await outcome('anyone')).toBe('shown')
    expect(possession.disputed(named(evil))).toBe(false)
  })

  test('is not given when it has other bytes, and it is asked rarely', async () => {
    door.has.set(`evil.example/x/y ${digest}`, noise(700_000, 2))
    for (let i = 0; i < 5; i++) expect(await outcome('anyone')).toBe('no-blob')
    expect(door.asked).toHaveLength(1)
    expect(possession.disputed(named(evil))).toBe(true)
    door.has.set(`evil.example/x/y ${digest}`, bytes)
    clock.advance(10_000)
    expect(await outcome('anyone')).toBe('shown')
  })

  test('is asked for once for all who wait', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    door.gate = promise
    door.has.set(`evil.example/x/y ${digest}`, bytes)
    const waiting = Array.from({ length: 20 }, () => outcome('anyone'))
    await settle()
    resolve()
    expect(new Set(await Promise.all(waiting))).toEqual(new Set(['shown']))
    expect(door.asked).toHaveLength(1)
  })

  test('is asked for in the name of each who wants it: what is refused to one is shown to another at the same time', async () => {
    const login = (username: string): Asker => ({ kind: 'basic', username, password: new Secret('x') })
    door.let(evil, 'ann', 'node')
    door.has.set(`evil.example/x/y ${digest}`, bytes)
    const { promise, resolve } = Promise.withResolvers<void>()
    door.gate = promise
    const asked = ['anyone', login('bob'), login('ann'), login('ann')] as const
    const waiting = asked.map((asker) => outcome(asker))
    await settle()
    resolve()
    expect(await Promise.all(waiting)).toEqual(['denied', 'denied', 'shown', 'shown'])
    expect(door.asked).toHaveLength(3)
  })

  test('is asked for again by another whom the registry lets in, soon after it refused one', async () => {
    door.let(evil, 'node')
    door.has.set(`evil.example/x/y ${digest}`, bytes)
    for (let i = 0; i < 3; i++) expect(await outcome('anyone')).toBe('denied')
    expect(await outcome('node')).toBe('shown')
    expect(door.asked).toHaveLength(2)
  })

  test('is asked for at a place that differs each time', async () => {
    const places = new Set<number>()
    door.shows = async (_named, _asker, start) => {
      places.add(start)
      throw down
    }
    for (let i = 0; i < 20; i++) {
      await outcome('anyone')
      clock.advance(10_000)
    }
    expect(places.size).toBeGreaterThan(15)
  })

  describe('and is large, by a registry that sends no parts,', () => {
    const large = noise(20 * 1024 * 1024, 5)
    const itself = digestOf(large)
    /** As {@link sameBytes} does. */
    const whole = async (_named: unknown, _asker: unknown, start: number, part: Uint8Array) => {
      if (start > mostSkippedBytes) throw new Failure('corrupt', 'it does not send a part of what it has')
      if (Buffer.compare(large.subarray(start, start + part.length), part) !== 0) throw new Failure('no-blob', 'other')
    }
    const outcomes = async () => {
      await store.put({ digest: itself, kind: 'blob' }, large)
      door.shows = whole
      const all = Array.from({ length: 500 }, async (_, seed) => {
        const each = new Possession({ ...options, random: seededRandom(seed) })
        return each.prove({ ...named(evil), reference: itself }, 'anyone').then(
          () => 'shown',
          (error) => Failure.from(error).code,
        )
      })
      return new Set(await Promise.all(all))
    }

    test('is shown near its beginning where the operator listed that', async () => {
      door.listed = ['evil.example']
      expect(await outcomes()).toEqual(new Set(['shown']))
    })

    test('is shown anywhere or not at all by any other', async () => {
      expect(await outcomes()).toEqual(new Set(['shown', 'corrupt']))
    })
  })

  test('is not given while the registry cannot be asked, unless the operator listed it', async () => {
    door.failure = down
    expect(await outcome('anyone')).toBe('unavailable')
    clock.advance(10_000)
    door.listed = ['evil.example']
    expect(await outcome('anyone')).toBe('shown')
    expect(possession.disputed(named(evil))).toBe(true)
  })

  test('is asked for once in a while of a listed registry that cannot be asked, and no more once others heard of it', async () => {
    door.failure = down
    door.listed = ['evil.example']
    for (let i = 0; i < 5; i++) expect(await outcome('anyone')).toBe('shown')
    expect(door.asked).toHaveLength(1)
    for (let i = 0; i < 5; i++) expect(await outcome(undefined)).toBe('shown')
    expect(inquiries).toBe(2)
    clock.advance(60_000)
    said = true
    expect(await outcome('anyone')).toBe('shown')
    expect(door.asked).toHaveLength(2)
    expect(possession.disputed(named(evil))).toBe(false)
  })

  test('is asked for of a listed registry as soon as there is something to compare', async () => {
    door.listed = ['evil.example']
    await store.remove(digest)
    expect(await outcome('anyone')).toBe('shown')
    await store.put({ digest, kind: 'blob' }, bytes)
    expect(await outcome('anyone')).toBe('no-blob')
  })

  test('is asked for as soon as some of it is here, and there is somebody to ask for', async () => {
    door.has.set(`evil.example/x/y ${digest}`, bytes)
    await store.remove(digest)
    expect(await outcome('anyone')).toBe('unavailable')
    await store.put({ digest, kind: 'blob' }, bytes)
    expect(await outcome(undefined)).toBe('unavailable')
    expect(await outcome('anyone')).toBe('shown')
  })

  test('is asked for when the first of it has come, within a bound', async () => {
    await store.remove(digest)
    const blob = store.create({ digest, size: bytes.length, kind: 'blob' })
    door.has.set(`evil.example/x/y ${digest}`, bytes)
    const waiting = outcome('anyone')
    await clock.run(1000)
    expect(door.asked).toEqual([])
    await blob.write(1, bytes.subarray(blob.layout.pieceLength, 2 * blob.layout.pieceLength))
    await clock.run(100)
    expect(await waiting).toBe('shown')
    await store.remove(digest)
    store.create({ digest, size: bytes.length, kind: 'blob' })
    const vain = outcome('anyone')
    await clock.run(6000)
    expect(await vain).toBe('unavailable')
  })

  test('is given to whom the logins of another node let in once the registry has told a scheduler that it is there', async () => {
    said = down
    expect(await outcome(undefined)).toBe('unavailable')
    said = false
    expect(await outcome(undefined)).toBe('unavailable')
    said = true
    // A stranger gets nothing by that.
    expect(await outcome('anyone')).toBe('no-blob')
    expect(await outcome(undefined)).toBe('shown')
    expect(possession.disputed(named(evil))).toBe(false)
  })

  test('is not given where nothing of it is here to be compared, or nobody to ask for', async () => {
    expect(await outcome(undefined)).toBe('unavailable')
    clock.advance(10_000)
    await store.remove(digest)
    expect(await outcome('anyone')).toBe('unavailable')
    expect(door.asked).toEqual([])
  })
})

describe('what is questioned within its registry', () => {
  const prove = (asker: Asker | undefined) =>
    possession.prove(named(other), asker).then(
      () => 'said',
      (error) => Failure.from(error).code,
    )
  beforeEach(() => {
    see(digest, hers)
    door.let(other, 'ann', 'node')
  })

  test('is given once the registry says that the repository has it, without being compared', async () => {
    expect(await prove('node')).toBe('said')
    expect(door.asked).toEqual([`node corp.example/org/other ${digest}`])
    expect(possession.disputed(named(other))).toBe(false)
  })

  test('is given once it has said so to a scheduler, and then it is not asked from here', async () => {
    said = true
    expect(await prove('node')).toBe('said')
    expect([door.asked, possession.disputed(named(other))]).toEqual([[], false])
  })

  test('is not given where it is nowhere but in a manifest, and it is asked rarely', async () => {
    door.absent.add(digest)
    for (let i = 0; i < 5; i++) expect(await prove('node')).toBe('no-blob')
    expect(door.asked).toHaveLength(1)
    clock.advance(10_000)
    expect(await prove('anyone')).toBe('denied')
    expect(possession.disputed(named(other))).toBe(true)
  })

  test('is given while the registry cannot be asked, which is tried once in a while', async () => {
    door.failure = down
    for (let i = 0; i < 5; i++) expect(await prove('node')).toBe('said')
    expect(door.asked).toHaveLength(1)
    expect(possession.disputed(named(other))).toBe(true)
    door.failure = new Failure('too-many', 'slower')
    clock.advance(60_000)
    expect(await prove('node')).toBe('too-many')
  })

  test('is given to whom the logins of another node let in once a scheduler has heard so', async () => {
    expect(await prove(undefined)).toBe('unavailable')
    said = true
    expect(await prove(undefined)).toBe('said')
  })

  test('and by another registry as well has to be both said and shown', async () => {
    await store.put({ digest, kind: 'blob' }, bytes)
    see(digest, evil)
    door.absent.add(digest)
    expect(await prove('node')).toBe('no-blob')
    door.absent.clear()
    clock.advance(10_000)
    expect(await prove('node')).toBe('no-blob')
    door.has.set(`corp.example/org/other ${digest}`, bytes)
    clock.advance(10_000)
    expect(await prove('node')).toBe('said')
    expect(possession.disputed(named(other))).toBe(false)
  })
})
