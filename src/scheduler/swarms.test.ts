import { describe, expect, spyOn, test } from 'bun:test'
import { seededRandom } from '../clock.ts'
import { rendezvous } from '../cluster/rendezvous.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import type { Asked, Decision } from './decision.ts'
import { Holders } from './holders.ts'
import { Swarms } from './swarms.ts'

const digest = digestOf(Buffer.from('a layer'))
const other = digestOf(Buffer.from('another layer'))
const size = 10_000_000
const whole = 20

/** Swarms with a clock of their own. */
class Kit {
  readonly swarms = new Swarms(seededRandom(1))
  now = 1000

  peers(...ids: string[]): void {
    for (const id of ids) this.swarms.node({ id, seed: false, load: 0 })
  }
  seeds(...ids: string[]): void {
    for (const id of ids) this.swarms.node({ id, seed: true, load: 0 })
  }
  ask(id: string, asked: Partial<Asked> = {}): Decision {
    const base = { digest, pieces: 0, connected: [], failed: [], stalled: false }
    return this.swarms.decide({ id, seed: false, load: 0 }, { ...base, ...asked }, this.now)
  }
  holds(id: string, pieces: number, of: Digest = digest, bytes = size): void {
    this.swarms.holds(id, of, bytes, pieces, pieces === whole, this.now)
  }
  holders(of: Digest = digest): string[] {
    const facts = [...this.swarms.describe()].find((swarm) => swarm.digest === of)
    return (facts?.holders ?? []).map(({ id }) => id).sort()
  }
}

const parentsOf = (decision: Decision) => decision.parents.map(({ id }) => id).sort()
const reasonFor = (decision: Decision, id: string) => decision.refused.find((r) => r.id === id)?.reason

