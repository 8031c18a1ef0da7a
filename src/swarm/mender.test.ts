import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { bytesOf } from '../../test/fakes/bytes.ts'
import { settle } from '../../test/fakes/clock.ts'
import { LoneNode } from '../../test/fakes/lone-node.ts'
import type { MemoryBlob } from '../../test/fakes/memory-store.ts'
import { Failure } from '../failure.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { repositoryOf } from '../oci/reference.ts'
import { silentLog } from '../telemetry/log.ts'
import { Mender } from './mender.ts'

const repository = repositoryOf('docker.io', 'library/debian')
const layer = bytesOf(3_000_000)
const everyMs = 7 * 24 * 3600_000

const signer = { id: 'self', sign: () => new Uint8Array(64) }

let node: LoneNode
let mender: Mender
let digest: Digest

beforeEach(async () => {
  node = new LoneNode()
  const { store, clock, metrics, swarm } = node
  const fetch = swarm.fetch.bind(swarm)
  mender = new Mender({ store, signer, fetch, everyMs, clock, metrics, log: silentLog })
  digest = node.source.add(layer)
  store.seenIn(digest, repository)
  const transfer = swarm.fetch({ repository, kind: 'blob', digest }, layer.length)
  await until(() => node.store.find(digest)?.complete)
  await transfer.finished
})
afterEach(() => {
  mender.close()
  node.close()
})

/** Virtual time goes on until it is so, for 30 s at most. */
async function until(so: () => boolean | undefined, stepMs = 100): Promise<void> {
  for (let i = 0; i < 300 && !so(); i++) {
    await settle()
    node.clock.advance(stepMs)
  }
  await settle()
  expect(so()).toBe(true)
}

const blob = () => node.store.find(digest)!
const scrubbed = async () => (await node.metrics.scrubbedBytes.get()).values[0]?.value ?? 0

describe('a whole blob', () => {
  test('is read again when it is due, not before, and then not for as long again', async () => {
    mender.start()
    node.clock.advance(everyMs - 120_000)
    await settle()
    expect([mender.due, await scrubbed()]).toEqual([0, 0])
    node.clock.advance(120_000)
    expect(mender.due).toBe(1)
    await until(() => mender.due === 0, 1000)
    expect([await scrubbed(), mender.damaged]).toEqual([layer.length, 0])
  })

  test('that rotted on the disk is mended, every piece of it, and what was right is not fetched again', async () => {
    const before = node.source.sent
    node.clock.advance(everyMs)
    blob().rot(1)
    blob().rot(4)
    mender.start()
    await until(() => mender.damaged > 0 && blob().complete)
    expect(mender.damaged).toBe(2)
    expect(Buffer.compare(await blob().read({ start: 0, end: layer.length }), layer)).toBe(0)
    expect(node.source.sent - before).toBeLessThan(layer.length)
  })

  test('that cannot be mended now, for nobody who has it can be reached, is mended later', async () => {
    node.clock.advance(everyMs)
    blob().rot(2)
    node.source.failure = new Failure('unavailable', 'the registry is down')
    mender.start()
    await until(() => mender.damaged === 1 && node.source.opened > 1)
    for (let i = 0; i < 600; i++) {
      await settle()
      node.clock.advance(1000)
    }
    expect(blob().complete).toBe(false)
    const tries = node.source.calls.length
    node.source.failure = undefined
    await until(() => blob().complete, 10_000)
    expect(tries).toBeLessThan(60)
    expect(Buffer.compare(await blob().read({ start: 0, end: layer.length }), layer)).toBe(0)
  })

  test('is mended in one go, however slow the source is', async () => {
    node.clock.advance(everyMs)
    for (const piece of [2, 3, 4, 5, 6, 7]) blob().rot(piece)
    const before = node.source.opened
    node.source.chunk = 256 * 1024
    node.source.gate = () => new Promise((resolve) => void node.clock.after(20_000, resolve))
    mender.start()
    await until(() => mender.damaged === 6 && !blob().complete)
    await until(() => blob().complete, 500)
    expect(node.source.opened - before).toBe(1)
  })

  test('of which the source gives a piece at each try is tried again soon each time', async () => {
    node.clock.advance(everyMs)
    for (const piece of [2, 3, 4, 5, 6, 7]) blob().rot(piece)
    node.source.chunk = 256 * 1024
    let chunks = 0
    node.source.gate = () => {
      if (++chunks % 2 === 0) throw new Failure('unavailable', 'it broke off')
    }
    mender.start()
    await until(() => mender.damaged === 6 && !blob().complete)
    await until(() => blob().complete, 200)
  })

  test('of which nobody knows where it came from is dropped', async () => {
    const lost = await node.store.put({ digest: node.source.add(bytesOf(5)), kind: 'blob' }, bytesOf(5))
    node.clock.advance(everyMs)
    node.store.find(lost.digest)!.rot(0)
    mender.start()
    await until(() => lost.gone)
    expect(node.store.find(lost.digest)).toBeUndefined()
  })
})

