import { describe, expect, test } from 'bun:test'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { Key } from 'interface-datastore'
import { createLibp2p } from 'libp2p'
import { Records } from './records.ts'

const value = new Uint8Array([1])
const limits = { peers: 8, others: 16, lastMs: 1000 }
const self = (await generateKeyPair('Ed25519')).publicKey
const own = new Key(`/peers/${self.toCID()}`)

describe('what libp2p keeps', () => {
  test('of a thousand nodes that came and went is of the last ones, and of this node', () => {
    const records = new Records(self, limits)
    records.put(own, value)
    for (let i = 0; i < 1000; i++) records.put(new Key(`/peers/p${i}`), value)
    expect(records.size).toBe(limits.peers + 1)
    expect(records.get(own)).toBe(value)
    expect(records.has(new Key('/peers/p999'))).toBe(true)
    expect(() => records.get(new Key('/peers/p0'))).toThrow(expect.objectContaining({ name: 'NotFoundError' }))
  })

  test('of blobs that others say they have does not put nodes out', () => {
    const records = new Records(self, limits)
    records.put(new Key('/peers/p'), value)
    for (let i = 0; i < 1000; i++) records.put(new Key(`/dht/provider/b${i}/p`), value)
    expect(records.size).toBe(limits.others + 1)
    expect(records.has(new Key('/peers/p'))).toBe(true)
  })

  test('and is asked for stays longest', () => {
    const records = new Records(self, limits)
    for (let i = 0; i < 1000; i++) {
      records.put(new Key(`/peers/p${i}`), value)
      records.get(new Key('/peers/p0'))
    }
    expect(records.has(new Key('/peers/p0'))).toBe(true)
  })

  test('of who provides what is forgotten in time, if nobody says so again', () => {
    let now = 1
    const records = new Records(self, limits, () => now)
    const names = ['/dht/provider/a/p', '/dht/provider/b/p', '/peers/p'].map((name) => new Key(name))
    for (const name of names) records.put(name, value)
    now += 900
    records.put(names[1]!, value)
    records.get(names[0]!)
    now += 200
    expect(names.map((name) => records.has(name))).toEqual([false, true, true])
    expect([...records._all({ prefix: '/dht' })].map(({ key }) => key.toString())).toEqual(['/dht/provider/b/p'])
  })

  test('is found by the beginning of its name, also by who changes it meanwhile', async () => {
    const records = new Records(self, limits)
    for (const name of ['/dht/provider/a/p', '/dht/provider/a/q', '/dht/provider/b/p', '/peers/p']) {
      records.put(new Key(name), value)
    }
    const found: string[] = []
    for await (const { key } of records.query({ prefix: '/dht/provider/a' })) {
      found.push(key.toString())
      // libp2p does so with what is too old.
      records.delete(key)
      records.get(new Key('/dht/provider/b/p'))
    }
    expect(found.sort()).toEqual(['/dht/provider/a/p', '/dht/provider/a/q'])
    expect(records.size).toBe(2)
    expect((await Array.fromAsync(records.queryKeys({}))).map(String).sort()).toEqual(['/dht/provider/b/p', '/peers/p'])
  })

  test('of this node libp2p finds however many others it met', async () => {
    const privateKey = await generateKeyPair('Ed25519')
    const host = await createLibp2p({ privateKey, datastore: new Records(privateKey.publicKey, limits) })
    try {
      await host.peerStore.merge(host.peerId, { tags: { own: { value: 1 } } })
      for (let i = 0; i < 2 * limits.peers; i++) {
        const { publicKey } = await generateKeyPair('Ed25519')
        await host.peerStore.merge(peerIdFromPublicKey(publicKey), { tags: { met: { value: 1 } } })
      }
      expect((await host.peerStore.get(host.peerId)).tags.has('own')).toBe(true)
      // All of them is without the node itself.
      expect(await host.peerStore.all()).toHaveLength(limits.peers)
    } finally {
      await host.stop()
    }
  })
})