describe('the fetcher', () => {
  test('is the first seed in rendezvous order, is ordered once, and is named to everybody as a parent', () => {
    const kit = new Kit()
    kit.seeds('s1', 's2', 's3')
    const [first] = rendezvous(digest, ['s1', 's2', 's3'])
    const a = kit.ask('a')
    expect([a.fetcher, a.order]).toEqual([first!, first!])
    expect(parentsOf(a)).toEqual([first!])
    const b = kit.ask('b')
    expect([b.fetcher, b.order]).toEqual([first!, undefined])
    expect(parentsOf(b)).toEqual(['a', first!].sort())
  })

  test('of blobs that are wanted at once is a different seed for each, until all of them read one', () => {
    const kit = new Kit()
    const seeds = ['s1', 's2', 's3']
    kit.seeds(...seeds)
    const layers = Array.from({ length: 6 }, (_, i) => digestOf(Buffer.from(`layer ${i}`)))
    const readers = layers.map((layer) => kit.ask('a', { digest: layer }).fetcher!)
    expect([...readers.slice(0, 3)].sort()).toEqual(seeds)
    expect([...readers.slice(3)].sort()).toEqual(seeds)
    // Of what is wanted in part little is read.
    const part = digestOf(Buffer.from('some of a layer'))
    expect(kit.ask('a', { digest: part, part: true }).fetcher).toBe(rendezvous(part, seeds)[0]!)
    // Whoever is through with its own is free for others.
    const [free] = readers
    kit.holds(free!, whole, layers[0])
    kit.holds(free!, whole, layers[readers.lastIndexOf(free!)])
    expect(kit.ask('a', { digest: digestOf(Buffer.from('one more')) }).fetcher).toBe(free!)
  })

  test('goes on when a scheduler takes over, however much it reads besides', () => {
    const kit = new Kit()
    const seeds = ['s1', 's2', 's3']
    kit.seeds(...seeds)
    for (let i = 0; i < 4; i++) kit.ask('a', { digest: digestOf(Buffer.from(`layer ${i}`)) })
    const read = digestOf(Buffer.from('read before'))
    for (const reader of seeds) {
      expect(kit.ask('a', { digest: read, pieces: 3, connected: ['p', reader] }).fetcher).toBe(reader)
      kit.swarms.drops(reader, read, kit.now)
      kit.swarms.drops('a', read, kit.now)
      kit.now += 60_000
    }
    // Nobody was seen to read it: it is whom any scheduler would have named.
    const [first] = rendezvous(read, seeds)
    expect(kit.ask('a', { digest: read, pieces: 3, connected: ['p'] }).fetcher).toBe(first!)
  })

  test('is the asking node where there is no seed, and needs no order', () => {
    const kit = new Kit()
    const decision = kit.ask('a')
    expect([decision.fetcher, decision.order]).toEqual(['a', undefined])
    expect(kit.ask('b').fetcher).toBe('a')
  })

  test('is a seed that asks, without an order', () => {
    const kit = new Kit()
    kit.seeds('s')
    const decision = kit.swarms.decide(
      { id: 's', seed: true, load: 0 },
      { digest, pieces: 0, connected: [], failed: [], stalled: false },
      0,
    )
    expect([decision.fetcher, decision.order]).toEqual(['s', undefined])
  })

  test('is nobody while a live node has the whole blob', () => {
    const kit = new Kit()
    kit.seeds('s')
    kit.peers('p')
    kit.holds('p', whole)
    expect(kit.ask('a').fetcher).toBeUndefined()
    kit.swarms.left('p')
    expect(kit.ask('a').fetcher).toBe('s')
  })

  test('that has nothing yet is none any more when another node turns out to have the whole blob', () => {
    const kit = new Kit()
    kit.seeds('s1')
    expect([kit.ask('s1').fetcher, kit.ask('s1').leads]).toEqual(['s1', true])
    kit.peers('a')
    kit.holds('a', whole)
    const again = kit.ask('s1')
    expect([again.fetcher, again.leads, again.elsewhere, parentsOf(again)]).toEqual([undefined, false, true, ['a']])
  })

  test('that has something goes on, whoever has the whole blob, and so does one that could not get at that', () => {
    const kit = new Kit()
    kit.seeds('s1')
    expect(kit.ask('s1').fetcher).toBe('s1')
    kit.peers('a')
    kit.holds('a', whole)
    expect(kit.ask('s1', { pieces: 1 }).fetcher).toBe('s1')
    const other = new Kit()
    other.seeds('s1')
    expect(other.ask('s1').fetcher).toBe('s1')
    other.peers('a')
    other.holds('a', whole)
    expect(other.ask('s1', { failed: [{ node: 'a', reason: 'unavailable' }] }).fetcher).toBe('s1')
  })

  test('that has the whole blob is no longer one', () => {
    const kit = new Kit()
    kit.seeds('s')
    kit.ask('a')
    kit.holds('s', 5)
    expect(kit.ask('a').fetcher).toBe('s')
    kit.holds('s', whole)
    expect(kit.ask('a').fetcher).toBeUndefined()
  })

  test('that leaves is replaced', () => {
    const kit = new Kit()
    kit.seeds('s1', 's2')
    const first = kit.ask('a').fetcher!
    kit.swarms.left(first)
    const next = kit.ask('a')
    expect(next.order).toBe(first === 's1' ? 's2' : 's1')
  })

  test('that restarts is told again, for it forgot', () => {
    const kit = new Kit()
    kit.seeds('s')
    expect(kit.ask('a').order).toBe('s')
    kit.swarms.left('s')
    kit.seeds('s')
    expect(kit.ask('a').order).toBe('s')
  })

  test('that the source refuses is replaced, and not named again for a while', () => {
    const kit = new Kit()
    kit.seeds('s1', 's2')
    const first = kit.ask('a').fetcher!
    kit.swarms.drops(first, digest, kit.now)
    const second = kit.ask('a').fetcher!
    expect(second).toBe(first === 's1' ? 's2' : 's1')
    kit.swarms.drops(second, digest, kit.now)
    const third = kit.ask('a')
    expect(third.fetcher).toBe('a')
    expect(third.reasons).toContain('a, which asks, reads the source')
    kit.swarms.drops('a', digest, kit.now)
    kit.now += 31_000
    expect(kit.ask('b').fetcher).toBe(first)
  })

  test('that the source refuses, as a node says that heard it from it, is replaced by that node', () => {
    const kit = new Kit()
    kit.seeds('s1', 's2')
    const first = kit.ask('a').fetcher!
    const other = first === 's1' ? 's2' : 's1'
    const told = (node: string, refused?: string) => kit.ask('a', { failed: [{ node, reason: 'gone', refused }] })
    expect(told(other, 'denied').fetcher).toBe(first)
    expect(told(first).fetcher).toBe(first)
    const decision = told(first, 'denied')
    expect([decision.fetcher, decision.order]).toEqual(['a', undefined])
    expect(decision.reasons).toContain(`fetcher ${first} is of no use to a: gone`)
    kit.swarms.drops('a', digest, kit.now)
    expect(kit.ask('b').fetcher).toBe(other)
  })

  test('that ends, is full or cannot reach the source is replaced by another seed, whose login reads it too', () => {
    for (const code of ['cancelled', 'no-space', 'no-disk', 'unavailable', 'too-many', 'internal', 'corrupt']) {
      const kit = new Kit()
      kit.seeds('s1', 's2')
      const first = kit.ask('a').fetcher!
      const other = first === 's1' ? 's2' : 's1'
      const told = (node: string) => kit.ask('a', { failed: [{ node, reason: 'gone', refused: code }] })
      expect([code, told(first).order]).toEqual([code, other])
      expect([code, told(other).fetcher]).toEqual([code, 'a'])
    }
  })

  test('that makes progress is kept although a node stalls', () => {
    const kit = new Kit()
    kit.seeds('s1', 's2')
    const first = kit.ask('a').fetcher!
    for (let pieces = 1; pieces < 5; pieces++) {
      kit.now += 4000
      kit.holds(first, pieces)
      expect(kit.ask('a', { stalled: true }).fetcher).toBe(first)
    }
  })

  test('that makes no progress while a node stalls is replaced', () => {
    const kit = new Kit()
    kit.seeds('s1', 's2')
    const first = kit.ask('a').fetcher!
    kit.holds(first, 3)
    kit.now += 6000
    kit.holds(first, 3)
    expect(kit.ask('a').fetcher).toBe(first)
    expect(kit.ask('a', { stalled: true }).fetcher).toBe(first === 's1' ? 's2' : 's1')
  })

  test('that asks with more pieces than before makes progress too', () => {
    const kit = new Kit()
    kit.ask('a')
    kit.now += 4000
    kit.ask('a', { pieces: 4, size })
    kit.now += 4000
    expect(kit.ask('b', { stalled: true }).fetcher).toBe('a')
  })

  test('is named although there is a whole copy, when the asking node stalls and nobody could get at the copy', () => {
    const kit = new Kit()
    kit.seeds('s')
    kit.peers('p')
    kit.holds('p', whole)
    expect(kit.ask('a', { stalled: true }).fetcher).toBeUndefined()
    const failed = [{ node: 'p', reason: 'could not be reached' }]
    expect(kit.ask('a', { failed }).fetcher).toBeUndefined()
    expect(kit.ask('a', { stalled: true }).order).toBe('s')
  })

  test('is never a seed that has all of it: where nobody can get at that one, the asking node reads the source', () => {
    const kit = new Kit()
    kit.seeds('s')
    kit.holds('s', whole)
    const failed = [{ node: 's', reason: 'could not be reached' }]
    const decision = kit.ask('a', { stalled: true, failed })
    expect([decision.fetcher, decision.order]).toEqual(['a', undefined])
  })

  test('is not asked by everybody in a large swarm, except by who stalls or asks it already', () => {
    const kit = new Kit()
    kit.seeds('s')
    const named = Array.from({ length: 100 }, (_, i) => kit.ask(`n${i}`)).filter((d) => parentsOf(d).includes('s'))
    expect(named.length).toBe(64)
    expect(reasonFor(kit.ask('late'), 's')).toBe('reads from the source, and enough nodes ask it already')
    expect(parentsOf(kit.ask('late', { stalled: true }))).toContain('s')
    expect(parentsOf(kit.ask('n0'))).toContain('s')
  })

  test('has room for another node when one that asked it leaves', () => {
    const kit = new Kit()
    kit.seeds('s')
    for (let i = 0; i < 100; i++) kit.ask(`n${i}`)
    expect(parentsOf(kit.ask('late'))).not.toContain('s')
    kit.swarms.left('n3')
    expect(parentsOf(kit.ask('late'))).toContain('s')
  })
})

