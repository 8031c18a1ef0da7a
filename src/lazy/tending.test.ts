import { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { gzipSync } from 'node:zlib'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { diskStores } from '../../test/fakes/disk-stores.ts'
import { indexTextOf, type LazyNode, LazyNodes, repository } from '../../test/fakes/lazy-nodes.ts'
import { until } from '../../test/lab/until.ts'
import { digestOf } from '../oci/digest.ts'
import { statementsOfRest } from '../swarm/statements.ts'
import { Ledger } from './ledger.ts'
import { state } from './statement.ts'

// Each takes its time on a busy machine.
setDefaultTimeout(60_000)

const stores = diskStores()
let nodes: LazyNodes
beforeEach(() => {
  nodes = new LazyNodes(stores)
})
afterEach(() => nodes.close())

const layer = gzipSync(bytesOf(600_000))
const index = digestOf(Buffer.from(indexTextOf(layer)))

/** The layer is on that node, which has read it from the source. */
async function reads(node: LazyNode, bytes: Uint8Array = layer, place = repository) {
  const blob = await node.store.put({ digest: digestOf(bytes), kind: 'blob' }, bytes)
  for (const segment of await statementsOfRest(blob, node.identity)) blob.learn(segment)
  node.store.seenIn(blob.digest, place)
  node.lazy.heard(blob.digest)
  return blob
}

describe('while nobody waits for anything', () => {
  test('a seed makes the index of a gzip layer that it has read itself', async () => {
    const node = await nodes.add(['seed', 'scheduler'], 'auto')
    await reads(node)
    node.busy = true
    await node.lazy.tend()
    expect(node.maker.made).toEqual([])
    node.busy = false
    await node.lazy.tend()
    await node.lazy.tend()
    expect(node.maker.made).toEqual([digestOf(layer)])
    expect(node.store.find(index)?.complete).toBe(true)
  })

  test('a seed makes it also of what it has read for others, whose repository no client of its own knows', async () => {
    const node = await nodes.add(['seed', 'scheduler'], 'auto')
    const digest = digestOf(layer)
    node.coming.set(digest, repository)
    node.lazy.heard(digest)
    node.coming.delete(digest)
    const blob = await node.store.put({ digest, kind: 'blob' }, layer)
    for (const segment of await statementsOfRest(blob, node.identity)) blob.learn(segment)
    node.lazy.heard(digest)
    await node.lazy.tend()
    expect(node.maker.made).toEqual([digest])
    expect(node.store.repositoriesOf(index)).toEqual([repository])
  })

  test.each([
    ['is told to wait until somebody asks', 'asked'],
    ['is told to make none', 'off'],
  ] as const)('a seed that %s makes none', async (_, setting) => {
    const node = await nodes.add(['seed', 'scheduler'], setting)
    await reads(node)
    await node.lazy.tend()
    expect(node.maker.made).toEqual([])
  })

  test('a node makes none of what another has read, of files from the web, of what is not gzip, and if it is no seed', async () => {
    const peer = await nodes.add(['peer'], 'auto')
    await reads(peer)
    await peer.lazy.tend()
    const seed = await nodes.add(['seed', 'scheduler'], 'auto')
    const other = await nodes.add(['seed', 'scheduler'], 'off')
    const foreign = gzipSync(bytesOf(700_000, 2))
    const blob = await reads(other, foreign)
    const copy = await seed.store.put({ digest: blob.digest, kind: 'blob' }, foreign)
    for (const segment of blob.metainfo.segments) copy.learn(segment)
    seed.store.seenIn(copy.digest, repository)
    seed.lazy.heard(copy.digest)
    await reads(seed, gzipSync(bytesOf(600_000, 3)), { registry: 'https://files.corp', name: 'a.tar.gz' })
    await reads(seed, bytesOf(600_000, 4))
    for (let i = 0; i < 4; i++) await seed.lazy.tend()
    expect([peer, seed, other].flatMap(({ maker }) => maker.made)).toEqual([])
  })

  test('a node that ends does not wait for what it makes unasked', async () => {
    const node = await nodes.add(['seed', 'scheduler'], 'auto')
    await reads(node)
    node.maker.gate = new Promise(() => {})
    node.lazy.start()
    while (node.maker.made.length === 0) await Bun.sleep(5)
    await node.lazy.close()
    expect([...node.lazy.indexes.facts().making]).toEqual([])
    expect(node.store.find(index)).toBeUndefined()
  })

  test('the owner of a layer hears of the index that another seed has made', async () => {
    const all = [await nodes.add(['seed', 'scheduler'], 'auto'), await nodes.add(['seed', 'scheduler'], 'auto')]
    const owner = all[0]!.lazy.indexes.finding.owners(digestOf(layer))[0]!
    const [first, second] = all[0]!.identity.id === owner.id ? all : all.reverse()
    await reads(second!)
    await second!.lazy.tend()
    expect(second!.maker.made).toEqual([digestOf(layer)])
    expect(first!.lazy.indexes.facts().indexed).toMatchObject([
      { here: true, statement: { signer: second!.identity.id } },
    ])
    expect(first!.maker.made).toEqual([])
  })

  test('what another seed has made is checked where the layer is whole, and a right one once', async () => {
    await nodes.add(['seed', 'scheduler'])
    const peer = await nodes.add(['peer'])
    const location = nodes.publish(layer)
    while ((await peer.index(location)).state !== 'here') await Bun.sleep(5)
    await peer.lazy.tend()
    expect(peer.maker.checked).toEqual([])
    await peer.store.put({ digest: digestOf(layer), kind: 'blob' }, layer)
    for (let i = 0; i < 3; i++) await peer.lazy.tend()
    expect(peer.maker.checked).toEqual([digestOf(layer)])
    expect(peer.lazy.indexes.facts().indexed[0]?.checkedAt).toBeGreaterThan(0)
    expect(peer.bans.list()).toEqual([])
  })

  test('a seed that has signed an index that the layer does not give is banned, and another makes it', async () => {
    const liar = await nodes.add(['seed', 'scheduler'])
    const peer = await nodes.add(['peer'])
    const location = nodes.publish(layer)
    liar.maker.lies = true
    while ((await peer.index(location)).state !== 'here') await Bun.sleep(5)
    const honest = await nodes.add(['seed', 'scheduler'])
    while ((await honest.index(location)).state !== 'here') await Bun.sleep(5)
    expect(honest.maker.made).toEqual([])
    await peer.store.put({ digest: digestOf(layer), kind: 'blob' }, layer)
    await peer.lazy.tend()
    expect(peer.bans.list()).toMatchObject([{ node: liar.identity.id }])
    expect(peer.lazy.indexes.facts().indexed).toEqual([])
    let found = await peer.index(location)
    for (; found.state !== 'here'; found = await peer.index(location)) await Bun.sleep(5)
    expect(found.statement.signer).toBe(honest.identity.id)
    expect(found.statement.index).toBe(index)
    // It had believed the liar until it was told not to, and then looked for itself.
    expect(honest.bans.list()).toMatchObject([{ node: liar.identity.id }])
  })

  test('an index goes when its layer is gone and nobody has used it for a day; not before', async () => {
    const node = await nodes.add(['seed', 'scheduler'])
    const day = 24 * 3600_000
    const location = nodes.publish(layer)
    while ((await node.index(location)).state !== 'here') await Bun.sleep(5)
    await node.lazy.tend()
    expect(node.store.find(index)).toBeDefined()
    nodes.skip(day + 60_000)
    await node.lazy.tend()
    expect(node.store.find(index)).toBeDefined()
    // What is held stays: the index is found a moment before its maker lets go of the layer.
    await until('the layer is gone', 4, async () => {
      await node.store.remove(location.digest)
      return node.store.find(location.digest) === undefined
    })
    nodes.skip(11 * 60_000)
    await node.lazy.tend()
    expect(node.store.find(index)).toBeUndefined()
    expect(node.lazy.indexes.facts().indexed).toEqual([])
  })

  test('what was known is known after a restart, and a file of it that is broken, or of a later release, is begun anew', async () => {
    const node = await nodes.add(['seed', 'scheduler'])
    const location = nodes.publish(layer)
    while ((await node.index(location)).state !== 'here') await Bun.sleep(5)
    const log = { warn: () => {} }
    const again = new Ledger(node.ledgerPath, log)
    expect(again.indexed(location.digest)?.statement).toEqual(node.lazy.indexes.facts().indexed[0]!.statement)
    again.close()
    const path = `${node.ledgerPath}.broken`
    await Bun.write(path, 'this is no database, and has more than a hundred bytes of something else'.repeat(9))
    const anew = new Ledger(path, log)
    expect(anew.allIndexed()).toEqual([])
    const facts = { layer: location.digest, diffId: index, index, size: 1 }
    anew.set(state(facts, node.identity), 1)
    expect(anew.unchecked()).toHaveLength(1)
    anew.close()
    const db = new Database(path)
    db.exec('PRAGMA user_version = 2')
    db.close()
    const back = new Ledger(path, log)
    expect(back.allIndexed()).toEqual([])
    back.close()
  })

  test('a node whose disk takes nothing knows in memory what it is told', async () => {
    const node = await nodes.add(['seed', 'scheduler'])
    const said: string[] = []
    const ledger = new Ledger('/proc/shoal.layers.db', { warn: (message) => void said.push(message) })
    ledger.set(state({ layer: digestOf(layer), diffId: index, index, size: 1 }, node.identity), 1)
    expect(ledger.allIndexed()).toHaveLength(1)
    expect(said).toEqual(['what is known of the indexes of layers is kept in memory alone'])
    ledger.close()
  })
})

describe('what starts read first', () => {
  const digest = digestOf(layer)

  test('is told on one host and known on all', async () => {
    await nodes.add(['seed', 'scheduler'])
    await nodes.add(['seed', 'scheduler'])
    const one = await nodes.add(['peer'])
    const other = await nodes.add(['peer'])
    expect(await other.lazy.reads.of(digestOf(bytesOf(1)))).toEqual([])
    await one.lazy.reads.add(digest, [5, 3, 8])
    expect(await other.lazy.reads.of(digest)).toEqual([5, 3, 8])
    expect(await one.lazy.reads.of(digest)).toEqual([5, 3, 8])
  })

  test('is known on the host where it was told while the owner is away', async () => {
    const seed = await nodes.add(['seed', 'scheduler'])
    const peer = await nodes.add(['peer'])
    seed.alive = false
    await peer.lazy.reads.add(digest, [2, 1])
    expect(await peer.lazy.reads.of(digest)).toEqual([2, 1])
  })
})
