import { afterEach, beforeEach, expect, test } from 'bun:test'
import { chmod, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { Identity } from './identity.ts'
import { nodeIdSchema } from './node-info.ts'
import { nodeIdOf, publicKeyOf } from './node-key.ts'

const bytes = new TextEncoder().encode('what is signed')
let dir: string
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'shoal-identity-'))
})
afterEach(() => rm(dir, { recursive: true }))

test('the key is made once, for its owner alone, and read again at the next start', async () => {
  const first = await Identity.load(join(dir, 'data'))
  const mode = (await stat(join(dir, 'data', 'node.key'))).mode & 0o777
  const again = await Identity.load(join(dir, 'data'))
  expect([again.id, mode]).toEqual([first.id, 0o600])
})

test('two processes that start at once in an empty directory get the same key', async () => {
  const [a, b] = await Promise.all([Identity.load(dir), Identity.load(dir)])
  expect(a.id).toBe(b.id)
})

test('a key that others may read is closed to them', async () => {
  await Identity.load(dir)
  await chmod(join(dir, 'node.key'), 0o644)
  await Identity.load(dir)
  expect((await stat(join(dir, 'node.key'))).mode & 0o777).toBe(0o600)
})

test('the node id is the peer id that libp2p derives from the key', async () => {
  const identity = await Identity.temporary()
  expect(identity.id).toBe(peerIdFromPrivateKey(identity.privateKey).toString())
  expect(nodeIdSchema.parse(identity.id)).toBe(identity.id)
})

test('a damaged key is an error that says what to do, not a new identity', async () => {
  await writeFile(join(dir, 'node.key'), 'garbage')
  await expect(Identity.load(dir)).rejects.toThrow(/node\.key is not a node key: restore it, or delete it/)
})

test('a directory that cannot be used is named', async () => {
  await writeFile(join(dir, 'file'), '')
  await expect(Identity.load(join(dir, 'file'))).rejects.toThrow(
    /cannot use the node key .*file\/node\.key.*--data-dir/,
  )
})

test('a signature is good for its signer and its bytes alone', async () => {
  const [a, b] = [await Identity.temporary(), await Identity.temporary()]
  const signature = a.sign(bytes)
  expect(b.verifySignature(a.id, bytes, signature)).toBe(true)
  expect(b.verifySignature(b.id, bytes, signature)).toBe(false)
  expect(b.verifySignature(a.id, bytes.toReversed(), signature)).toBe(false)
  expect(b.verifySignature(a.id, bytes, signature.subarray(1))).toBe(false)
  expect(b.verifySignature(a.id, bytes, new Uint8Array(64))).toBe(false)
})

test('libp2p accepts what a node signs', async () => {
  const identity = await Identity.temporary()
  expect(await identity.privateKey.publicKey.verify(bytes, identity.sign(bytes))).toBe(true)
})

test('an id that names no Ed25519 key verifies nothing', async () => {
  const identity = await Identity.temporary()
  const ids = ['', '0OIl', 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N', `${identity.id}1`, identity.id.slice(1)]
  expect(ids.map((id) => identity.verifySignature(id, bytes, identity.sign(bytes)))).toEqual(ids.map(() => false))
})

test('the id and the key are two forms of one thing', () => {
  const key = new Uint8Array(32).map((_, i) => i)
  expect(publicKeyOf(nodeIdOf(key))).toEqual(key)
})

test('two nodes have a secret in common, another one with each of them, and an id without a key with nobody', async () => {
  const [a, b, c] = await Promise.all([Identity.temporary(), Identity.temporary(), Identity.temporary()])
  expect(a.agree(b.id)).toEqual(b.agree(a.id)!)
  expect(a.agree(b.id)).not.toEqual(a.agree(c.id)!)
  // The neutral element, with which every secret would be the same.
  const neutral = nodeIdOf(Uint8Array.of(1, ...new Uint8Array(31)))
  expect([a.agree('12D3KooWnonsense'), a.agree(neutral)]).toEqual([undefined, undefined])
})