describe('parents', () => {
  test('are never the asking node, one it has, one that just failed it, or one that left', () => {
    const kit = new Kit()
    kit.peers('has', 'failed', 'left', 'good')
    for (const id of ['has', 'failed', 'left', 'good', 'a']) kit.holds(id, whole)
    kit.swarms.left('left')
    const decision = kit.ask('a', { connected: ['has'], failed: [{ node: 'failed', reason: 'reset' }] })
    expect(parentsOf(decision)).toEqual(['good'])
    expect(reasonFor(decision, 'failed')).toBe('has just failed the asking node')
    expect(decision.reasons).toContain('failed was reported: reset')
  })

  test('that failed once are named again when asked for later, after others', () => {
    const kit = new Kit()
    kit.peers('p', 'q')
    kit.holds('p', whole)
    kit.holds('q', 3)
    kit.ask('a', { failed: [{ node: 'p', reason: 'reset' }] })
    expect(kit.ask('a').parents.map(({ id }) => id)).toEqual(['q', 'p'])
    kit.now += 61_000
    kit.holds('q', 3)
    expect(kit.ask('a').parents.map(({ id }) => id)).toEqual(['p', 'q'])
  })

  test('are as many as there is room for, and the rest is said to rank lower', () => {
    const kit = new Kit()
    for (let i = 0; i < 30; i++) kit.peers(`p${i}`)
    for (let i = 0; i < 30; i++) kit.holds(`p${i}`, whole)
    expect(kit.ask('a').parents).toHaveLength(12)
    const crowded = kit.ask('a', { connected: Array.from({ length: 10 }, (_, i) => `p${i}`) })
    expect(crowded.parents).toHaveLength(2)
    expect(crowded.refused).toHaveLength(18)
    expect(kit.ask('a', { connected: Array.from({ length: 30 }, (_, i) => `p${i}`) }).parents).toHaveLength(0)
  })

  test('are few at first while the blob is whole nowhere, or those that come first would know only each other', () => {
    const kit = new Kit()
    kit.seeds('s')
    for (let i = 0; i < 10; i++) kit.ask(`p${i}`)
    const first = kit.ask('a')
    expect(first.parents).toHaveLength(3)
    expect(kit.ask('a', { connected: parentsOf(first) }).parents).toHaveLength(8)
    kit.holds('s', whole)
    expect(kit.ask('b').parents).toHaveLength(12)
  })

  test('are those with the fewest connections, where nothing else tells them apart', () => {
    const kit = new Kit()
    kit.seeds('s')
    for (const id of ['p', 'q', 'r']) kit.ask(id)
    const busy = Array.from({ length: 11 }, (_, i) => `other${i}`)
    kit.ask('p', { connected: busy })
    kit.ask('r', { connected: busy })
    expect(kit.ask('a').parents.map(({ id }) => id)).toEqual(['s', 'q', expect.any(String)])
  })

  test('carry what they hold, and the size is told', () => {
    const kit = new Kit()
    kit.peers('p')
    kit.holds('p', whole)
    const decision = kit.ask('a')
    expect(decision.parents).toMatchObject([{ id: 'p', pieces: whole, complete: true }])
    expect(decision.size).toBe(size)
  })

  test('that hold nothing yet are named while they want it, and no longer when they fell silent', () => {
    const kit = new Kit()
    kit.peers('p')
    kit.holds('p', whole)
    kit.ask('early')
    expect(parentsOf(kit.ask('a'))).toContain('early')
    kit.now += 61_000
    expect(parentsOf(kit.ask('a'))).toEqual(['p'])
  })

  test('of a thousand nodes that ask for the same blob are spread over all holders', () => {
    const kit = new Kit()
    for (let i = 0; i < 60; i++) kit.peers(`p${i}`)
    for (let i = 0; i < 60; i++) kit.holds(`p${i}`, whole)
    const times = new Map<string, number>()
    for (let i = 0; i < 1000; i++)
      for (const { id } of kit.ask(`n${i}`).parents) times.set(id, (times.get(id) ?? 0) + 1)
    expect(times.size).toBeGreaterThanOrEqual(60)
    for (let i = 0; i < 60; i++) expect(times.get(`p${i}`)).toBeGreaterThan(20)
  })
})

