import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { diskStores, messageOf } from '../../test/fakes/disk-stores.ts'
import { diffIdOf, indexTextOf, type LazyNode, LazyNodes, repository } from '../../test/fakes/lazy-nodes.ts'
import { Identity } from '../cluster/identity.ts'
import { rendezvous } from '../cluster/rendezvous.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import { silentLog } from '../telemetry/log.ts'
import { indexCall, madeCall, replyOf } from './calls.ts'
import type { Found } from './indexes.ts'
import { Ledger } from './ledger.ts'
import { type IndexStatement, state } from './statement.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

const stores = diskStores()
let nodes: LazyNodes
beforeEach(() => {
  nodes = new LazyNodes(stores)
})
afterEach(() => nodes.close())

const layer = bytesOf(300_000)

/** Asks until it is not being made any more. */
async function indexed(node: LazyNode, location: ReturnType<LazyNodes['publish']>): Promise<Found> {
  for (let i = 0; i < 5000; i++) {
    const found = await node.index(location)
    if (found.state === 'here') return found
    await Bun.sleep(5)
  }
  throw new Error('it is being made for ever')
}

/** In the order in which they own the layer. */
function ordered(digest: Digest): LazyNode[] {
  const seeds = nodes.nodes.filter(({ membership }) => membership.self.modes.includes('seed'))
  return rendezvous(
    digest,
    seeds.map(({ identity }) => identity.id),
  ).map((id) => seeds.find(({ identity }) => identity.id === id)!)
}

