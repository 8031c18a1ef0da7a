import { beforeEach, describe, expect, test } from 'bun:test'
import { FakeClock, settle } from '../../test/fakes/clock.ts'
import { infoOf } from '../../test/fakes/members.ts'
import { MemoryStore } from '../../test/fakes/memory-store.ts'
import { Failure, type FailureCode } from '../failure.ts'
import { digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import type { Vouched } from '../rights/rights.ts'
import type { Location, Stat } from '../source/source.ts'
import { Parts } from './parts.ts'

const repository = repositoryOf('ghcr.io', 'org/app')
const bytes = Buffer.from('a manifest')
const location: Location = { repository, kind: 'manifest', digest: digestOf(bytes) }
const ttlMs = 60_000

let clock: FakeClock
/** What the source is asked by whom, and what it says. */
let asked: string[]
let answer: Stat | Failure
let gate: Promise<void> | undefined
let schedulers: Node[]
const down = new Set<string>()

class Node {
  readonly info
  readonly store = new MemoryStore({ clock })
  readonly heard: Vouched[] = []
  readonly contained: string[] = []
  vouched: Vouched = {}
  readonly parts: Parts

  constructor(name: string) {
    this.info = infoOf(name, { modes: ['scheduler'] })
    this.parts = new Parts({
      store: this.store,
      source: {
        stat: async () => {
          asked.push(name)
          await gate
          if (answer instanceof Failure) throw answer
          return answer
        },
      },
      membership: { self: this.info },
      outbound: {
        resolve: async (owner, request) => {
          const node = schedulers.find(({ info }) => info.id === owner.id)
          if (!node || down.has(owner.id) || 'tag' in request) throw new Failure('unavailable', 'no answer')
          return node.parts.answer(request)
        },
      },
      clock,
      ttlMs,
      rights: {
        vouch: async () => this.vouched,
        heard: (_, vouched) => this.heard.push(vouched),
        contains: (_, digests) => {
          for (const digest of digests) this.store.seenIn(digest, repository)
          this.contained.push(...digests)
        },
      },
      owners: () => schedulers.map(({ info }) => info),
    })
  }
  /** Whether it knows now that the repository has it. */
  /** Whether the last one had it from the source. */
  said = false
  async learns(widely = false): Promise<boolean> {
    this.said = await this.parts.inquire(location, widely)
    return this.contained.length > 0
  }
  async code(): Promise<string> {
    return this.parts.answer(location).then(
      () => 'known',
      (error) => Failure.from(error).code,
    )
  }
}

beforeEach(() => {
  clock = new FakeClock()
  asked = []
  answer = { size: bytes.length, mediaType: 'a/b' }
  gate = undefined
  down.clear()
  schedulers = ['first', 'second', 'third'].map((name) => new Node(name))
})
const [unavailable, missing] = (['unavailable', 'no-manifest'] as const).map((code) => new Failure(code, 'the source'))

describe('whether a repository has something', () => {
  test('is asked of the source once for a hundred nodes', async () => {
    const [owner] = schedulers
    owner!.vouched = { open: 5 }
    const nodes = Array.from({ length: 100 }, (_, i) => new Node(`n${i}`))
    const { promise, resolve } = Promise.withResolvers<void>()
    gate = promise
    const learning = Promise.all(nodes.map((node) => node.learns()))
    await settle()
    resolve()
    expect(new Set(await learning)).toEqual(new Set([true]))
    expect(asked).toEqual(['first'])
    expect(nodes[7]!.heard).toEqual([{ open: 5, shared: undefined }])
  })

  test('is asked again when its word is old', async () => {
    const node = new Node('n')
    await node.learns()
    expect(node.said).toBe(true)
    clock.advance(ttlMs - 1)
    await node.learns()
    expect(asked).toHaveLength(1)
    clock.advance(1)
    await node.learns()
    expect(asked).toHaveLength(2)
  })

  test('is not asked of others by the owner, who asks the source for its own clients', async () => {
    expect(await schedulers[0]!.learns()).toBe(false)
    expect(asked).toEqual([])
  })

  test('is asked of the next owner when one does not answer, and not when the source said no', async () => {
    down.add(schedulers[0]!.info.id)
    expect(await new Node('n').learns()).toBe(true)
    expect(asked).toEqual(['second'])
    down.clear()
    answer = missing!
    expect(await new Node('m').learns()).toBe(false)
    expect(asked).toEqual(['second', 'first'])
  })

  test('is not asked of the source again and again where it says no', async () => {
    answer = missing!
    for (let i = 0; i < 5; i++) expect(await schedulers[0]!.code()).toBe('no-manifest')
    expect(asked).toHaveLength(1)
    clock.advance(5000)
    answer = { size: 1, mediaType: '' }
    expect(await schedulers[0]!.code()).toBe('known')
  })

  test('is another question for a blob than for a manifest: a no to the one is none to the other', async () => {
    const [owner] = schedulers
    answer = new Failure('no-blob', 'the source')
    const asBlob = owner!.parts.answer({ ...location, kind: 'blob' })
    expect(await asBlob.catch((error) => Failure.from(error).code)).toBe('no-blob')
    answer = { size: bytes.length, mediaType: 'a/b' }
    expect(await owner!.code()).toBe('known')
  })
})

describe('while the source cannot be asked', () => {
  beforeEach(() => {
    answer = unavailable!
  })

  test('nobody knows what nobody was told', async () => {
    expect(await new Node('n').learns(true)).toBe(false)
    expect(await schedulers[0]!.code()).toBe('unavailable')
  })

  test('its last word counts, of whichever scheduler heard it, also after a restart of that one', async () => {
    const third = schedulers[2]!
    await third.store.put({ digest: location.digest, kind: 'manifest', mediaType: 'a/b' }, bytes)
    third.store.seenIn(location.digest, repository)
    third.vouched = { open: 3 * ttlMs }
    const node = new Node('n')
    expect(await node.learns()).toBe(false)
    expect(await node.learns(true)).toBe(true)
    // A manifest may have listed it.
    expect(node.said).toBe(false)
    expect(node.heard).toEqual([{ open: 3 * ttlMs, shared: undefined }])
    expect(await schedulers[0]!.learns(true)).toBe(true)
  })

  test('what a node has of another repository is no word about this one', async () => {
    const [owner] = schedulers
    await owner!.store.put({ digest: location.digest, kind: 'manifest', mediaType: 'a/b' }, bytes)
    owner!.store.seenIn(location.digest, repositoryOf('ghcr.io', 'org/other'))
    expect(await owner!.code()).toBe('unavailable')
  })

  test('schedulers are not asked by every request', async () => {
    const node = new Node('n')
    await node.learns(true)
    const before = asked.length
    for (let i = 0; i < 5; i++) await node.learns(true)
    expect(asked.length).toBe(before)
  })

  test('who waits for an answer does not wait for long', async () => {
    answer = { size: 1, mediaType: '' }
    gate = new Promise(() => {})
    const slow: { code?: FailureCode | string } = {}
    void schedulers[0]!.code().then((code) => {
      slow.code = code
    })
    await settle()
    expect(slow.code).toBeUndefined()
    clock.advance(3000)
    await settle()
    expect(slow.code).toBe('unavailable')
  })

  test.each(['denied', 'no-manifest'] as const)('it is another thing if it says %s', async (code) => {
    const [owner] = schedulers
    owner!.store.seenIn(location.digest, repository)
    await owner!.store.put({ digest: location.digest, kind: 'manifest', mediaType: 'a/b' }, bytes)
    answer = new Failure(code, 'no')
    expect(await owner!.code()).toBe(code)
  })
})