test('a node that reports another one many times at once reports it once', () => {
  const kit = new Kit()
  kit.peers('p')
  kit.holds('p', whole)
  kit.ask('a', { failed: Array.from({ length: 100 }, () => ({ node: 'p', reason: 'reset' })) })
  const [facts] = [...kit.swarms.describe()]
  expect(facts!.holders.find(({ id }) => id === 'p')!.failures).toBe(1)
})

describe('the size of a blob', () => {
  test('is not believed from a node that has nothing of it', () => {
    const kit = new Kit()
    kit.ask('a', { size: 1 })
    kit.peers('p')
    kit.holds('p', 0, digest, 2)
    expect(kit.ask('b').size).toBeUndefined()
  })

  test('is what the fetcher says, and above all what a node with the whole blob says', () => {
    const kit = new Kit()
    kit.seeds('s')
    kit.peers('p', 'q')
    kit.holds('p', 1, digest, 1)
    expect(kit.ask('a').size).toBe(1)
    kit.holds('s', 0, digest, 2)
    expect(kit.ask('a').size).toBe(2)
    kit.holds('q', whole, digest, 3)
    expect(kit.ask('a').size).toBe(3)
    // A registry that lies about it may be who the fetcher asks.
    kit.holds('s', 0, digest, 2)
    expect(kit.ask('a').size).toBe(3)
  })
})

