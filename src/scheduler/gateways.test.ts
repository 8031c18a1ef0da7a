import { expect, test } from 'bun:test'
import { seededRandom } from '../clock.ts'
import { siteOf } from '../cluster/zone.ts'
import { digestOf } from '../oci/digest.ts'
import type { Asked, Decision } from './decision.ts'
import { Swarms } from './swarms.ts'

const digest = digestOf(Buffer.from('a layer'))
const size = 10_000_000
const whole = 20

/** Two sites, `eu/a` and `eu/b`, twelve nodes at each; who reads the source is at the first. */
class Sites {
  readonly swarms = new Swarms(seededRandom(1), 'eu/a')
  readonly zones = new Map<string, string>()
  now = 1000

  constructor() {
    for (let i = 1; i <= 12; i++) {
      for (const site of ['a', 'b']) {
        const id = `${site}${i}`
        this.zones.set(id, `eu/${site}/r${i}`)
        this.swarms.node(this.node(id))
      }
    }
  }

  node(id: string) {
    return { id, zone: this.zones.get(id), seed: true, load: 0 }
  }
  ask(id: string, asked: Partial<Asked> = {}): Decision {
    const base = { digest, size, pieces: 0, connected: [], failed: [], stalled: false }
    return this.swarms.decide(this.node(id), { ...base, ...asked }, this.now)
  }
  holds(id: string, pieces: number): void {
    this.swarms.holds(id, digest, size, pieces, pieces === whole, this.now)
  }
  /** All of them ask, and have something; then it is later. */
  begin(): string {
    const fetcher = this.ask('b1').fetcher!
    for (const id of this.zones.keys()) this.ask(id)
    for (const id of this.zones.keys()) this.holds(id, 2)
    this.now += 4000
    return fetcher
  }
  far(id: string, decision: Decision): string[] {
    const site = siteOf(this.zones.get(id))
    return decision.parents.map((parent) => parent.id).filter((parent) => siteOf(this.zones.get(parent)) !== site)
  }
}

test('a seed near the sources reads them, whatever site asks', () => {
  expect(new Sites().begin()).toStartWith('a')
})

test('one node of a site has a few parents at the other, and the others there have it for a parent', () => {
  const sites = new Sites()
  const fetcher = sites.begin()
  const gateway = sites.ask('b1')
  expect(sites.far('b1', gateway)).toContain(fetcher)
  expect(sites.far('b1', gateway).length).toBeWithin(1, 9)
  expect(gateway.parents.length).toBeGreaterThan(3)
  for (const id of ['b2', 'b3', 'b4', 'b5', 'b6']) {
    const decision = sites.ask(id)
    expect(sites.far(id, decision)).toEqual([])
    expect(decision.parents[0]!.id).toBe('b1')
    expect(decision.parents[0]!.reasons).toContain('fetches from other sites')
    expect(decision.refused.map(({ reason }) => reason)).toContain('is at another site, from which b1 fetches')
  }
})

test('who is at the site of the fetcher has no parents elsewhere, but for the fetcher', () => {
  const sites = new Sites()
  const fetcher = sites.begin()
  for (const id of ['a1', 'a2', 'a3', 'a4', 'a5', 'a6']) {
    const decision = sites.ask(id)
    if (id === fetcher) expect(sites.far(id, decision).length).toBeWithin(1, 9)
    else expect(sites.far(id, decision)).toEqual([])
  }
})

test('a gateway that asks again gets no more far parents than it may have', () => {
  const sites = new Sites()
  sites.begin()
  const connected = sites.far('b1', sites.ask('b1'))
  expect(sites.far('b1', sites.ask('b1', { connected }))).toEqual([])
})

test('the next who asks takes over from a gateway that left', () => {
  const sites = new Sites()
  sites.begin()
  sites.swarms.left('b1')
  const decision = sites.ask('b4')
  expect(sites.far('b4', decision).length).toBeGreaterThan(0)
  expect(decision.reasons).toContain('b4 fetches for eu/b from other sites')
  expect(sites.far('b5', sites.ask('b5'))).toEqual([])
})

test('who stalls takes over from a gateway that makes no progress, and not from one that does', () => {
  const sites = new Sites()
  sites.begin()
  sites.now += 4000
  sites.holds('b1', 3)
  sites.now += 4000
  expect(sites.far('b2', sites.ask('b2', { stalled: true }))).toEqual([])
  sites.now += 2000
  const decision = sites.ask('b2', { stalled: true })
  expect(sites.far('b2', decision).length).toBeGreaterThan(0)
  expect(decision.reasons[0]).toBe('b1, which fetches for eu/b, made no progress for 6000 ms')
  expect(sites.far('b3', sites.ask('b3', { stalled: true }))).toEqual([])
})

test('where somebody at the site has all of the blob nobody fetches it from another site, unless that one is gone', () => {
  const sites = new Sites()
  sites.begin()
  sites.holds('b3', whole)
  expect(sites.far('b1', sites.ask('b1'))).toEqual([])
  sites.swarms.drops('b3', digest, sites.now)
  expect(sites.far('b2', sites.ask('b2')).length).toBeGreaterThan(0)
})

test('nodes without a zone are near to everybody', () => {
  const sites = new Sites()
  sites.begin()
  const decision = sites.ask('n')
  expect(new Set(decision.parents.map(({ id }) => id[0]))).toEqual(new Set(['a', 'b']))
  sites.holds('n', 5)
  expect(sites.ask('b5').parents.map(({ id }) => id)).toContain('n')
})

test('few near nodes are found among many far ones', () => {
  const swarms = new Swarms(seededRandom(1))
  for (let i = 0; i < 5000; i++) {
    const id = `n${i}`
    swarms.node({ id, zone: `eu/s${i % 10}`, seed: false, load: 0 })
    swarms.holds(id, digest, size, 4, false, 0)
  }
  const asked = { digest, size, pieces: 1, connected: [], failed: [], stalled: false }
  for (const id of ['n0', 'n10']) {
    const { parents } = swarms.decide({ id, zone: 'eu/s0', seed: false, load: 0 }, asked, 10_000)
    expect(parents.filter((parent) => Number(parent.id.slice(1)) % 10 === 0).length).toBeGreaterThan(8)
  }
})