describe('the index of a layer', () => {
  test('is made by a node that is alone, and is there when it is asked for again', async () => {
    const node = await nodes.add()
    const location = nodes.publish(layer)
    expect(await node.index(location)).toMatchObject({ state: 'making' })
    const found = await indexed(node, location)
    expect(found).toMatchObject({
      state: 'here',
      statement: {
        layer: location.digest,
        diffId: diffIdOf(layer),
        index: digestOf(Buffer.from(indexTextOf(layer))),
        signer: node.identity.id,
      },
    })
    expect(node.maker.made).toHaveLength(1)
    expect(nodes.sourceReads).toEqual([location.digest])
    expect(node.store.repositoriesOf((found as { statement: { index: Digest } }).statement.index)).toEqual([repository])
  })

  test('comes with the private repositories that have the layer, or from a seed that does not say so the index', async () => {
    const seed = await nodes.add(['seed'])
    const location = nodes.publish(layer)
    const { statement } = (await indexed(seed, location)) as { statement: IndexStatement }
    const [hers, other] = [repositoryOf('corp.example', 'org/private'), repositoryOf('corp.example', 'org/other')]
    seed.owners.set(location.digest, [hers])
    seed.owners.set(statement.index, [hers, other])
    const peer = await nodes.add(['peer'])
    await indexed(peer, location)
    expect(peer.owners.get(location.digest)).toEqual([hers, other])
    seed.owners.clear()
    const last = await nodes.add(['peer'])
    last.owners.set(statement.index, [other])
    await indexed(last, location)
    expect(last.owners.get(location.digest)).toEqual([other])
    last.owners.delete(location.digest)
    await indexed(last, location)
    expect(last.owners.get(location.digest)).toEqual([other])
  })

  test('is made once for a cluster of which sixteen nodes ask at once, and comes to each of them as a blob', async () => {
    for (let i = 0; i < 3; i++) await nodes.add(['seed', 'scheduler'])
    const peers = []
    for (let i = 0; i < 16; i++) peers.push(await nodes.add(['peer']))
    const location = nodes.publish(layer)
    const all = await Promise.all(peers.map((peer) => indexed(peer, location)))
    const made = nodes.nodes.flatMap(({ maker }) => maker.made)
    expect(made).toEqual([location.digest])
    expect(nodes.sourceReads).toEqual([location.digest])
    const [owner] = ordered(location.digest)
    for (const found of all) expect(found).toMatchObject({ statement: { signer: owner!.identity.id } })
    for (const { store } of peers) expect(store.find(digestOf(Buffer.from(indexTextOf(layer))))?.complete).toBe(true)
  })

  test('says how far it is while it is made: the layer comes, and is read', async () => {
    const node = await nodes.add()
    const location = nodes.publish(layer)
    const gate = Promise.withResolvers<void>()
    node.maker.gate = gate.promise
    await node.index(location)
    while (node.maker.made.length === 0) await Bun.sleep(1)
    expect(await node.index(location)).toEqual({ state: 'making', done: 450_000, total: 600_000 })
    gate.resolve()
    expect((await indexed(node, location)).state).toBe('here')
  })

  test('is given to nobody before those know who holds it of whom it will be asked for', async () => {
    const node = await nodes.add()
    const location = nodes.publish(layer)
    const gate = Promise.withResolvers<void>()
    node.telling = gate.promise
    await node.index(location)
    const index = digestOf(Buffer.from(indexTextOf(layer)))
    while (!node.store.find(index)?.complete) await Bun.sleep(1)
    const asked = { repository, layer: location.digest, make: false }
    const answer = () => node.calls.answer(indexCall.name, asked) as Promise<{ state: string }>
    for (let i = 0; i < 20; i++) {
      expect((await answer()).state).toBe('making')
      await Bun.sleep(1)
    }
    gate.resolve()
    await indexed(node, location)
    expect((await answer()).state).toBe('made')
  })

  test('is made by the next seed when the one that was making it is gone', async () => {
    for (let i = 0; i < 3; i++) await nodes.add(['seed', 'scheduler'])
    const peer = await nodes.add(['peer'])
    const location = nodes.publish(layer)
    const [first, second] = ordered(location.digest)
    first!.maker.gate = new Promise(() => {})
    expect(await peer.index(location)).toMatchObject({ state: 'making' })
    while (first!.maker.made.length === 0) await Bun.sleep(1)
    first!.alive = false
    expect(await indexed(peer, location)).toMatchObject({ statement: { signer: second!.identity.id } })
    first!.maker.gate = undefined
    nodes.nodes.splice(nodes.nodes.indexOf(first!), 1)
    void first!.close()
  })

  test('that a seed has made which does not own the layer any more is taken from there', async () => {
    const alone = await nodes.add(['seed', 'scheduler'])
    const location = nodes.publish(layer)
    await indexed(alone, location)
    for (let i = 0; i < 2; i++) await nodes.add(['seed', 'scheduler'])
    for (const node of nodes.nodes) {
      expect(await indexed(node, location)).toMatchObject({ statement: { signer: alone.identity.id } })
    }
    expect(nodes.nodes.flatMap(({ maker }) => maker.made)).toHaveLength(1)
  })

  test('that comes over a slow link is told to be on its way, and who asks again waits for the same', async () => {
    await nodes.add(['seed', 'scheduler'])
    const [quick, slow] = [await nodes.add(['peer']), await nodes.add(['peer'])]
    const location = nodes.publish(layer)
    await indexed(quick, location)
    const gate = Promise.withResolvers<void>()
    slow.gate = gate.promise
    const size = indexTextOf(layer).length
    for (let i = 0; i < 2; i++) expect(await slow.index(location)).toEqual({ state: 'making', done: 0, total: size })
    gate.resolve()
    expect((await indexed(slow, location)).state).toBe('here')
    expect(slow.fetched).toHaveLength(1)
  })

  test('cannot be had of a layer that has none, and every node says why', async () => {
    const seed = await nodes.add(['seed', 'scheduler'])
    const peer = await nodes.add(['peer'])
    const location = nodes.publish(Buffer.from(`one frame ${'z'.repeat(1000)}`))
    const failed = async (node: LazyNode) => {
      for (;;) {
        const found = await node.index(location).catch((error: Error & { code: string }) => error)
        if (found instanceof Error) return `${found.code}: ${found.message}`
        await Bun.sleep(5)
      }
    }
    const said = `unsupported: the layer ${location.digest} has no index: it is one zstd frame`
    expect(await failed(peer)).toBe(said)
    expect(await failed(seed)).toBe(said)
    expect(seed.maker.made).toHaveLength(1)
    expect(peer.lazy.indexes.facts().unindexed).toMatchObject([{ layer: location.digest }])
  })

  test('is made by nobody where seeds are told to make none, or where there is no seed', async () => {
    const peer = await nodes.add(['peer'])
    const location = nodes.publish(layer)
    expect(peer.index(location)).rejects.toThrow('no seed is known that could make it')
    await nodes.add(['seed', 'scheduler'], 'off')
    expect(peer.index(location)).rejects.toThrow('this seed makes no indexes: --layer-index is off')
    const willing = await nodes.add(['seed', 'scheduler'])
    expect(await indexed(peer, location)).toMatchObject({ statement: { signer: willing.identity.id } })
  })

  test('is made by a larger seed where the one that owns the layer is too small, which tries it once', async () => {
    const seeds = [await nodes.add(['seed', 'scheduler']), await nodes.add(['seed', 'scheduler'])]
    const peer = await nodes.add(['peer'])
    const location = nodes.publish(layer)
    const owner = peer.lazy.indexes.finding.owners(location.digest)[0]!
    const small = seeds.find(({ identity }) => identity.id === owner.id)!
    const large = seeds.find((each) => each !== small)!
    small.maker.small = true
    const gate = Promise.withResolvers<void>()
    large.maker.gate = gate.promise
    // For longer than other failures are remembered.
    const end = nodes.clock.now() + 12_000
    while (nodes.clock.now() < end) {
      expect((await peer.index(location)).state).toBe('making')
      await Bun.sleep(5)
    }
    gate.resolve()
    let found = await peer.index(location)
    for (; found.state !== 'here'; found = await peer.index(location)) await Bun.sleep(5)
    expect(found.statement.signer).toBe(large.identity.id)
    expect(small.maker.made).toHaveLength(1)
    expect(peer.lazy.indexes.facts().unindexed).toEqual([])
  })

  test('of which a byte was flipped on the disk comes again from another node', async () => {
    const seed = await nodes.add(['seed', 'scheduler'])
    const peer = await nodes.add(['peer'])
    const location = nodes.publish(layer)
    await indexed(peer, location)
    const blob = peer.store.find(digestOf(Buffer.from(indexTextOf(layer))))!
    await flip(blob.path, 400_000)
    expect(await indexed(peer, location)).toMatchObject({ statement: { signer: seed.identity.id } })
    expect(peer.fetched).toHaveLength(2)
    const held = peer.store.find(blob.digest)!
    expect(Buffer.from(await held.read({ start: 0, end: held.size })).toString()).toBe(indexTextOf(layer))
  })

  test('of which a byte was flipped unseen is found out by who asks for it anew', async () => {
    await nodes.add(['seed', 'scheduler'])
    const peer = await nodes.add(['peer'])
    const location = nodes.publish(layer)
    await indexed(peer, location)
    const blob = peer.store.find(digestOf(Buffer.from(indexTextOf(layer))))!
    await flip(blob.path, 400_000, true)
    await peer.index(location, true)
    expect(peer.fetched).toHaveLength(2)
    const held = peer.store.find(blob.digest)!
    expect(Buffer.from(await held.read({ start: 0, end: held.size })).toString()).toBe(indexTextOf(layer))
  })

  test('is made again where the only copy is broken', async () => {
    const node = await nodes.add()
    const location = nodes.publish(layer)
    await indexed(node, location)
    await flip(node.store.find(digestOf(Buffer.from(indexTextOf(layer))))!.path, 400_000)
    expect((await indexed(node, location)).state).toBe('here')
    expect(node.maker.made).toHaveLength(2)
  }, 10_000)

  test('is not believed from who signs in the name of another, is no seed, or is banned', async () => {
    const seed = await nodes.add(['seed', 'scheduler'])
    const peer = await nodes.add(['peer'])
    const other = await nodes.add(['peer'])
    const location = nodes.publish(layer)
    const bytes = Buffer.from('another index')
    const forged = await other.store.put({ digest: digestOf(bytes), kind: 'blob' }, bytes)
    const facts = { layer: location.digest, diffId: diffIdOf(layer), index: forged.digest, size: forged.size }
    const ofOther = state(facts, other.identity)
    expect(await messageOf(tell(peer, ofOther))).toContain('who signed it is no seed')
    peer.membership.leave(other.identity.id, nodes.clock.now())
    expect(await messageOf(tell(peer, ofOther))).toContain('who signed it is no seed')
    const ofNobody = state(facts, await Identity.temporary())
    expect(await messageOf(tell(peer, ofNobody))).toContain('who signed it is no seed')
    expect(await messageOf(tell(peer, ofNobody, seed.identity.id))).toContain('who tells of it is not who signed it')
    expect(await messageOf(tell(peer, { ...ofOther, signer: seed.identity.id }))).toContain(
      'not signed by who it names',
    )
    const ofSeed = state(facts, seed.identity)
    expect(await messageOf(tell(peer, ofSeed, other.identity.id))).toContain('who tells of it is not who signed it')
    peer.bans.add(seed.identity.id, 'lied')
    expect(await messageOf(tell(peer, ofSeed))).toContain('who signed it is banned')
    expect(peer.lazy.indexes.facts().indexed).toEqual([])
  })
})