describe('what is known', () => {
  test('of a node goes with it, swarm by swarm', () => {
    const kit = new Kit()
    kit.peers('p', 'q')
    kit.holds('p', whole)
    kit.holds('p', whole, other)
    kit.holds('q', 2)
    kit.swarms.left('p')
    expect(kit.swarms.size).toBe(1)
    expect(kit.holders()).toEqual(['q'])
  })

  test('is replaced by a full announce: what it does not list is not held', () => {
    const kit = new Kit()
    kit.peers('p')
    kit.holds('p', whole)
    kit.holds('p', whole, other)
    kit.swarms.forgetHoldings('p')
    kit.holds('p', whole, other)
    expect(parentsOf(kit.ask('a'))).toEqual([])
    expect(parentsOf(kit.ask('a', { digest: other }))).toEqual(['p'])
    expect(kit.ask('a').fetcher).toBe('a')
  })

  test('does not lose a node that asks when that node announces everything it holds', () => {
    const kit = new Kit()
    kit.peers('q')
    kit.holds('q', whole)
    kit.ask('p', { pieces: 3, size })
    kit.swarms.forgetHoldings('p')
    expect(parentsOf(kit.ask('a'))).toEqual(['p', 'q'])
  })

  test('of blobs that nobody holds or asks for any more is forgotten', () => {
    const kit = new Kit()
    kit.peers('p')
    kit.ask('a', { digest: other })
    kit.holds('p', 0)
    expect(kit.swarms.size).toBe(2)
    kit.now += 59_000
    kit.ask('a', { digest: other })
    kit.now += 2000
    kit.ask('a', { digest: other })
    expect(kit.holders()).toEqual([])
    expect(kit.swarms.size).toBe(1)
  })

  test('of a blob ends with its last holder, and asking again starts anew', () => {
    const kit = new Kit()
    kit.peers('p')
    kit.holds('p', whole)
    kit.swarms.drops('p', digest, kit.now)
    expect(kit.swarms.size).toBe(0)
    kit.swarms.drops('p', digest, kit.now)
    expect(kit.ask('a').fetcher).toBe('a')
  })

  test('shows the last eight decisions of a blob, and no decisions of blobs long ago', () => {
    const kit = new Kit()
    kit.peers('p')
    kit.holds('p', whole)
    for (let i = 0; i < 10; i++) kit.ask(`n${i}`)
    const decisions = () => [...kit.swarms.describe()].find((s) => s.digest === digest)!.decisions
    expect(decisions().map((d) => d.asker)).toEqual(['n2', 'n3', 'n4', 'n5', 'n6', 'n7', 'n8', 'n9'])
    for (let i = 0; i < 300; i++) kit.ask('a', { digest: digestOf(Buffer.from(`${i}`)) })
    expect(decisions()).toEqual([])
  })
})

