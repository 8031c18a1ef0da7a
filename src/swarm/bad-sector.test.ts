/** What a disk cannot read any more comes anew, whoever finds it: a client in the middle of its answer, or the scrub. */
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { BadDisk } from '../../test/fakes/bad-disk.ts'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { FakeClock } from '../../test/fakes/clock.ts'
import { diskStores } from '../../test/fakes/disk-stores.ts'
import { LoneNode } from '../../test/fakes/lone-node.ts'
import { type Digest, hexOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import type { DiskStore } from '../store/disk-store.ts'
import { silentLog } from '../telemetry/log.ts'
import { Mender } from './mender.ts'

const repository = repositoryOf('docker.io', 'library/debian')
const layer = bytesOf(3_000_000)
const everyMs = 7 * 24 * 3600_000
const { newDir, openStore } = diskStores()

let disk: BadDisk
let clock: FakeClock
let node: LoneNode<DiskStore>
let mender: Mender
let digest: Digest

beforeEach(async () => {
  disk = new BadDisk()
  clock = new FakeClock()
  const store = await openStore(newDir(), { ...disk, clock })
  node = new LoneNode({}, store)
  const { metrics, swarm } = node
  const signer = { id: 'self', sign: () => new Uint8Array(64) }
  mender = new Mender({ store, signer, fetch: swarm.fetch.bind(swarm), everyMs, clock, metrics, log: silentLog })
  digest = node.source.add(layer)
  store.seenIn(digest, repository)
  await swarm.fetch({ repository, kind: 'blob', digest }, layer.length).finished
})
afterEach(() => {
  mender.close()
  node.close()
})

const blob = () => node.store.find(digest)!

/** The node's own clock stands still; that of the store and the scrub goes on while the disk is waited for. */
async function until(so: () => boolean): Promise<void> {
  for (let i = 0; i < 2000 && !so(); i++) {
    await Bun.sleep(1)
    clock.advance(100)
    node.clock.advance(1)
  }
  expect(so()).toBe(true)
}

async function spoil(at: number): Promise<void> {
  await blob().sync()
  disk.bad = [{ file: hexOf(digest), at }]
  // What it is given anew goes elsewhere on the disk.
  node.store.onDamaged(() => {
    disk.bad = []
  })
}

test('a client reads right bytes, in one answer', async () => {
  await spoil(1_500_000)
  const reader = await node.content.open(repository, digest)
  const chunks: Uint8Array[] = []
  for await (const chunk of reader.read({ start: 0, end: layer.length }, new AbortController().signal)) {
    chunks.push(chunk.slice())
  }
  reader.close()
  expect(Buffer.concat(chunks).equals(layer)).toBe(true)
  await until(() => blob().complete)
  expect(mender.damaged).toBe(1)
})

test('the scrub finds it, and it is mended', async () => {
  await spoil(1_500_000)
  clock.advance(everyMs)
  mender.start()
  await until(() => mender.damaged === 1 && blob().complete)
  expect(node.source.sent).toBeLessThan(2 * layer.length)
})

test('the scrub says of no blob that it was seen to be right while the disk is gone', async () => {
  await blob().sync()
  clock.advance(everyMs)
  const { verifiedAt } = blob()
  disk.gone = true
  mender.start()
  for (let i = 0; i < 50; i++) {
    await Bun.sleep(1)
    clock.advance(10_000)
  }
  expect([blob().complete, blob().verifiedAt, mender.due, mender.damaged]).toEqual([true, verifiedAt, 1, 0])
  disk.gone = false
  await until(() => mender.due === 0)
  expect(mender.damaged).toBe(0)
})