describe('the index of a layer that a seed has made which is gone', () => {
  /** `made` by one seed, which has told the other one. */
  async function twoSeeds() {
    const gone = await nodes.add(['seed', 'scheduler'])
    const location = nodes.publish(layer)
    await indexed(gone, location)
    const stays = await nodes.add(['seed', 'scheduler'])
    await indexed(stays, location)
    const leave = async () => {
      nodes.nodes.splice(nodes.nodes.indexOf(gone), 1)
      for (const { membership } of nodes.nodes) membership.leave(gone.identity.id, nodes.clock.now())
      await gone.close()
    }
    return { gone, stays, location, leave }
  }

  test('is believed by hosts that knew the seed, and not made again for them', async () => {
    const { gone, stays, location, leave } = await twoSeeds()
    const peer = await nodes.add(['peer'])
    await leave()
    expect(await indexed(peer, location)).toMatchObject({ statement: { signer: gone.identity.id } })
    expect(stays.maker.made).toEqual([])
  })

  test('or is not yet known to a host that has just started, which waits until it is', async () => {
    const { gone, stays, location } = await twoSeeds()
    nodes.nodes.splice(nodes.nodes.indexOf(gone), 1)
    const late = await nodes.add(['peer'])
    nodes.nodes.push(gone)
    const found = indexed(late, location)
    await Bun.sleep(10)
    late.membership.heard(gone.membership.self, nodes.clock.now())
    expect(await found).toMatchObject({ statement: { signer: gone.identity.id } })
    expect(stays.maker.made).toEqual([])
  })

  test('is signed by a seed that has found it right, for hosts that come later', async () => {
    const { stays, location, leave } = await twoSeeds()
    await stays.store.put({ digest: location.digest, kind: 'blob' }, layer)
    await stays.lazy.tend()
    await leave()
    const late = await nodes.add(['peer'])
    expect(await indexed(late, location)).toMatchObject({ statement: { signer: stays.identity.id } })
    expect([stays.maker.checked, stays.maker.made]).toEqual([[location.digest], []])
  })

  test('is made once more by a seed that had not looked itself, when a host comes that never knew the one that is gone', async () => {
    const { stays, location, leave } = await twoSeeds()
    await leave()
    for (let i = 0; i < 2; i++) {
      const late = await nodes.add(['peer'])
      expect(await indexed(late, location)).toMatchObject({ statement: { signer: stays.identity.id } })
    }
    expect(stays.maker.made).toEqual([location.digest])
  })

  test('that came before this node started anew is believed as it was then', async () => {
    const { gone, location, leave } = await twoSeeds()
    const statement = gone.lazy.indexes.facts().indexed[0]!.statement
    await leave()
    const peer = await nodes.add(['peer'])
    const ledger = new Ledger(peer.ledgerPath, silentLog)
    ledger.set(statement, nodes.clock.wall())
    ledger.close()
    expect(await peer.index(location)).toMatchObject({ state: 'here', statement: { signer: gone.identity.id } })
  })
})