describe('when to ask again', () => {
  test('is soon in a young swarm that has few nodes to name, later otherwise', () => {
    const kit = new Kit()
    expect(kit.ask('a').again).toBe(200)
    kit.now += 3000
    expect(kit.ask('a').again).toBe(3000)
    const crowd = new Kit()
    for (let i = 0; i < 20; i++) crowd.peers(`p${i}`)
    for (let i = 0; i < 20; i++) crowd.holds(`p${i}`, whole)
    expect(crowd.ask('a').again).toBe(3000)
  })
})

test('who reads a slow source and says that it hears of it stays, and goes when it hears nothing any more', () => {
  const kit = new Kit()
  kit.seeds('s', 't')
  const { fetcher } = kit.ask('a')
  for (let i = 0; i < 10; i++) {
    kit.now += 3000
    kit.ask(fetcher!, { hears: true })
    kit.now += 1000
    expect(kit.ask('a', { stalled: true }).fetcher).toBe(fetcher!)
  }
  kit.now += 3000
  kit.ask(fetcher!)
  kit.now += 3000
  expect(kit.ask('a', { stalled: true }).fetcher).not.toBe(fetcher!)
})

describe('who asks is told', () => {
  test('that the blob comes from elsewhere while another node reads it and gets on, or has all of it', () => {
    const kit = new Kit()
    kit.seeds('s')
    kit.ask('a')
    for (let pieces = 1; pieces < 10; pieces++) {
      kit.now += 4000
      kit.holds('s', pieces)
      const decision = kit.ask('a', { stalled: true })
      expect([decision.fetcher, decision.elsewhere]).toEqual(['s', true])
    }
    kit.now += 6000
    const decision = kit.ask('a', { stalled: true })
    expect([decision.fetcher, decision.elsewhere]).toEqual(['a', false])
    kit.peers('p')
    kit.holds('p', whole)
    kit.swarms.drops('a', digest, kit.now)
    expect(kit.ask('b').elsewhere).toBe(true)
    expect(kit.ask('b', { stalled: true, failed: [{ node: 'p', reason: 'reset' }] }).elsewhere).toBe(false)
  })

  test('that it comes to others through it', () => {
    const kit = new Kit()
    expect(kit.ask('a').leads).toBe(true)
    expect(kit.ask('b').leads).toBe(false)
  })

  test('to ask again at once when it lost the fetcher, for that one is being pinged', () => {
    const kit = new Kit()
    kit.seeds('s1', 's2')
    const first = kit.ask('a').fetcher!
    kit.now += 10_000
    kit.holds(first, 3)
    const lost = kit.ask('a', { failed: [{ node: first, reason: 'session closed' }] })
    expect([lost.fetcher, lost.again]).toEqual([first, 300])
    kit.swarms.left(first)
    kit.now += 400
    expect(kit.ask('a').order).toBe(first === 's1' ? 's2' : 's1')
  })
})

test('a decision among fifteen thousand holders looks at a bounded number of them, and all can leave at once', () => {
  const kit = new Kit()
  let rolls = 0
  const random = seededRandom(3)
  const swarms = new Swarms(() => {
    rolls++
    return random()
  })
  const ids = Array.from({ length: 15_000 }, (_, i) => `n${i}`)
  for (const id of ids) {
    swarms.node({ id, seed: false, load: 0 })
    swarms.holds(id, digest, size, whole, true, kit.now)
  }
  const decision = swarms.decide(
    { id: 'a', seed: false, load: 0 },
    { digest, pieces: 0, connected: [], failed: [], stalled: false },
    kit.now,
  )
  expect(decision.parents).toHaveLength(12)
  // One to pick each, one to break its ties.
  expect(rolls).toBeLessThanOrEqual(2 * 48)
  for (const id of ids) swarms.left(id)
  swarms.left('a')
  expect(swarms.size).toBe(0)
})