describe('a complaint of another node', () => {
  test('makes the node look at the piece, and mend what is wrong', async () => {
    blob().rot(2)
    mender.complaint(digest, 2)
    await until(() => mender.damaged === 1 && blob().complete)
    expect(Buffer.compare(await blob().read({ start: 0, end: layer.length }), layer)).toBe(0)
  })

  test('changes nothing when the piece is right, there is no such piece, or no such blob', async () => {
    mender.complaint(digest, 2)
    mender.complaint(digest, 1000)
    mender.complaint(digest.replace(/.$/, 'x') as Digest, 0)
    for (let i = 0; i < 10_000; i++) mender.complaint(digest, 1)
    await until(() => true)
    expect([mender.damaged, blob().complete]).toEqual([0, true])
  })
})

describe('a whole blob of which nobody has stated the pieces, as after its catalog was lost,', () => {
  const other = bytesOf(2_000_000, 7)
  const unstated = async () => (await node.store.put({ digest: digestOf(other), kind: 'blob' }, other)) as MemoryBlob

  test('is stated by this node when it is read again, and is checked piece by piece from then on', async () => {
    const blob = await unstated()
    expect(blob.metainfo.known.count).toBe(0)
    mender.start()
    node.clock.advance(everyMs)
    await until(() => mender.due === 0, 1000)
    expect([blob.metainfo.known.complete, blob.metainfo.signerOf(0), blob.complete]).toEqual([true, 'self', true])
    blob.rot(1)
    expect(await blob.check(1)).toBe(false)
  })

  test('is dropped when what is read is another one', async () => {
    const blob = await unstated()
    blob.rot(3)
    mender.start()
    node.clock.advance(everyMs)
    await until(() => mender.due === 0, 1000)
    expect([blob.gone, blob.metainfo.segments]).toEqual([true, []])
  })
})

test('what rotted is not served to an engine: it comes anew in the middle of the answer', async () => {
  const reader = await node.content.open(repository, digest)
  expect(reader.file?.path).toBe(blob().path)
  reader.close()
  node.clock.advance(24 * 3600_000)
  blob().rot(3)
  const later = await node.content.open(repository, digest)
  expect(later.file).toBeUndefined()
  const chunks: Uint8Array[] = []
  const read = async () => {
    for await (const chunk of later.read({ start: 0, end: layer.length }, new AbortController().signal)) {
      chunks.push(chunk.slice())
    }
  }
  let over = false
  const done = read().finally(() => {
    over = true
  })
  await until(() => over)
  await done
  later.close()
  expect(Buffer.concat(chunks).equals(layer)).toBe(true)
  expect(mender.damaged).toBe(1)
  const { store, swarm, source } = later.provenance()
  expect(store + swarm + source).toBe(layer.length)
})