test('an index that a seed has from who is no seed is not believed, and the seed makes it itself', async () => {
  const liar = await nodes.add(['seed', 'scheduler'])
  const peer = await nodes.add(['peer'])
  const location = nodes.publish(layer)
  const bytes = Buffer.from(indexTextOf(layer).replace('right', 'wrong'))
  const { digest: index, size } = await liar.store.put({ digest: digestOf(bytes), kind: 'blob' }, bytes)
  const ledger = new Ledger(liar.ledgerPath, silentLog)
  const facts = { layer: location.digest, diffId: diffIdOf(layer), index, size }
  ledger.set(state(facts, await Identity.temporary()), nodes.clock.wall())
  ledger.close()
  const found = await indexed(peer, location)
  expect(found).toMatchObject({
    statement: { signer: liar.identity.id, index: digestOf(Buffer.from(indexTextOf(layer))) },
  })
  expect(peer.store.find(index)).toBeUndefined()
})

describe('a blob that is called an index and is none', () => {
  test('stays where it was, pinned or not, and is of no other repository than before; who signed it is banned', async () => {
    const seed = await nodes.add(['seed', 'scheduler'])
    const liar = await nodes.add(['seed', 'scheduler'])
    const location = nodes.publish(layer)
    const bytes = Buffer.from('a layer that somebody has pushed')
    const pushed = await seed.store.put({ digest: digestOf(bytes), kind: 'blob' }, bytes)
    seed.store.pin({ digest: pushed.digest, reason: 'apps.corp/app:v1' })
    const facts = { layer: location.digest, diffId: diffIdOf(layer), index: pushed.digest, size: pushed.size }
    for (const signer of [liar.identity, await Identity.temporary()]) {
      expect(await messageOf(tell(seed, state(facts, signer)))).not.toBe('')
      expect(seed.store.find(pushed.digest)?.complete).toBe(true)
      expect(seed.store.repositoriesOf(pushed.digest)).toEqual([])
    }
    expect(seed.bans.has(liar.identity.id)).toBe(true)
    expect(seed.lazy.indexes.facts().indexed).toEqual([])
  })

  test('of another size than was signed is no index either', async () => {
    const seed = await nodes.add(['seed', 'scheduler'])
    const liar = await nodes.add(['seed', 'scheduler'])
    const location = nodes.publish(layer)
    const bytes = Buffer.from(indexTextOf(layer))
    const { digest: index } = await seed.store.put({ digest: digestOf(bytes), kind: 'blob' }, bytes)
    const facts = { layer: location.digest, diffId: diffIdOf(layer), index, size: 1 }
    expect(await messageOf(tell(seed, state(facts, liar.identity)))).toContain(`it has ${bytes.length} bytes`)
    expect(seed.bans.has(liar.identity.id)).toBe(true)
  })

  test('because the disk has not kept it is nobody but the disk to blame for', async () => {
    const first = await nodes.add(['seed', 'scheduler'])
    const location = nodes.publish(layer)
    const { statement } = (await indexed(first, location)) as { statement: IndexStatement }
    // Else it would tell the next one itself.
    while (first.lazy.indexes.busy) await Bun.sleep(1)
    const second = await nodes.add(['seed', 'scheduler'])
    const made = first.store.find(statement.index)!
    const bytes = await made.read({ start: 0, end: made.size })
    const copy = await second.store.put({ digest: made.digest, kind: 'blob' }, bytes)
    for (const segment of made.metainfo.segments) copy.learn(segment)
    await flip(copy.path, 10)
    expect(await messageOf(tell(second, statement))).toContain('the disk has not kept the index')
    expect(second.bans.list()).toEqual([])
    await tell(second, statement)
    expect(second.lazy.indexes.facts().indexed).toMatchObject([{ here: true, statement: { index: statement.index } }])
  })
})

function tell(node: LazyNode, statement: IndexStatement, sender = statement.signer) {
  return node.calls.answer(madeCall.name, { repository, layer: statement.layer, ...replyOf(statement) }, sender)
}

/** `unseen`: the file looks as if nobody had touched it. */
async function flip(path: string, at: number, unseen = false): Promise<void> {
  // The kernel's clock for files has ticks of some milliseconds: sooner, nobody could see it.
  await Bun.sleep(20)
  const { mtime, atime } = statSync(path)
  const bytes = readFileSync(path)
  bytes[at]! ^= 1
  writeFileSync(path, bytes)
  if (unseen) utimesSync(path, atime, mtime)
}