test('a decision looks at as many holders in a swarm of 15,000 as in one of 100, whatever failed', () => {
  const counts = [100, 15_000].map((nodes) => {
    let rolled = 0
    let whole = 0
    const random = seededRandom(nodes)
    const swarms = new Swarms(() => {
      rolled++
      return random()
    })
    const asker = { id: 'asker', seed: false, load: 0 }
    const asked = { digest, size: 1e6, pieces: 1, connected: [], failed: [], stalled: true }
    const ids = Array.from({ length: nodes }, (_, i) => `n${i}`)
    for (const id of ids) {
      swarms.node({ id, seed: false, load: 0 })
      swarms.holds(id, digest, 1e6, 4, true, 0)
    }
    const spied = spyOn(Holders.prototype, 'whole').mockImplementation(function* (this: Holders) {
      for (const holder of this) {
        whole++
        yield holder
      }
    })
    try {
      // All of them failed somebody, so that each whole copy is looked at in vain.
      swarms.decide(asker, { ...asked, failed: ids.map((node) => ({ node, reason: 'reset' })) }, 1)
      rolled = 0
      const { parents, refused } = swarms.decide(asker, asked, 2)
      expect(parents).toHaveLength(12)
      return { rolled, whole, looked: parents.length + refused.length <= 50 }
    } finally {
      spied.mockRestore()
    }
  })
  for (const count of counts) {
    expect(count.looked).toBe(true)
    expect(count.rolled).toBeLessThanOrEqual(100)
    expect(count.whole).toBeWithin(1, 50)
  }
})

test('who asks in a large cluster is told to ask again later than in a small one', () => {
  const again = [10, 15_000].map((nodes) => {
    const swarms = new Swarms(seededRandom(1))
    for (let i = 0; i < nodes; i++) swarms.node({ id: `n${i}`, seed: false, load: 0 })
    const asked = { digest, size: 1e6, pieces: 1, connected: [], failed: [], stalled: false }
    // The first is the one that reads the source.
    return ['n1', 'n2'].map((id) => {
      swarms.decide({ id, seed: false, load: 0 }, asked, 0)
      return swarms.decide({ id, seed: false, load: 0 }, asked, 60_000).again
    })
  })
  expect(again).toEqual([
    [3_000, 3_000],
    [3_000, 10_000],
  ])
})

describe('a blob of which nodes want parts', () => {
  const part = { part: true }

  test('has a fetcher that is told so, and told anew after a while, for it stops when nobody needs anything', () => {
    const kit = new Kit()
    kit.seeds('s')
    expect(kit.ask('a', part)).toMatchObject({ fetcher: 's', order: 's' })
    expect(kit.ask('b', part)).toMatchObject({ fetcher: 's' })
    expect(kit.ask('b', part).order).toBeUndefined()
    kit.now += 31_000
    expect(kit.ask('b', part).order).toBe('s')
    expect(kit.ask('a', part).order).toBeUndefined()
  })

  test('is to be read whole as soon as somebody wants that, and the fetcher is told once', () => {
    const kit = new Kit()
    kit.seeds('s')
    kit.ask('a', part)
    expect(kit.ask('b').order).toBe('s')
    expect(kit.ask('c').order).toBeUndefined()
    kit.now += 60_000
    expect(kit.ask('a', part).order).toBeUndefined()
  })

  test('comes from a fetcher that everybody may tell what is needed, however many they are', () => {
    const kit = new Kit()
    kit.seeds('s')
    for (let i = 0; i < 100; i++) expect(parentsOf(kit.ask(`n${i}`, part))).toContain('s')
    expect(parentsOf(kit.ask('whole'))).not.toContain('s')
  })

  test('keeps its fetcher while nobody waits, and loses it when somebody has waited for long', () => {
    const kit = new Kit()
    kit.seeds('s', 't')
    const { fetcher } = kit.ask('a', part)
    kit.now += 100_000
    kit.ask('a', part)
    kit.now += 2000
    expect(kit.ask('a', { ...part, stalled: true }).fetcher).toBe(fetcher!)
    kit.now += 4000
    const other = fetcher === 's' ? 't' : 's'
    expect(kit.ask('a', { ...part, stalled: true })).toMatchObject({ fetcher: other, order: other })
  })
})
